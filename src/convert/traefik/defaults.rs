//! Traefik's implicit defaults.

use serde_json::json;

use crate::convert::defaults::without_breaker_and_via;
use crate::convert::draft::{Draft, put};
use crate::convert::report::{Report, Verdict};

/// Sets Traefik's implicit defaults where ours differ.
pub fn unsaid(draft: &mut Draft, report: &mut Report) {
    for (field, value, name) in [
        ("timeouts.connect", "30s", "dialTimeout 30s"),
        ("timeouts.client_idle", "180s", "idleTimeout 180s"),
        ("timeouts.client_body", "60s", "readTimeout 60s"),
    ] {
        if !draft.says(field) {
            put(&mut draft.top, field, value);
            report.unsaid(name, Verdict::Same, "");
        }
    }
    if !draft.says("timeouts.request") {
        put(&mut draft.top, "timeouts.request", "60s");
        report.unsaid(
            "responseHeaderTimeout 0s",
            Verdict::Differs,
            "60 s (timeouts.request), where it waits without end",
        );
    }
    if !draft.says("retry.max_retries") {
        put(&mut draft.top, "retry.max_retries", 0);
        report.unsaid("no retries", Verdict::Same, "retry.max_retries is 0; more hide a backend that fails");
    }
    without_breaker_and_via(draft, report);
    draft.top.entry("trusted_proxies").or_insert_with(|| json!([]));
    put(&mut draft.top, "unmatched", 404);
    report.unsaid(
        "no health check",
        Verdict::Differs,
        "backends are probed: a connection that opens (health_check.type tcp), unless one is said",
    );
    report.unsaid("404 for what no router takes", Verdict::Same, "unmatched");
    report.unsaid(
        "502 for a backend that can't be reached",
        Verdict::Differs,
        "503, and 504 for one that is too slow",
    );
    report.unsaid(
        "X-Forwarded-Port, X-Forwarded-Server",
        Verdict::Differs,
        "X-Forwarded-For, -Proto, -Host, X-Real-IP and X-Request-ID are set",
    );
}
