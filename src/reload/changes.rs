//! Describes the changes of a reload, for the one log line. Pure.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use serde_json::Value;

use crate::config::{BackendConfig, BackendUrl, Config};
use crate::pool::{Backend, ClientKey, Live, Pool};

/// Most clients that are compared to estimate how many move ...
const MOST_CLIENTS: usize = 10_000;
/// ... and fewest: then the share is accurate to two percentage points.
const LEAST_CLIENTS: usize = 2_000;
/// Between these limits, the number of clients follows from this many scores, which take some 50 ms.
const MOST_SCORES: usize = 4_000_000;

/// A phrase for each change of the configuration.
pub(super) fn of_config(before: &Config, after: &Config) -> Vec<String> {
    let mut changes = Vec::new();
    for pool in after.all_pools() {
        let known = before.all_pools().find(|it| it.name == pool.name);
        changes.extend(of_backends(known.map_or(&[][..], |pool| &pool.backends), &pool.backends));
    }
    let gone = before.all_pools().filter(|pool| after.all_pools().all(|it| it.name != pool.name));
    changes.extend(gone.map(|pool| format!("-pool {}", pool.name)));
    of_fields("", &before.to_json(), &after.to_json(), &mut changes);
    let files = after.fields_of_changed_files(before);
    changes.extend(files.iter().map(|field| format!("what is in the file of {field}")));
    changes
}

fn of_backends(before: &[BackendConfig], after: &[BackendConfig]) -> Vec<String> {
    let by_url = |list: &'_ [BackendConfig]| {
        list.iter().map(|one| (one.url.clone(), one.clone())).collect::<HashMap<_, _>>()
    };
    let (known, new) = (by_url(before), by_url(after));
    let is_in = |list: &HashMap<BackendUrl, BackendConfig>, one: &BackendConfig| {
        list.get(&one.url).is_some_and(|it| it.ca == one.ca)
    };
    let count = |count: usize, sign: char| {
        let plural = if count == 1 { "" } else { "s" };
        (count > 0).then(|| format!("{sign}{count} backend{plural}"))
    };
    let mut changes = Vec::new();
    changes.extend(count(after.iter().filter(|one| !is_in(&known, one)).count(), '+'));
    changes.extend(count(before.iter().filter(|one| !is_in(&new, one)).count(), '-'));
    for backend in after {
        let Some(known) = known.get(&backend.url) else { continue };
        if known.weight != backend.weight {
            changes.push(format!("weight {} -> {} of {}", known.weight, backend.weight, backend.url));
        }
        if (known.max_connections, known.backup) != (backend.max_connections, backend.backup) {
            changes.push(format!("limits of {}", backend.url));
        }
    }
    changes
}

/// All other fields, named by their path in config.json; the values of secrets are not shown.
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
        _ if ["token", "sticky_key"].iter().any(|secret| path.ends_with(secret)) => {
            changes.push(path.to_owned())
        }
        (before, after) => changes.push(format!("{path} {} -> {}", plain(before), plain(after))),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// How many clients of hashed pools move to another backend. Compares thousands of clients, so it runs after
/// the change.
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

/// The percentage of clients that move; `None` if a pool does not hash or has no backends.
fn moved(before: &Pool, after: &Pool) -> Option<f64> {
    if ![before, after].iter().all(|pool| pool.config().algorithm.is_hash()) {
        return None;
    }
    if [before, after].iter().any(|pool| pool.backends().is_empty()) {
        return None;
    }
    let (old, new) = (before.homes(), after.homes());
    let scores = (old.len() + new.len()).max(1);
    let clients = (MOST_SCORES / scores).clamp(LEAST_CLIENTS, MOST_CLIENTS);
    // With another hash key, a client's old and new backends are unrelated.
    let is_same_key = before.config().hash_key == after.config().hash_key;
    let mut random = fastrand::Rng::with_seed(1);
    let mut any_client = || ClientKey::of(IpAddr::V4(Ipv4Addr::from_bits(random.u32(..))));
    let name = |home: Option<&Arc<Backend>>| home.map(|backend| backend.id());
    let moves = (0..clients).filter(|_| {
        let client = any_client();
        let later = if is_same_key { client } else { any_client() };
        name(old.of(&client)) != name(new.of(&later))
    });
    Some(moves.count() as f64 * 100.0 / clients as f64)
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

    /// Checks that the share of clients that move from the first file to the second is in this range.
    fn check_moves(before: &str, after: &str, expected: std::ops::Range<f64>) {
        let config = |text: &str| parse(text, &Overrides::default()).unwrap();
        let before = build(config(before), None);
        let after = build(config(after), Some(&before));
        let moved = moved(before.default_pool(), after.default_pool()).unwrap();
        assert!(expected.contains(&moved), "{moved}");
    }

    fn hashed(algorithm: &str, weights: &[u32]) -> String {
        let one = |(n, weight): (usize, &u32)| format!(r#"{{"url":"http://h{n}","weight":{weight}}}"#);
        let backends: Vec<_> = weights.iter().enumerate().map(one).collect();
        format!(r#"{{"algorithm":"{algorithm}","backends":[{}]}}"#, backends.join(","))
    }

    #[test]
    fn a_tenth_backend_moves_about_a_tenth_of_the_clients() {
        let text = |count| hashed("consistent_hash", &vec![1; count]);
        check_moves(&text(9), &text(10), 8.5..11.5);
        check_moves(&text(10), &text(10), 0.0..0.1);
    }

    #[test]
    fn a_change_of_weights_alone_moves_clients_too() {
        // The first backend has 5 of 7 parts instead of 1 of 3.
        let text = |weight| hashed("consistent_hash", &[weight, 1, 1]);
        check_moves(&text(1), &text(5), 36.0..40.5);
        // Of 21 remainders, 9 select the same backend with weights 1, 1, 1 and with 5, 1, 1.
        let text = |weight| hashed("ip_hash", &[weight, 1, 1]);
        check_moves(&text(1), &text(5), 52.0..72.0);
    }

    #[test]
    fn nobody_moves_to_or_from_a_pool_without_backends() {
        let live = |text: &str| build(parse(text, &Overrides::default()).unwrap(), None);
        let api = r#""pools":{"api":{"backends":[{"url":"http://a"}]}},"routes":[{"pool":"api"}]"#;
        let some = live(&format!(r#"{{"algorithm":"ip_hash","backends":[{{"url":"http://b"}}],{api}}}"#));
        let none = live(&format!(r#"{{"algorithm":"ip_hash","backends":[],{api}}}"#));
        for (before, after) in [(&some, &none), (&none, &some), (&none, &none)] {
            assert_eq!(moved(before.default_pool(), after.default_pool()), None);
        }
    }

    #[test]
    fn another_hash_key_moves_clients_as_though_they_were_strangers() {
        let text = hashed("consistent_hash", &[1, 1]);
        let keyed = text.replacen('{', r#"{"hash_key":"path","#, 1);
        check_moves(&text, &keyed, 45.0..55.0);
    }
}
