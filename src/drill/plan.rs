//! Adapts a configuration for a drill: the same choices, with all waits short enough for a drill of about a
//! minute, and without parts that do not concern backends. Pure; reports its changes.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::config::{BackendConfig, Config, EventLogConfig, HealthCheckKind, Unmatched, write_duration};

/// Upper limits for times in a drill.
const MAX_REQUEST: Duration = Duration::from_secs(1);
const MAX_CONNECT: Duration = Duration::from_millis(500);
const MAX_INTERVAL: Duration = Duration::from_millis(500);
const MAX_PROBE: Duration = Duration::from_secs(1);
const MAX_COOLDOWN: Duration = Duration::from_secs(2);
const MAX_DELAY: Duration = Duration::from_millis(200);
const MAX_SLOW_START: Duration = Duration::from_secs(1);
const MAX_DRAIN: Duration = Duration::from_secs(10);
const MAX_QUEUE: Duration = Duration::from_secs(5);
/// Upper limit for thresholds of consecutive probes.
const MAX_THRESHOLD: u32 = 3;
/// Upper limit for backends; more would not improve a drill.
const MAX_BACKENDS: usize = 8;
/// Upper limit for attempts in a client's patience.
const MAX_ATTEMPTS: u32 = 10;
/// The target of probes, which requests never use.
pub const HEALTH_PATH: &str = "/drill-health";
/// Intervals between probes vary by a tenth, and a busy machine adds delays.
const JITTER: f64 = 1.1;
const SLACK: Duration = Duration::from_secs(2);

/// See the module.
pub struct Plan {
    /// The configuration for the drill, except for the backends.
    config: Config,
    /// The configured backends whose settings the drill's backends take over.
    pub backends: Vec<BackendConfig>,
    /// Index of the backend that misbehaves.
    pub victim: usize,
    /// The changes, for the user.
    pub notes: Vec<String>,
}

impl Plan {
    /// The plan for this configuration.
    pub fn new(original: &Config) -> Plan {
        let mut config = original.clone();
        let mut scaled = Vec::new();
        scale(&mut config, &mut scaled);
        let mut notes = Vec::new();
        if !scaled.is_empty() {
            notes.push(format!("scaled, so that it is over soon: {}", scaled.join(", ")));
        }
        notes.extend(leave_out(&mut config));
        let takes_requests = |backend: &&BackendConfig| backend.weight > 0;
        let backends: Vec<BackendConfig> =
            config.default_pool.backends.iter().filter(takes_requests).take(MAX_BACKENDS).cloned().collect();
        let victim = backends.iter().position(|backend| !backend.backup).unwrap_or(0);
        if backends.len() == 1 {
            notes.push("there is one backend, so nothing can take over from it".to_owned());
        }
        Plan { config, backends, victim, notes }
    }

    /// A summary in one line.
    pub fn summary(&self) -> String {
        let count = self.backends.len();
        let plural = if count == 1 { "" } else { "s" };
        let pool = &self.config.default_pool;
        format!("{count} backend{plural}, {}, {} retries", pool.algorithm, self.config.retry.max_retries)
    }

    /// The balancer's configuration with backends at these addresses and with these weights.
    pub fn json(&self, backends: &[(SocketAddr, u32)]) -> Value {
        let mut config = self.config.to_json();
        let backend = |((address, weight), config): (&(SocketAddr, u32), &BackendConfig)| {
            json!({
                "url": format!("http://{address}"),
                "weight": weight,
                "max_connections": config.max_connections,
                "backup": config.backup,
            })
        };
        config["backends"] = backends.iter().zip(&self.backends).map(backend).collect();
        config["listen"] = json!("127.0.0.1:0");
        // Lets each request have its own client address and an id that backends see.
        config["trusted_proxies"] = json!(["127.0.0.0/8"]);
        // The checks between scenarios use such an address, too.
        config["pages"] = json!(true);
        config
    }

    /// How long after a failure the backend gets requests again: through its probes, or if those never
    /// failed, through its breaker.
    pub fn recovery(&self) -> Duration {
        let check = &self.config.default_pool.health_check;
        let probes = check.interval.mul_f64(JITTER) * check.healthy_threshold + check.timeout;
        let breaker = self.config.circuit_breaker.as_ref().map_or(Duration::ZERO, |it| it.cooldown);
        probes.max(breaker) + self.config.slow_start + SLACK
    }

    /// Whether the backends are probed.
    pub fn is_probed(&self) -> bool {
        self.config.default_pool.health_check.kind != HealthCheckKind::None
    }

    /// How long a client waits for more of an answer before it counts as lost.
    pub fn patience(&self) -> Duration {
        let timeouts = &self.config.timeouts;
        let attempts = self.config.retry.max_retries.min(MAX_ATTEMPTS) + 1;
        (timeouts.connect + timeouts.request + self.config.retry.delay) * attempts + timeouts.queue + SLACK
    }

    /// Time limit of an attempt, which ends a stall.
    pub fn request_timeout(&self) -> Duration {
        self.config.timeouts.request
    }

    /// Limit of a drain including the time before it.
    pub fn drain(&self) -> Duration {
        self.config.timeouts.pre_drain + self.config.timeouts.drain
    }
}

