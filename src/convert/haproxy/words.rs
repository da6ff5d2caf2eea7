//! Lines that apply to the whole balancer here, and those that have no meaning for it.

use serde_json::json;

use super::syntax::Line;
use crate::convert::draft::{Draft, put};
use crate::convert::quantity::{time, written};
use crate::convert::report::{Report, Verdict};

/// Converts a line that belongs to the top level in our file; `false` if it is another line.
pub fn on_top(line: &Line, draft: &mut Draft, report: &mut Report) -> bool {
    let top = &mut draft.top;
    let (mut verdict, mut note) = (Verdict::Same, "");
    let mut duration = |fields: &[&str], text: &str| match time(text, 1.0) {
        Some(time) => fields.iter().for_each(|field| put(top, field, written(time))),
        None => (verdict, note) = (Verdict::NotHere, "this value was not understood"),
    };
    match (line.word(0), line.word(1)) {
        ("timeout", "connect") => duration(&["timeouts.connect"], line.word(2)),
        ("timeout", "client") => {
            duration(&["timeouts.client_body", "timeouts.client_write", "timeouts.client_idle"], line.word(2))
        }
        ("timeout", "http-request") => duration(&["timeouts.client_header"], line.word(2)),
        ("timeout", "http-keep-alive") => duration(&["timeouts.client_idle"], line.word(2)),
        ("timeout", "queue") => duration(&["timeouts.queue"], line.word(2)),
        ("timeout", "tunnel") => {
            (verdict, note) =
                (Verdict::Differs, "a tunnel may be silent; timeouts.stream is for event streams")
        }
        ("maxconn", most) => match most.parse::<u64>() {
            Ok(most) if most > 0 => put(top, "limits.max_connections", most.min(1_000_000)),
            _ => (verdict, note) = (Verdict::NotHere, "this value was not understood"),
        },
        ("compression", "algo") => match line.words.iter().any(|word| word == "gzip") {
            true => {
                if top.get("compress").is_none() {
                    put(top, "compress", json!({}));
                }
            }
            false => (verdict, note) = (Verdict::NotHere, "gzip only"),
        },
        ("compression", "type") => put(top, "compress.types", line.words[2..].to_vec()),
        ("unique-id-header", _) => {
            (verdict, note) = (Verdict::Differs, "X-Request-ID is set without being asked for")
        }
        ("hard-stop-after", text) => duration(&["timeouts.drain"], text),
        _ => return false,
    }
    report.note(&line.place, &line.text(), verdict, note);
    true
}

/// Adds a row for a remaining line.
pub fn note(line: &Line, report: &mut Report) {
    let (verdict, why) = known(line.word(0), line.word(1));
    report.note(&line.place, &line.text(), verdict, why);
}

