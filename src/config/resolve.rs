//! Builds a `Config` from the file: each field with its default, its kind and its bounds. A wrong field is
//! reported and read as its default, so that the rest is checked, too.

mod actions;
mod listeners;
mod routes;

use std::ops::RangeInclusive;

use super::document::Document;
use super::error::ConfigErrors;
use super::raw::Fields;
use super::read::{boolean, duration_or_zero, list, text, whole};
use super::{
    BreakerConfig, BreakerPatch, Config, ListenAddress, Overrides, RateLimit, RateLimitPatch, RetryConfig,
    RetryPatch, address, admin, compress, dns, limits, listen, logs, names, pages, policy, pool, secret,
    timeouts, tls,
};

const WORKERS: RangeInclusive<usize> = 1..=4096;

/// Reads the file, then applies the overrides.
pub(super) fn resolve(source: &str, overrides: &Overrides) -> Result<Config, ConfigErrors> {
    let document = Document::new(source, &overrides.variables)?;
    let config = document.read(|fields| config(fields, &document, overrides));
    match document.finish() {
        Ok(()) => Ok(config),
        Err(mistakes) => Err(mistakes.with_rest(config)),
    }
}

fn config(fields: &Fields<'_>, document: &Document<'_>, overrides: &Overrides) -> Config {
    let default = Config::default();
    let networks = || list(address::NETWORKS, text(address::NETWORK, address::network));
    let rate_limit = fields.object("rate_limit", RateLimitPatch::read);
    let breaker = fields.object("circuit_breaker", BreakerPatch::read);
    let mut config = Config {
        listen: listen::listen(fields, "", default.listen),
        workers: fields.value("workers", default.workers, whole(WORKERS)),
        default_pool: pool::pool(fields, &default.default_pool.name, &default.default_pool),
        retry: fields.object("retry", RetryPatch::read).over(&RetryConfig::default()),
        timeouts: fields.object("timeouts", timeouts::timeouts),
        limits: fields.object("limits", limits::limits),
        rate_limit: rate_limit.over(&RateLimit::default(), default.rate_limit.is_some()),
        circuit_breaker: breaker.over(&BreakerConfig::default(), default.circuit_breaker.is_some()),
        dns: fields.object("dns", dns::dns),
        slow_start: fields.value("slow_start", default.slow_start, duration_or_zero),
        sticky_key: fields.nullable("sticky_key", default.sticky_key, secret::sticky_key),
        trusted_proxies: fields.value("trusted_proxies", default.trusted_proxies, networks()),
        host_header: fields.value(
            "host_header",
            default.host_header,
            text(names::HOST_HEADER, names::host_header),
        ),
        local: policy::headers_and_pages(fields),
        via: fields.value("via", default.via, boolean),
        pages: fields.value("pages", default.pages, pages::pages),
        compress: compress::compress(fields),
        access_log: logs::access_log(fields),
        event_log: logs::event_log(fields),
        front: fields.value("front", default.front, boolean),
        proxy_protocol: fields.value("proxy_protocol", default.proxy_protocol, boolean),
        proxy_protocol_from: fields.nullable("proxy_protocol_from", default.proxy_protocol_from, networks()),
        tls: tls::tls(fields),
        admin: admin::admin(fields),
        unmatched: fields.value("unmatched", default.unmatched, routes::unmatched),
        ..default
    };
    apply(overrides, &mut config, document);
    // After the overrides, because named pools inherit the algorithm.
    config.pools = pool::named(fields, &config.default_pool);
    if config.pools.is_empty() {
        // With named pools, the port may be meant for those that inherit it.
        pool::check_probe_port(fields, &config.default_pool);
    }
    config.routes = routes::routes(fields, &config.pools);
    routes::check_strays(fields, &mut config);
    listeners::check_distinct(fields, &config);
    config
}

/// The environment and flags take precedence over the file.
fn apply(overrides: &Overrides, config: &mut Config, document: &Document<'_>) {
    if let Some((source, value)) = &overrides.algorithm {
        match names::algorithm(value) {
            Ok(algorithm) => config.default_pool.algorithm = algorithm,
            Err(message) => document.override_mistake(source, message),
        }
    }
    if let Some((source, value)) = &overrides.listen {
        match ListenAddress::parse(value) {
            Ok(listen) => config.listen = vec![listen],
            Err(message) => document.override_mistake(source, message),
        }
    }
}
