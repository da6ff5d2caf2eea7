//! A `Config` in config.json's own words, every field present: what `check` prints, and what reads
//! back as the same `Config`.

use serde_json::{Map, Value as Json, json};

use super::units::{write_duration, write_size};
use super::{
    Addresses, BackendConfig, Config, HealthCheckConfig, Limits, PoolConfig, RateLimit, RetryConfig, Route,
    Timeouts, TlsConfig, Unmatched, compress, defaults, listen, variables,
};

/// Stands for a secret, and is long enough for any of them.
const HIDDEN: &str = "****************";

impl Config {
    /// The pool `default`, then the named ones.
    pub fn all_pools(&self) -> impl Iterator<Item = &PoolConfig> {
        std::iter::once(&self.default_pool).chain(&self.pools)
    }

    /// The same with what nobody should read on a screen made unreadable.
    #[must_use]
    pub fn without_secrets(&self) -> Config {
        let mut shown = self.clone();
        let token = shown.admin.as_mut().and_then(|admin| admin.token.as_mut());
        for secret in token.into_iter().chain(shown.sticky_key.as_mut()) {
            HIDDEN.clone_into(secret);
        }
        shown
    }

    /// The configuration as config.json would say it, defaults included. Its secrets are in it.
    pub fn to_json(&self) -> Json {
        let mut whole = Map::new();
        whole.insert("listen".into(), listen::to_json(&self.listen));
        whole.insert("workers".into(), json!(self.workers));
        whole.append(&mut balancing(&self.default_pool));
        let named = self.pools.iter().map(|it| (it.name.clone(), Json::Object(pool(it))));
        whole.insert("pools".into(), Json::Object(named.collect()));
        whole.insert("routes".into(), self.routes.iter().map(Route::to_json).collect());
        whole.insert("unmatched".into(), unmatched(self.unmatched));
        whole.insert("health_check".into(), health_check(&self.default_pool.health_check));
        whole.insert("retry".into(), retry(&self.retry));
        whole.insert("timeouts".into(), timeouts(&self.timeouts));
        whole.insert("limits".into(), limits(&self.limits));
        whole.insert("rate_limit".into(), rate_limit(self.rate_limit.as_ref()));
        whole.insert("circuit_breaker".into(), self.breaker());
        whole.insert("dns".into(), self.dns.to_json());
        whole.insert("slow_start".into(), json!(write_duration(self.slow_start)));
        whole.insert("sticky_key".into(), json!(self.sticky_key));
        let networks = self.trusted_proxies.iter().map(|network| network.to_string());
        whole.insert("trusted_proxies".into(), networks.collect());
        whole.insert("host_header".into(), json!(self.host_header.to_string()));
        self.local.write(&mut whole);
        whole.insert("via".into(), json!(self.via));
        whole.insert("pages".into(), self.pages.to_json());
        whole.insert("compress".into(), compress::to_json(self.compress.as_ref()));
        whole.insert("access_log".into(), self.access_log.to_json());
        whole.insert("event_log".into(), self.event_log.to_json());
        whole.insert("front".into(), json!(self.front));
        whole.insert("proxy_protocol".into(), json!(self.proxy_protocol));
        let from = self.proxy_protocol_from.as_ref();
        let from =
            from.map(|networks| networks.iter().map(|network| network.to_string()).collect::<Vec<_>>());
        whole.insert("proxy_protocol_from".into(), json!(from));
        whole.insert("tls".into(), self.tls.as_ref().map_or(Json::Null, tls));
        whole.insert("admin".into(), self.admin());
        let mut whole = Json::Object(whole);
        variables::escape(&mut whole);
        whole
    }

    fn breaker(&self) -> Json {
        let default = defaults::breaker();
        let breaker = self.circuit_breaker.as_ref().unwrap_or(&default);
        json!({
            "enabled": self.circuit_breaker.is_some(),
            "failures": breaker.failures,
            "window": write_duration(breaker.window),
            "cooldown": write_duration(breaker.cooldown),
            "on_status": breaker.on_status,
        })
    }

    fn admin(&self) -> Json {
        let Some(admin) = &self.admin else { return Json::Null };
        json!({ "listen": admin.listen.to_string(), "token": admin.token })
    }
}

impl PoolConfig {
    /// The path of one of its fields, for messages: `pools.api.backends`.
    pub fn path_of(&self, field: &str) -> String {
        match self.name.as_str() {
            defaults::POOL_NAME => field.to_owned(),
            name => format!("pools.{name}.{field}"),
        }
    }
}

