//! `health_check`: how backends are probed.

use std::time::Duration;

use serde::Serialize;

use super::error::quoted;
use super::raw::Fields;
use super::read::{PATH, THRESHOLD, duration, path, text, whole};
use super::{HealthCheckKind, StatusRanges, names, units, url, write};

const HOST: &str = r#"a host such as "example.com", or null"#;
const BODY: &str = "text that a healthy answer contains, or null";

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HealthCheckConfig {
    /// The kind of probe.
    #[serde(rename = "type")]
    pub kind: HealthCheckKind,
    /// Request target of an HTTP probe; starts with `/`.
    pub path: String,
    /// Port to probe; `None` means the backend's own.
    pub port: Option<u16>,
    /// `Host` of an HTTP probe; `None` means the backend's own.
    pub host: Option<String>,
    /// Time from the start of one probe to the start of the next.
    #[serde(serialize_with = "write::duration")]
    pub interval: Duration,
    /// A probe that takes longer has failed.
    #[serde(serialize_with = "write::duration")]
    pub timeout: Duration,
    /// Consecutive passed probes that make a backend healthy.
    pub healthy_threshold: u32,
    /// Consecutive failed probes that make a backend unhealthy.
    pub unhealthy_threshold: u32,
    /// Statuses with which an HTTP probe passes.
    pub expect_status: StatusRanges,
    /// Text that the first 64 KiB of the body must contain.
    pub expect_body: Option<String>,
}

impl Default for HealthCheckConfig {
    fn default() -> HealthCheckConfig {
        HealthCheckConfig {
            kind: HealthCheckKind::Http,
            path: "/health".to_string(),
            port: None,
            host: None,
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(3),
            healthy_threshold: 2,
            unhealthy_threshold: 2,
            expect_status: StatusRanges(vec![(200, 399)]),
            expect_body: None,
        }
    }
}

/// Reads `health_check`; fields left out are as in `parent`.
pub(super) fn health_check(fields: &Fields<'_>, parent: &HealthCheckConfig) -> HealthCheckConfig {
    let parent = parent.clone();
    let threshold = || whole(THRESHOLD);
    HealthCheckConfig {
        kind: fields.value("type", parent.kind, text(names::HEALTH_CHECK_KIND, names::health_check_kind)),
        path: fields.value("path", parent.path, text(PATH, path)),
        port: fields.nullable("port", parent.port, whole(1..=u16::MAX)),
        host: fields.nullable("host", parent.host, text(HOST, probe_host)),
        interval: fields.value("interval", parent.interval, duration),
        timeout: fields.value("timeout", parent.timeout, duration),
        healthy_threshold: fields.value("healthy_threshold", parent.healthy_threshold, threshold()),
        unhealthy_threshold: fields.value("unhealthy_threshold", parent.unhealthy_threshold, threshold()),
        expect_status: fields.value(
            "expect_status",
            parent.expect_status,
            text(units::STATUS_RANGES, units::status_ranges),
        ),
        expect_body: fields.nullable("expect_body", parent.expect_body, text(BODY, body_text)),
    }
}

fn body_text(text: &str) -> Result<String, String> {
    match text.is_empty() {
        true => Err(format!("empty; write {BODY}")),
        false => Ok(text.to_string()),
    }
}

/// Validates a `Host` value, which is sent unchanged.
fn probe_host(text: &str) -> Result<String, String> {
    match url::host_and_port(text) {
        Ok(_) => Ok(text.to_string()),
        Err(_) => Err(format!("{} is not a host; write {HOST}", quoted(text))),
    }
}
