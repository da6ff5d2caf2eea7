//! Passes admin overrides on to the process that takes over in a renewal: a backend taken out for maintenance
//! must not come back because the process renewed itself.

use std::time::Instant;

use log::Level::{Info, Warn};
use serde::{Deserialize, Serialize};

use crate::logging::event;
use crate::pool::Live;
use crate::pool::admin::AdminState;

/// The overrides of one backend.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
struct SetByHand {
    pool: String,
    backend: String,
    state: u8,
    weight: Option<u32>,
    /// The configured weight that `weight` replaced; processes of earlier versions do not send it.
    #[serde(default)]
    over: Option<u32>,
}

/// All overrides as text.
pub(super) fn told(live: &Live) -> String {
    let of_pool = |pool: &crate::pool::Pool| {
        let name = pool.config().name.clone();
        let set = pool.backends().iter().filter(|backend| backend.is_set_by_hand());
        let one = move |backend: &std::sync::Arc<crate::pool::Backend>| SetByHand {
            pool: name.clone(),
            backend: backend.name().to_owned(),
            state: backend.admin() as u8,
            weight: backend.weight_by_hand(),
            over: Some(backend.configured_weight()),
        };
        set.map(one).collect::<Vec<_>>()
    };
    let all: Vec<SetByHand> = live.pools().iter().flat_map(of_pool).collect();
    serde_json::to_string(&all).unwrap_or_default()
}

/// Applies the overrides of the previous process to backends that are still configured.
pub(super) fn take_over(live: &Live, told: &str) {
    let all: Vec<SetByHand> = match serde_json::from_str(told) {
        Ok(all) => all,
        Err(error) => {
            event(Warn, "app", "what was set by hand is lost", &[("error", &error)]);
            return;
        }
    };
    for set in all {
        let pool = live.pools().iter().find(|pool| pool.config().name == set.pool);
        let backend =
            pool.and_then(|pool| pool.backends().iter().find(|backend| backend.name() == set.backend));
        let Some(backend) = backend else { continue };
        // The file may have changed since; as in a reload, a new configured weight takes precedence.
        let is_as_before = set.over.is_none_or(|over| over == backend.configured_weight());
        if let Some(weight) = set.weight.filter(|_| is_as_before) {
            backend.set_weight(weight);
        }
        backend.set_admin(AdminState::from_u8(set.state), Instant::now());
        let fields: [(&str, &dyn std::fmt::Display); 3] =
            [("backend", &set.backend), ("state", &backend.state()), ("weight", &backend.weight())];
        event(Info, "app", "set by hand, as in the process before", &fields);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Overrides, parse};
    use crate::reload::build;

    #[test]
    fn what_was_told_is_done_again_where_the_backend_is_still_there() {
        let text = r#"{"backends":[{"url":"http://a"},{"url":"http://b"},{"url":"http://c"}]}"#;
        let live = |text| build(parse(text, &Overrides::default()).unwrap(), None);
        let before = live(text);
        assert_eq!(told(&before), "[]");
        let backends = before.default_pool().backends();
        backends[0].set_admin(AdminState::Disabled, Instant::now());
        backends[1].set_weight(7);
        backends[2].set_admin(AdminState::Draining, Instant::now());
        let after = live(r#"{"backends":[{"url":"http://b"},{"url":"http://a"}]}"#);
        take_over(&after, &told(&before));
        let found: Vec<_> =
            after.default_pool().backends().iter().map(|it| (it.state(), it.weight())).collect();
        assert_eq!(found, [("healthy", 7), ("disabled", 1)]);
        let after = live(r#"{"backends":[{"url":"http://b","weight":3},{"url":"http://c"}]}"#);
        take_over(&after, &told(&before));
        let found: Vec<_> =
            after.default_pool().backends().iter().map(|it| (it.state(), it.weight())).collect();
        assert_eq!(found, [("healthy", 3), ("draining", 1)], "another weight in the file wins");
        take_over(&after, "nonsense");
    }
}
