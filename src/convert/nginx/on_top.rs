//! Directives that apply to the whole balancer here.

use serde_json::json;

use crate::convert::directive::Directive;
use crate::convert::draft::{Draft, push, put};
use crate::convert::quantity::{size, time, written};
use crate::convert::report::{Report, Verdict};

/// Converts a directive that belongs to the top level in our file, whatever its level in nginx; `false` if it
/// is another directive.
pub fn take(directive: &Directive, draft: &mut Draft, report: &mut Report) -> bool {
    let arg = directive.arg(0);
    let top = &mut draft.top;
    let (mut verdict, mut note) = (Verdict::Same, "");
    let mut duration = |field: &str, bare: f64| match time(arg, bare) {
        Some(time) => {
            let value = written(time);
            let was = top.get("timeouts").and_then(|it| it.get(&field["timeouts.".len()..])).cloned();
            if was.is_some_and(|was| was != value) {
                (verdict, note) = (Verdict::Differs, "one value for all: the last one said");
            }
            put(top, field, value);
        }
        None => (verdict, note) = (Verdict::NotHere, "this value was not understood"),
    };
    match directive.name.as_str() {
        "proxy_connect_timeout" => duration("timeouts.connect", 1e3),
        "send_timeout" => duration("timeouts.client_write", 1e3),
        "client_header_timeout" => duration("timeouts.client_header", 1e3),
        "client_body_timeout" => duration("timeouts.client_body", 1e3),
        "keepalive_timeout" => match arg {
            "0" => (verdict, note) = (Verdict::NotHere, "connections are kept; timeouts.client_idle"),
            _ => duration("timeouts.client_idle", 1e3),
        },
        "limit_conn" => {
            match directive.arg(1).parse::<u32>() {
                Ok(most) if most > 0 => put(top, "limits.max_connections_per_ip", most),
                _ => {}
            }
            (verdict, note) = (Verdict::Differs, "connections of an address, for all routes");
        }
        "large_client_header_buffers" => {
            let number: u64 = arg.parse().unwrap_or(4);
            let bytes = number.saturating_mul(size(directive.arg(1)).unwrap_or(8 << 10));
            put(top, "limits.max_header_bytes", bytes.clamp(1 << 10, 1 << 20));
            (verdict, note) = (Verdict::Differs, "of the whole head");
        }
        "set_real_ip_from" => match arg {
            "unix:" => note = "clients of Unix sockets count as 127.0.0.1, which is trusted",
            _ => push(top, "trusted_proxies", arg),
        },
        "real_ip_header" if arg.eq_ignore_ascii_case("x-forwarded-for") => {}
        "real_ip_header" if arg == "proxy_protocol" => note = "proxy_protocol",
        "real_ip_header" => (verdict, note) = (Verdict::NotHere, "X-Forwarded-For, or the PROXY protocol"),
        "real_ip_recursive" => match arg {
            "on" => {}
            _ => (verdict, note) = (Verdict::Differs, "the last address that is not trusted, as with `on`"),
        },
        "resolver" => {
            for server in directive.args.iter().take_while(|arg| !arg.contains('=')) {
                if let Some(dns) = top.entry("dns").or_insert_with(|| json!({})).as_object_mut() {
                    push(dns, "servers", server.as_str());
                }
            }
        }
        "ssl_protocols" => {
            let lowest = if directive.args.iter().any(|arg| arg == "TLSv1.2") { "1.2" } else { "1.3" };
            put(top, "tls.min_version", lowest);
            if directive.args.iter().any(|arg| arg == "TLSv1" || arg == "TLSv1.1") {
                (verdict, note) = (Verdict::Differs, "1.2 is the lowest one");
            }
        }
        "access_log" => match (arg, directive.arg(1)) {
            ("off", _) => put(top, "access_log", false),
            (syslog, _) if syslog.starts_with("syslog:") || syslog.starts_with("/dev/") => {
                put(top, "access_log.format", "combined");
                (verdict, note) = (Verdict::Differs, "to standard output");
            }
            (file, "" | "combined") => {
                put(top, "access_log", json!({ "format": "combined", "file": file }));
                note = "SIGUSR1 opens it again";
            }
            (file, _) => {
                put(top, "access_log", json!({ "format": "combined", "file": file }));
                (verdict, note) =
                    (Verdict::Differs, "combined, or json with the fields that are named (LOGS.md)");
            }
        },
        "error_log" => {
            if !(arg == "stderr"
                || arg.starts_with("/dev/")
                || arg.starts_with("syslog:")
                || arg.starts_with("memory:"))
            {
                put(top, "event_log.file", arg);
            }
            (verdict, note) = (Verdict::Differs, "logfmt or json");
        }
        _ => return false,
    }
    report.note(&directive.place, &directive.text(), verdict, note);
    true
}
