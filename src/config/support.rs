//! What can be configured but has no effect yet. Whoever gives a field its effect deletes its row;
//! when the table is empty, this file goes. Until then such a field is refused, never ignored.

use super::document::Document;
use super::{Algorithm, BackendConfig, BackendUrl, Config, PoolConfig, defaults};

/// A field, and whether its value asks for something that isn't there yet.
enum Row {
    /// A field of the whole; the second argument is the default.
    Whole(&'static str, fn(&Config, &Config) -> bool),
    /// A field of a pool, `default` or named.
    Pool(&'static str, fn(&PoolConfig, &PoolConfig) -> bool),
    /// A field of a backend.
    Backend(&'static str, fn(&BackendConfig, &BackendConfig) -> bool),
}

const NOT_YET: &[Row] = &[
    Row::Backend("url", |it, _| !matches!(it.url, BackendUrl::Http { .. })),
    Row::Backend("weight", |it, default| it.weight != default.weight),
    Row::Backend("max_connections", |it, default| it.max_connections != default.max_connections),
    Row::Backend("backup", |it, default| it.backup != default.backup),
    Row::Backend("ca", |it, default| it.ca != default.ca),
    Row::Pool("algorithm", |it, _| matches!(it.algorithm, Algorithm::PowerOfTwo | Algorithm::ConsistentHash)),
    Row::Pool("hash_key", |it, default| it.hash_key != default.hash_key),
    Row::Pool("sticky_cookie", |it, default| it.sticky_cookie != default.sticky_cookie),
    Row::Pool("health_check.type", |it, default| it.health_check.kind != default.health_check.kind),
    Row::Pool("health_check.port", |it, default| it.health_check.port != default.health_check.port),
    Row::Pool("health_check.host", |it, default| it.health_check.host != default.health_check.host),
    Row::Pool("health_check.expect_body", |it, default| {
        it.health_check.expect_body != default.health_check.expect_body
    }),
    Row::Whole("pools", |it, default| it.pools != default.pools),
    Row::Whole("routes", |it, default| it.routes != default.routes),
    Row::Whole("retry.on_status", |it, default| it.retry.on_status != default.retry.on_status),
    Row::Whole("circuit_breaker", |it, default| {
        it.circuit_breaker.is_some() && it.circuit_breaker != default.circuit_breaker
    }),
    Row::Whole("slow_start", |it, default| it.slow_start != default.slow_start),
    Row::Whole("front", |it, default| it.front != default.front),
    Row::Whole("tls", |it, default| it.tls != default.tls),
    Row::Whole("admin", |it, default| it.admin != default.admin),
];

/// Adds a mistake for each field that has no effect yet and was set all the same.
pub(super) fn check(config: &Config, document: &Document<'_>) {
    let default = defaults::config();
    for row in NOT_YET {
        for path in paths(row, config, &default) {
            document.mistake_where_written(&path, "this value is not supported yet");
        }
    }
}

fn paths(row: &Row, config: &Config, default: &Config) -> Vec<String> {
    match row {
        Row::Whole(field, asks) if asks(config, default) => vec![field.to_string()],
        Row::Whole(..) => Vec::new(),
        Row::Pool(field, asks) => pools(config)
            .filter(|(_, pool)| asks(pool, &default.default_pool))
            .map(|(prefix, _)| format!("{prefix}{field}"))
            .collect(),
        Row::Backend(field, asks) => pools(config)
            .flat_map(|(prefix, pool)| {
                let backends = pool.backends.iter().enumerate();
                backends
                    .filter(|(_, it)| asks(it, &defaults::backend(it.url.clone())))
                    .map(move |(index, _)| format!("{prefix}backends[{index}].{field}"))
            })
            .collect(),
    }
}

/// Every pool with the path before its fields.
fn pools(config: &Config) -> impl Iterator<Item = (String, &PoolConfig)> {
    let named = config.pools.iter().map(|pool| (format!("pools.{}.", pool.name), pool));
    std::iter::once((String::new(), &config.default_pool)).chain(named)
}

#[cfg(test)]
mod tests {
    use crate::config::{Overrides, parse};

    fn refused(text: &str) -> Vec<String> {
        let errors = parse(text, &Overrides::default()).unwrap_err();
        errors.mistakes().iter().map(|mistake| mistake.path.clone()).collect()
    }

    #[test]
    fn a_field_that_asks_for_what_is_not_there_yet_is_refused() {
        assert_eq!(refused(r#"{ "slow_start": "1s" }"#), ["slow_start"]);
        assert!(parse(r#"{ "slow_start": "0s" }"#, &Overrides::default()).is_ok());
    }

    #[test]
    fn what_a_pool_inherits_is_reported_once() {
        let text = r#"{
            "hash_key": "path",
            "pools": { "api": { "backends": [ { "url": "http://a" } ] } }
        }"#;
        assert_eq!(refused(text), ["hash_key", "pools"]);
    }
}