fn scale(config: &mut Config, scaled: &mut Vec<String>) {
    let mut cap = |name: &str, value: &mut Duration, most: Duration| {
        if *value > most {
            let (from, to) = (write_duration(*value), write_duration(most));
            scaled.push(format!("{name} {from} -> {to}"));
            *value = most;
        }
    };
    let (timeouts, check) = (&mut config.timeouts, &mut config.default_pool.health_check);
    cap("timeouts.request", &mut timeouts.request, MAX_REQUEST);
    cap("timeouts.connect", &mut timeouts.connect, MAX_CONNECT);
    cap("timeouts.queue", &mut timeouts.queue, MAX_QUEUE);
    cap("timeouts.drain", &mut timeouts.drain, MAX_DRAIN);
    cap("timeouts.pre_drain", &mut timeouts.pre_drain, MAX_INTERVAL);
    cap("health_check.interval", &mut check.interval, MAX_INTERVAL);
    cap("health_check.timeout", &mut check.timeout, MAX_PROBE);
    cap("retry.delay", &mut config.retry.delay, MAX_DELAY);
    cap("slow_start", &mut config.slow_start, MAX_SLOW_START);
    if let Some(breaker) = &mut config.circuit_breaker {
        cap("circuit_breaker.cooldown", &mut breaker.cooldown, MAX_COOLDOWN);
    }
    check.healthy_threshold = check.healthy_threshold.min(MAX_THRESHOLD);
    check.unhealthy_threshold = check.unhealthy_threshold.min(MAX_THRESHOLD);
}

/// Removes the parts that do not concern the drill; returns a note on those that the user may miss.
fn leave_out(config: &mut Config) -> Option<String> {
    let mut left_out = Vec::new();
    let mut note = |name: &'static str, is_set: bool| left_out.extend(is_set.then_some(name));
    note("pools", !config.pools.is_empty());
    note("routes", !config.routes.is_empty());
    note("unmatched", config.unmatched != Unmatched::Default);
    note("tls", config.tls.is_some());
    note("rate_limit", config.rate_limit.is_some());
    note("limits.max_connections_per_ip", config.limits.max_connections_per_ip.is_some());
    note("proxy_protocol", config.proxy_protocol);
    config.pools.clear();
    config.routes.clear();
    config.unmatched = Unmatched::Default;
    (config.tls, config.admin, config.rate_limit) = (None, None, None);
    config.limits.max_connections_per_ip = None;
    config.proxy_protocol = false;
    config.access_log.enabled = false;
    config.access_log.file = None;
    config.event_log = EventLogConfig::default();
    let check = &mut config.default_pool.health_check;
    (check.port, check.host, check.expect_body) = (None, None, None);
    HEALTH_PATH.clone_into(&mut check.path);
    check.expect_status = crate::config::StatusRanges(vec![(200, 399)]);
    (!left_out.is_empty()).then(|| format!("left out: {}", left_out.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Overrides, parse};

    #[test]
    fn strangers_are_served_in_a_drill_which_has_no_routes() {
        let plan = plan(
            r#"{ "unmatched": 404, "backends": [ { "url": "http://a" } ],
                 "routes": [ { "path": "/v1", "pool": "default" } ] }"#,
        );
        assert_eq!(plan.config.unmatched, Unmatched::Default);
        assert!(
            plan.notes.iter().any(|note| note.contains("left out: routes, unmatched")),
            "{:?}",
            plan.notes
        );
    }

    fn plan(text: &str) -> Plan {
        Plan::new(&parse(text, &Overrides::default()).unwrap())
    }

    #[test]
    fn waits_are_scaled_and_choices_are_not() {
        let plan = plan(
            r#"{ "algorithm": "least_conn", "retry": { "max_retries": 1 }, "rate_limit": { "enabled": true } }"#,
        );
        let text = plan.notes.join("\n");
        assert!(text.contains("timeouts.request 10s -> 1s"), "{text}");
        assert!(text.contains("left out: rate_limit"), "{text}");
        let json = plan.json(&[("127.0.0.1:1".parse().unwrap(), 1)]);
        assert_eq!((&json["algorithm"], &json["retry"]["max_retries"]), (&json!("least_conn"), &json!(1)));
        assert_eq!(json["rate_limit"]["enabled"], false);
        let again = parse(&json.to_string(), &Overrides::default()).expect("a valid configuration");
        assert_eq!(again.timeouts.request, MAX_REQUEST);
    }

    #[test]
    fn short_waits_stay_as_they_are() {
        let plan = plan(r#"{ "timeouts": { "request": "300ms" }, "circuit_breaker": { "enabled": false } }"#);
        assert_eq!(plan.request_timeout(), Duration::from_millis(300));
        assert!(!plan.notes.join("\n").contains("cooldown"));
        assert!(plan.recovery() < Duration::from_secs(5));
    }

    #[test]
    fn the_victim_is_one_that_gets_requests() {
        let plan = plan(
            r#"{ "backends": [ { "url": "http://a", "weight": 0 }, { "url": "http://b", "backup": true }, { "url": "http://c" } ] }"#,
        );
        assert_eq!((plan.backends.len(), plan.victim), (2, 1));
    }
}
