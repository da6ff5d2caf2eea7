//! From what the file says to a `Config`: every field with its default, its kind and its bounds. A
//! field that is wrong is reported and read as its default, so that the rest is checked as well.

mod actions;
mod listeners;
mod pools;
mod routes;
mod secret;

use super::bounds::{
    BODY_BYTES, BUFFER_BYTES, BURST, HEADER_BYTES, MAX_RETRIES, MOST_CONNECTIONS, MOST_STREAMS, PERCENT,
    REQUESTS_PER_SECOND, THRESHOLD, WORKERS,
};
use super::document::Document;
use super::error::ConfigErrors;
use super::raw::Fields;
use super::read::{boolean, duration, duration_or_zero, list, number, size, text, whole};
use super::{
    BreakerConfig, Config, Limits, ListenAddress, Overrides, RateLimit, RetryConfig, Timeouts, address,
    compress, defaults, dns, listen, logs, names, pages, policy, units,
};

/// Reads the file, then the overrides.
pub(super) fn resolve(source: &str, overrides: &Overrides) -> Result<Config, ConfigErrors> {
    let document = Document::new(source, &overrides.variables)?;
    let config = document.read(|fields| config(fields, &document, overrides));
    match document.finish() {
        Ok(()) => Ok(config),
        Err(mistakes) => Err(mistakes.with_rest(config)),
    }
}

fn config(fields: &Fields<'_>, document: &Document<'_>, overrides: &Overrides) -> Config {
    let default = defaults::config();
    let mut config = Config {
        listen: listen::listen(fields, default.listen),
        workers: fields.value("workers", default.workers, whole(WORKERS)),
        default_pool: pools::pool(fields, &default.default_pool.name, &default.default_pool),
        retry: fields.object("retry", retry),
        timeouts: fields.object("timeouts", timeouts),
        limits: fields.object("limits", limits),
        rate_limit: fields.object("rate_limit", rate_limit),
        circuit_breaker: fields.object("circuit_breaker", breaker),
        dns: fields.object("dns", dns::dns),
        slow_start: fields.value("slow_start", default.slow_start, duration_or_zero),
        sticky_key: fields.nullable("sticky_key", default.sticky_key, secret::sticky_key),
        trusted_proxies: fields.value(
            "trusted_proxies",
            default.trusted_proxies,
            list(address::NETWORKS, text(address::NETWORK, address::network)),
        ),
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
        proxy_protocol_from: fields.nullable(
            "proxy_protocol_from",
            default.proxy_protocol_from,
            list(address::NETWORKS, text(address::NETWORK, address::network)),
        ),
        tls: listeners::tls(fields),
        admin: listeners::admin(fields),
        unmatched: fields.value("unmatched", default.unmatched, routes::unmatched),
        ..default
    };
    apply(overrides, &mut config, document);
    // After the overrides, because named pools inherit the algorithm.
    config.pools = pools::named(fields, &config.default_pool);
    if config.pools.is_empty() {
        // Else it may be meant for those that say nothing of their own.
        pools::check_probe_port(fields, &config.default_pool);
    }
    config.routes = routes::routes(fields, &config.pools);
    routes::check_strays(fields, &mut config);
    listeners::check_distinct(fields, &config);
    config
}

/// Environment and flags win over the file.
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

fn retry(fields: &Fields<'_>) -> RetryConfig {
    let default = defaults::retry();
    let buffer_body = fields.value("buffer_body", default.buffer_body_bytes as u64, size(BUFFER_BYTES));
    RetryConfig {
        max_retries: fields.value("max_retries", default.max_retries, whole(MAX_RETRIES)),
        delay: fields.value("delay", default.delay, duration_or_zero),
        on_status: statuses(fields, default.on_status),
        non_idempotent: fields.value("non_idempotent", default.non_idempotent, boolean),
        buffer_body_bytes: buffer_body as usize,
        budget_percent: fields.value("budget_percent", default.budget_percent, whole(PERCENT)),
    }
}

fn statuses(fields: &Fields<'_>, default: Vec<u16>) -> Vec<u16> {
    fields.value("on_status", default, list(units::STATUSES, whole(units::STATUS)))
}

fn timeouts(fields: &Fields<'_>) -> Timeouts {
    let default = defaults::timeouts();
    Timeouts {
        connect: fields.value("connect", default.connect, duration),
        request: fields.value("request", default.request, duration),
        stream: fields.value("stream", default.stream, duration),
        backend_idle: fields.value("backend_idle", default.backend_idle, duration_or_zero),
        queue: fields.value("queue", default.queue, duration_or_zero),
        client_header: fields.value("client_header", default.client_header, duration),
        client_body: fields.value("client_body", default.client_body, duration),
        client_idle: fields.value("client_idle", default.client_idle, duration),
        client_write: fields.value("client_write", default.client_write, duration),
        pre_drain: fields.value("pre_drain", default.pre_drain, duration_or_zero),
        drain: fields.value("drain", default.drain, duration_or_zero),
        resolve: fields.value("resolve", default.resolve, duration),
    }
}

fn limits(fields: &Fields<'_>) -> Limits {
    let default = defaults::limits();
    let head = fields.value("max_header_bytes", default.max_header_bytes as u64, size(HEADER_BYTES));
    Limits {
        max_connections: fields.value(
            "max_connections",
            default.max_connections,
            whole(1..=MOST_CONNECTIONS),
        ),
        max_connections_per_ip: fields.nullable(
            "max_connections_per_ip",
            default.max_connections_per_ip,
            whole(1..=MOST_CONNECTIONS),
        ),
        max_queue: fields.value("max_queue", default.max_queue, whole(0..=MOST_CONNECTIONS)),
        max_streams: fields.value("max_streams", default.max_streams, whole(0..=MOST_STREAMS)),
        max_header_bytes: head as usize,
        max_body_bytes: fields.nullable("max_body_bytes", default.max_body_bytes, size(BODY_BYTES)),
        max_idle_per_backend: fields.value(
            "max_idle_per_backend",
            default.max_idle_per_backend,
            whole(0..=MOST_CONNECTIONS),
        ),
    }
}

/// Checked even while it is switched off: it will be switched on one day.
fn rate_limit(fields: &Fields<'_>) -> Option<RateLimit> {
    let default = defaults::rate_limit();
    let enabled = fields.value("enabled", defaults::config().rate_limit.is_some(), boolean);
    let limit = RateLimit {
        requests_per_second: fields.value(
            "requests_per_second",
            default.requests_per_second,
            number(REQUESTS_PER_SECOND),
        ),
        burst: fields.value("burst", default.burst, whole(BURST)),
    };
    enabled.then_some(limit)
}

/// Checked even while it is switched off, as the rate limit is.
fn breaker(fields: &Fields<'_>) -> Option<BreakerConfig> {
    let default = defaults::breaker();
    let enabled = fields.value("enabled", defaults::config().circuit_breaker.is_some(), boolean);
    let breaker = BreakerConfig {
        failures: fields.value("failures", default.failures, whole(THRESHOLD)),
        window: fields.value("window", default.window, duration),
        cooldown: fields.value("cooldown", default.cooldown, duration),
        on_status: statuses(fields, default.on_status),
    };
    enabled.then_some(breaker)
}