fn pool(pool: &PoolConfig) -> Map<String, Json> {
    let mut fields = balancing(pool);
    fields.insert("health_check".into(), health_check(&pool.health_check));
    pool.local.write(&mut fields);
    fields
}

/// A pool's fields but for the probes.
fn balancing(pool: &PoolConfig) -> Map<String, Json> {
    let mut fields = Map::new();
    fields.insert("algorithm".into(), json!(pool.algorithm.to_string()));
    fields.insert("hash_key".into(), json!(pool.hash_key.to_string()));
    fields.insert("sticky_cookie".into(), json!(pool.sticky_cookie));
    fields.insert("backends".into(), pool.backends.iter().map(backend).collect());
    fields
}

fn backend(backend: &BackendConfig) -> Json {
    let mut fields = json!({
        "url": backend.url.to_string(),
        "weight": backend.weight,
        "max_connections": backend.max_connections,
        "backup": backend.backup,
    });
    // Null would say nothing, and it is not a field of most backends.
    if backend.addresses != Addresses::One {
        fields["addresses"] = json!(backend.addresses.to_string());
    }
    if let Some(ca) = &backend.ca {
        fields["ca"] = json!(ca);
    }
    fields
}

fn unmatched(unmatched: Unmatched) -> Json {
    match unmatched {
        Unmatched::Default => json!(defaults::POOL_NAME),
        Unmatched::Refused(status) => json!(status),
    }
}

fn health_check(check: &HealthCheckConfig) -> Json {
    json!({
        "type": check.kind.to_string(),
        "path": check.path,
        "port": check.port,
        "host": check.host,
        "interval": write_duration(check.interval),
        "timeout": write_duration(check.timeout),
        "healthy_threshold": check.healthy_threshold,
        "unhealthy_threshold": check.unhealthy_threshold,
        "expect_status": check.expect_status.to_string(),
        "expect_body": check.expect_body,
    })
}

fn retry(retry: &RetryConfig) -> Json {
    json!({
        "max_retries": retry.max_retries,
        "delay": write_duration(retry.delay),
        "on_status": retry.on_status,
        "non_idempotent": retry.non_idempotent,
        "buffer_body": write_size(retry.buffer_body_bytes as u64),
        "budget_percent": retry.budget_percent,
    })
}

fn timeouts(timeouts: &Timeouts) -> Json {
    json!({
        "connect": write_duration(timeouts.connect),
        "request": write_duration(timeouts.request),
        "stream": write_duration(timeouts.stream),
        "backend_idle": write_duration(timeouts.backend_idle),
        "queue": write_duration(timeouts.queue),
        "client_header": write_duration(timeouts.client_header),
        "client_body": write_duration(timeouts.client_body),
        "client_idle": write_duration(timeouts.client_idle),
        "client_write": write_duration(timeouts.client_write),
        "pre_drain": write_duration(timeouts.pre_drain),
        "drain": write_duration(timeouts.drain),
        "resolve": write_duration(timeouts.resolve),
    })
}

fn limits(limits: &Limits) -> Json {
    json!({
        "max_connections": limits.max_connections,
        "max_connections_per_ip": limits.max_connections_per_ip,
        "max_queue": limits.max_queue,
        "max_streams": limits.max_streams,
        "max_header_bytes": write_size(limits.max_header_bytes as u64),
        "max_body_bytes": limits.max_body_bytes.map(write_size),
        "max_idle_per_backend": limits.max_idle_per_backend,
    })
}

fn rate_limit(limit: Option<&RateLimit>) -> Json {
    let default = defaults::rate_limit();
    let values = limit.unwrap_or(&default);
    json!({
        "enabled": limit.is_some(),
        "requests_per_second": number(values.requests_per_second),
        "burst": values.burst,
    })
}

/// 100 rather than 100.0.
fn number(value: f64) -> Json {
    // Below this every whole f64 is exact.
    const MOST_EXACT: f64 = 9_007_199_254_740_992.0;
    match value.fract() == 0.0 && (0.0..MOST_EXACT).contains(&value) {
        true => json!(value as u64),
        false => json!(value),
    }
}

fn tls(tls: &TlsConfig) -> Json {
    let certificate = |it: &super::CertificateConfig| json!({ "certificate": it.certificate, "private_key": it.private_key });
    json!({
        "listen": tls.listen.to_string(),
        "certificates": tls.certificates.iter().map(certificate).collect::<Vec<_>>(),
        "min_version": tls.min_version.to_string(),
        "redirect_http": tls.redirect_http,
        "proxy_protocol": tls.proxy_protocol,
    })
}