fn known(first: &str, second: &str) -> (Verdict, &'static str) {
    use Verdict::{Differs, Ignored, NotHere, Same};
    match (first, second) {
        ("mode", "http") => (Same, ""),
        ("mode", _) => (NotHere, "HTTP only"),
        ("no", _) => (Ignored, ""),
        ("option", "forwardfor") => {
            (Same, "set without being asked for; what clients send counts from trusted_proxies only")
        }
        ("option", "redispatch") => (Same, "each attempt is on another backend while there is one"),
        (
            "option",
            "httplog"
            | "dontlognull"
            | "dontlog-normal"
            | "log-health-checks"
            | "logasap"
            | "log-separate-errors"
            | "tcplog"
            | "contstats"
            | "socket-stats",
        )
        | (
            "log" | "log-format" | "log-tag" | "log-send-hostname" | "error-log-format" | "log-format-sd",
            _,
        ) => (Ignored, "access_log and event_log: LOGS.md"),
        (
            "option",
            "http-server-close"
            | "http-keep-alive"
            | "prefer-last-server"
            | "http-no-delay"
            | "tcp-smart-accept"
            | "tcp-smart-connect"
            | "splice-auto"
            | "http-ignore-probes"
            | "http-buffer-request"
            | "nolinger",
        )
        | ("http-reuse", _) => (Ignored, "connections are kept, and a request's is its own while it lasts"),
        ("option", "httpclose" | "forceclose") => (Differs, "connections are kept"),
        (
            "option",
            "tcpka"
            | "clitcpka"
            | "srvtcpka"
            | "abortonclose"
            | "allbackups"
            | "checkcache"
            | "idle-close-on-response"
            | "h1-case-adjust-bogus-client"
            | "h1-case-adjust-bogus-server",
        ) => (Ignored, "so anyway, or with no meaning here"),
        (
            "option",
            "tcp-check" | "mysql-check" | "redis-check" | "smtpchk" | "pgsql-check" | "ldap-check"
            | "ssl-hello-chk" | "external-check",
        ) => (NotHere, "a probe is a GET or a connection that opens"),
        ("option", "forwarded" | "originalto") => (NotHere, "X-Forwarded-For, -Proto and -Host are set"),
        ("timeout", "client-fin" | "server-fin" | "tarpit") => (Ignored, "the other timeouts bound it"),
        (
            "default-server"
            | "fullconn"
            | "backlog"
            | "nbproc"
            | "nbthread"
            | "cpu-map"
            | "cpu-policy"
            | "thread-groups"
            | "daemon"
            | "master-worker"
            | "pidfile"
            | "user"
            | "group"
            | "uid"
            | "gid"
            | "chroot"
            | "ulimit-n"
            | "spread-checks"
            | "node"
            | "description"
            | "quiet"
            | "set-dumpable"
            | "external-check"
            | "insecure-fork-wanted"
            | "presetenv"
            | "setenv"
            | "localpeer"
            | "zero-warning"
            | "strict-limits"
            | "maxpipes"
            | "numa-cpu-mapping"
            | "unix-bind"
            | "state-file-base"
            | "server-state-base"
            | "server-state-file"
            | "load-server-state-from-file"
            | "h1-case-adjust"
            | "expose-experimental-directives",
            _,
        ) => (Ignored, "the process and its surroundings"),
        (name, _)
            if name.starts_with("tune.") || name.starts_with("ssl-d") || name.starts_with("profiling.") =>
        {
            (Ignored, "how HAProxy works inside")
        }
        ("ca-base" | "crt-base" | "maxsslconn" | "maxconnrate" | "maxsslrate", _) => {
            (Ignored, "the process and its surroundings")
        }
        ("stats", "socket" | "timeout" | "maxconn") => {
            (Differs, "the admin listener (TAKE_A_BACKEND_OUT.md)")
        }
        ("stats", _) => (Differs, "/lb-dashboard and /lb-metrics, for those in `pages`"),
        ("monitor-uri" | "monitor" | "monitor-net", _) => (Differs, "/lb-health"),
        ("rate-limit", _) => (NotHere, "rate_limit is for each client's address"),
        ("stick-table" | "stick", _) => (NotHere, "no tables: sticky_cookie, consistent_hash, rate_limit"),
        ("http-request" | "tcp-request" | "http-response", name)
            if name.starts_with("track-sc") || name.starts_with("sc-") =>
        {
            (NotHere, "no tables: rate_limit is for each client's address")
        }
        ("redirect", _) => (NotHere, "a redirect is a route's"),
        (
            "http-request",
            "set-path" | "replace-path" | "set-uri" | "replace-uri" | "set-query" | "replace-pathq"
            | "set-pathq" | "normalize-uri",
        ) => (NotHere, "strip_prefix and add_prefix of a route"),
        (
            "http-request",
            "set-log-level" | "capture" | "set-tos" | "set-mark" | "disable-l7-retry" | "set-nice"
            | "set-priority-class",
        )
        | ("capture" | "declare", _) => (Ignored, "access_log: LOGS.md"),
        ("http-request" | "http-response", "lua.") | ("lua-load" | "lua-load-per-thread" | "filter", _) => {
            (NotHere, "no programs inside; forward_auth asks one")
        }
        ("http-request" | "http-response" | "tcp-request" | "tcp-response", _) => {
            (NotHere, "no such rule here: RULES.md has what there is")
        }
        ("errorfile" | "errorloc" | "errorloc302" | "errorloc303" | "errorfiles" | "http-error", _) => {
            (NotHere, "error_pages has files with bodies alone")
        }
        ("cache" | "http-request cache-use" | "max-object-size" | "total-max-size" | "max-age", _) => {
            (NotHere, "nothing is kept")
        }
        ("email-alert" | "mailer", _) => (NotHere, "alerts are Prometheus' (METRICS.md)"),
        ("persist" | "appsession" | "dispatch" | "transparent" | "option transparent", _) => {
            (NotHere, "can't be said here")
        }
        ("source" | "usesrc", _) => (NotHere, "the system chooses the address"),
        ("bind-process" | "id" | "guid" | "disabled" | "enabled", _) => (Ignored, ""),
        _ => (NotHere, "this word is not known here"),
    }
}
