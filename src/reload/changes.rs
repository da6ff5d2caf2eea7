//! What a reload changes, for the one line that says so. Pure.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use serde_json::Value;

use crate::config::{BackendConfig, Config};
use crate::pool::{ClientKey, Live, Pool};

/// Clients asked where they would go, to say how many move.
const SAMPLE: u32 = 10_000;

/// A phrase for each change.
pub(super) fn of_config(before: &Config, after: &Config) -> Vec<String> {
    let mut changes = Vec::new();
    for pool in after.all_pools() {
        let known = before.all_pools().find(|it| it.name == pool.name);
        changes.extend(of_backends(known.map_or(&[][..], |pool| &pool.backends), &pool.backends));
    }
    let gone = before.all_pools().filter(|pool| after.all_pools().all(|it| it.name != pool.name));
    changes.extend(gone.map(|pool| format!("-pool {}", pool.name)));
    of_fields("", &before.to_json(), &after.to_json(), &mut changes);
    changes
}

fn of_backends(before: &[BackendConfig], after: &[BackendConfig]) -> Vec<String> {
    let is_in = |list: &[BackendConfig], one: &BackendConfig| {
        list.iter().any(|it| it.url == one.url && it.ca == one.ca)
    };
    let count = |count: usize, sign: char| {
        let plural = if count == 1 { "" } else { "s" };
        (count > 0).then(|| format!("{sign}{count} backend{plural}"))
    };
    let mut changes = Vec::new();
    changes.extend(count(after.iter().filter(|one| !is_in(before, one)).count(), '+'));
    changes.extend(count(before.iter().filter(|one| !is_in(after, one)).count(), '-'));
    for backend in after {
        let Some(known) = before.iter().find(|it| it.url == backend.url) else { continue };
        if known.weight != backend.weight {
            changes.push(format!("weight {} -> {} of {}", known.weight, backend.weight, backend.url));
        }
        if (known.max_connections, known.backup) != (backend.max_connections, backend.backup) {
            changes.push(format!("limits of {}", backend.url));
        }
    }
    changes
}

/// Every other field by its path, the way config.json writes it; a secret's value is not told.
fn of_fields(path: &str, before: &Value, after: &Value, changes: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for (name, value) in after {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                of_fields(&path, before.get(name).unwrap_or(&Value::Null), value, changes);
            }
        }
        (before, after) if before == after || path.ends_with("backends") => {}
        (Value::Array(_), _) | (_, Value::Array(_) | Value::Object(_)) | (Value::Object(_), _) => {
            changes.push(path.to_owned());
        }
        _ if path.ends_with("token") => changes.push(path.to_owned()),
        (before, after) => changes.push(format!("{path} {} -> {}", plain(before), plain(after))),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// How many clients of hashed pools go elsewhere from now on.
pub(super) fn of_clients(before: &Live, after: &Live) -> Vec<String> {
    let one = |pool: &Pool| {
        let known = before.pools().iter().find(|it| it.config().name == pool.config().name)?;
        let moved = moved(known, pool)?;
        (moved > 0.0).then(|| {
            let of_pool = if after.pools().len() > 1 {
                format!(" of pool {}", pool.config().name)
            } else {
                String::new()
            };
            format!("{moved:.1} % of hashed clients{of_pool} move")
        })
    };
    after.pools().iter().filter_map(one).collect()
}

/// In percent; `None` where clients have no place of their own before or after.
fn moved(before: &Pool, after: &Pool) -> Option<f64> {
    if ![before, after].iter().all(|pool| pool.config().algorithm.is_hash()) {
        return None;
    }
    let now = Instant::now();
    let mut random = fastrand::Rng::with_seed(1);
    let moves = (0..SAMPLE).filter(|_| {
        let client = ClientKey::of(IpAddr::V4(Ipv4Addr::from_bits(random.u32(..))));
        let home = |pool: &Pool| pool.would_pick(&client, now).map(|backend| backend.name().to_owned());
        home(before) != home(after)
    });
    Some(moves.count() as f64 * 100.0 / f64::from(SAMPLE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Overrides, parse};
    use crate::reload::build;

    fn check(before: &str, after: &str, expected: &[&str]) {
        let config = |text: &str| parse(text, &Overrides::default()).unwrap();
        assert_eq!(of_config(&config(before), &config(after)), expected);
    }

    #[test]
    fn each_change_has_its_phrase() {
        check("{}", "{}", &[]);
        check(
            r#"{"backends":[{"url":"http://a"},{"url":"http://b"}]}"#,
            r#"{"backends":[{"url":"http://b","weight":5},{"url":"http://c"},{"url":"http://d"}]}"#,
            &["+2 backends", "-1 backend", "weight 1 -> 5 of http://b"],
        );
        check(
            r#"{"timeouts":{"request":"10s"}}"#,
            r#"{"timeouts":{"request":"5s"},"algorithm":"least_conn","retry":{"on_status":[503]}}"#,
            &["algorithm round_robin -> least_conn", "retry.on_status", "timeouts.request 10s -> 5s"],
        );
    }

    #[test]
    fn a_tenth_backend_moves_about_a_tenth_of_the_clients() {
        let text = |count: usize| {
            let urls: Vec<_> = (0..count).map(|n| format!(r#"{{"url":"http://h{n}"}}"#)).collect();
            format!(r#"{{"algorithm":"consistent_hash","backends":[{}]}}"#, urls.join(","))
        };
        let live = |count| build(parse(&text(count), &Overrides::default()).unwrap(), None);
        let (before, after) = (live(9), live(10));
        let moved = moved(before.default_pool(), after.default_pool()).unwrap();
        assert!((8.5..11.5).contains(&moved), "{moved}");
    }
}
