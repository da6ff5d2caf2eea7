//! Describes what a reload has done, for its log lines and for the admin listener's answer. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::pool::{AdminState, Backend, Live};

/// How many backends a log line names; the admin listener's answer names all.
const MOST_NAMED: usize = 10;

/// A backend that was added, removed or overridden, with its pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The pool.
    pub pool: String,
    /// The backend.
    pub url: String,
    /// The admin override, `draining` or `weight 7`; empty for a backend that was added or removed.
    pub set: String,
    /// What replaces the override; empty if it still applies.
    pub instead: String,
}

/// The effect of a reload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// The changes in one line.
    pub summary: String,
    /// Backends that are new.
    pub added: Vec<Named>,
    /// Backends that are gone.
    pub removed: Vec<Named>,
    /// Admin overrides that still apply.
    pub kept: Vec<Named>,
    /// Admin overrides that no longer apply, because the file has changed.
    pub overridden: Vec<Named>,
}

type Place<'l> = (&'l str, &'l str);

impl Reloaded {
    /// Compares two configurations, before `after` serves.
    pub(super) fn of(before: &Live, after: &Live) -> Reloaded {
        let (old, new) = (places(before), places(after));
        let mut it = Reloaded::default();
        for (place, backend) in in_order(after) {
            let Some(earlier) = old.get(&place) else {
                it.added.push(named(place, "", ""));
                continue;
            };
            if earlier.admin() != AdminState::Enabled {
                it.kept.push(named(place, earlier.state(), ""));
            }
            let Some(weight) = earlier.weight_by_hand() else { continue };
            let set = format!("weight {weight}");
            match backend.configured_weight() == earlier.configured_weight() {
                true => it.kept.push(named(place, &set, "")),
                false => {
                    let instead = format!("weight {}", backend.configured_weight());
                    it.overridden.push(named(place, &set, &instead));
                }
            }
        }
        for (place, earlier) in in_order(before).filter(|(place, _)| !new.contains_key(place)) {
            it.removed.push(named(place, "", ""));
            if earlier.admin() != AdminState::Enabled {
                it.overridden.push(named(place, earlier.state(), "removed"));
            }
            if let Some(weight) = earlier.weight_by_hand() {
                it.overridden.push(named(place, &format!("weight {weight}"), "removed"));
            }
        }
        it
    }

    /// The answer of the admin listener.
    pub fn to_json(&self) -> Value {
        let place = |it: &Named| json!({ "pool": it.pool, "url": it.url });
        let kept = |it: &Named| json!({ "pool": it.pool, "url": it.url, "set": it.set });
        let overridden =
            |it: &Named| json!({ "pool": it.pool, "url": it.url, "set": it.set, "instead": it.instead });
        json!({
            "changes": self.summary,
            "added": self.added.iter().map(place).collect::<Vec<_>>(),
            "removed": self.removed.iter().map(place).collect::<Vec<_>>(),
            "set_by_hand": {
                "kept": self.kept.iter().map(kept).collect::<Vec<_>>(),
                "overridden": self.overridden.iter().map(overridden).collect::<Vec<_>>(),
            },
        })
    }
}

/// For one log line: the first [`MOST_NAMED`] backends, and how many more there are.
pub(super) fn in_a_line(all: &[Named]) -> String {
    let pools = all.iter().any(|it| it.pool != "default");
    let one = |it: &Named| {
        let of_pool = if pools { format!(" of pool {}", it.pool) } else { String::new() };
        match (it.set.as_str(), it.instead.as_str()) {
            ("", _) => format!("{}{of_pool}", it.url),
            (set, "") => format!("{}{of_pool}: {set}", it.url),
            (set, instead) => format!("{}{of_pool}: {set} -> {instead}", it.url),
        }
    };
    let mut names: Vec<_> = all.iter().take(MOST_NAMED).map(one).collect();
    if all.len() > MOST_NAMED {
        names.push(format!("and {} more", all.len() - MOST_NAMED));
    }
    names.join(", ")
}

fn named((pool, url): Place<'_>, set: &str, instead: &str) -> Named {
    let [pool, url, set, instead] = [pool, url, set, instead].map(str::to_owned);
    Named { pool, url, set, instead }
}

fn in_order(live: &Live) -> impl Iterator<Item = (Place<'_>, &Arc<Backend>)> {
    live.pools().iter().flat_map(|pool| {
        let name = pool.config().name.as_str();
        pool.backends().iter().map(move |backend| ((name, backend.name()), backend))
    })
}

fn places(live: &Live) -> HashMap<Place<'_>, &Arc<Backend>> {
    in_order(live).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::config::{Overrides, parse};
    use crate::reload::build;

    fn told(all: &[Named]) -> String {
        in_a_line(all)
    }

    #[test]
    fn what_came_went_stays_set_and_is_overridden_is_told() {
        let config = |text: &str| parse(text, &Overrides::default()).unwrap();
        let text =
            r#"{"backends":[{"url":"http://a"},{"url":"http://b"},{"url":"http://c"},{"url":"http://d"}]}"#;
        let before = build(config(text), None);
        let old = before.default_pool().backends();
        old[0].set_admin(AdminState::Draining, Instant::now());
        old[1].set_weight(7);
        old[2].set_weight(8);
        old[3].set_admin(AdminState::Disabled, Instant::now());
        let text = r#"{"backends":[{"url":"http://a","weight":3},{"url":"http://b"},{"url":"http://c","weight":5},{"url":"http://e"}]}"#;
        let after = build(config(text), Some(&before));
        let it = Reloaded::of(&before, &after);
        assert_eq!(told(&it.added), "http://e");
        assert_eq!(told(&it.removed), "http://d");
        assert_eq!(told(&it.kept), "http://a: draining, http://b: weight 7");
        assert_eq!(told(&it.overridden), "http://c: weight 8 -> weight 5, http://d: disabled -> removed");
        let new = after.default_pool().backends();
        let facts: Vec<_> = new.iter().map(|it| (it.admin(), it.weight())).collect();
        let enabled = AdminState::Enabled;
        assert_eq!(facts, [(AdminState::Draining, 3), (enabled, 7), (enabled, 5), (enabled, 1)]);
        assert_eq!(old[2].weight(), 8, "until the other serves");
    }

    #[test]
    fn a_line_names_some_and_counts_the_rest() {
        let some = |count: usize, pool: &str| -> Vec<Named> {
            (0..count).map(|n| named((pool, &format!("http://h{n}")), "", "")).collect()
        };
        assert!(told(&some(12, "default")).ends_with("http://h9, and 2 more"));
        assert_eq!(told(&some(1, "api")), "http://h0 of pool api");
    }
}
