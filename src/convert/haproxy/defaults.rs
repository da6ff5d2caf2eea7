//! HAProxy's implicit defaults.

use super::proxies::Proxy;
use crate::convert::defaults::without_breaker_and_via;
use crate::convert::draft::{Draft, put};
use crate::convert::report::{Report, Verdict};

/// Sets HAProxy's implicit defaults where ours differ.
pub fn unsaid(proxies: &[Proxy<'_>], draft: &mut Draft, report: &mut Report) {
    let says = |first: &str, second: &str| {
        proxies.iter().any(|proxy| {
            proxy
                .lines
                .iter()
                .any(|line| line.word(0) == first && (second.is_empty() || line.word(1) == second))
        })
    };
    for (name, field) in [
        ("connect", "timeouts.connect"),
        ("server", "timeouts.request"),
        ("client", "timeouts.client_body"),
        ("http-request", "timeouts.client_header"),
    ] {
        if !says("timeout", name) {
            let note = format!("{field} bounds it as by default");
            report.unsaid(&format!("no timeout {name}"), Verdict::Differs, note);
        }
    }
    if !says("retries", "") {
        put(&mut draft.top, "retry.max_retries", 3);
        report.unsaid("retries 3", Verdict::Same, "");
    }
    if !says("option", "redispatch") {
        report.unsaid(
            "no option redispatch",
            Verdict::Differs,
            "each attempt is on another backend, at once",
        );
    }
    without_breaker_and_via(draft, report);
    if !says("option", "forwardfor") {
        report.unsaid(
            "no forwarded fields",
            Verdict::Differs,
            "X-Forwarded-For, -Proto, -Host, X-Real-IP and X-Request-ID are set",
        );
    }
    report.unsaid("names of fields in lower case", Verdict::Differs, "as they came");
}
