//! Converts entry points into listeners.

use super::walk::{Part, differs, ignored, not_here, same, told};
use crate::convert::draft::{Draft, push, put};
use crate::convert::listen::Listeners;
use crate::convert::quantity::{time, written};
use crate::convert::report::{Remark, Report, Verdict};
use crate::convert::tree::Node;

#[derive(Debug, Clone, Default)]
struct EntryPoint {
    name: String,
    address: String,
    is_secure: bool,
    is_plain: bool,
    to_https: bool,
}

/// All entry points, with how routers use them.
#[derive(Debug, Default)]
pub struct EntryPoints(Vec<EntryPoint>);

impl EntryPoints {
    /// Reads the entry points of a static file.
    pub fn read(&mut self, part: &Part<'_>, draft: &mut Draft, report: &mut Report) {
        for (name, entry) in part.entries() {
            let mut point = EntryPoint { name: name.to_owned(), ..EntryPoint::default() };
            entry.each(report, |name, part, report| point.field(name, part, draft, report));
            self.0.push(point);
        }
    }

    /// Notes that a router uses these entry points, or all if none is named.
    pub fn used(&mut self, names: &[&str], is_secure: bool, to_https: bool) {
        let all = names.is_empty();
        for point in self.0.iter_mut().filter(|point| all || names.contains(&point.name.as_str())) {
            point.is_secure |= is_secure;
            point.is_plain |= !is_secure && !to_https;
            point.to_https |= to_https;
        }
    }

    /// Adds the listeners.
    pub fn finish(self, listeners: &mut Listeners, report: &mut Report) {
        if self.0.is_empty() {
            listeners.add("0.0.0.0:80", false);
            report.unsaid("entryPoints.http.address: :80", Verdict::Same, "");
        }
        for point in self.0 {
            let is_tls = point.is_secure && !point.is_plain;
            listeners.add(&point.address, is_tls);
            listeners.redirect_http |= !is_tls && point.to_https && !point.is_plain;
        }
    }
}

impl EntryPoint {
    fn field(
        &mut self,
        name: &str,
        part: &Part<'_>,
        draft: &mut Draft,
        report: &mut Report,
    ) -> Option<Remark> {
        let top = &mut draft.top;
        match name {
            "address" => {
                let text = part.node.text();
                if text.ends_with("/udp") {
                    return not_here("HTTP only");
                }
                let text = text.trim_end_matches("/tcp");
                self.address = if text.starts_with(':') { text.to_owned() } else { text.replace("*:", ":") };
                same()
            }
            "http" => {
                part.each(report, |name, part, _| match name {
                    "redirections" => {
                        self.to_https =
                            part.node.at("entryPoint.scheme").is_none_or(|it| it.text() == "https");
                        differs("tls.redirect_http, with 308")
                    }
                    "tls" => {
                        self.is_secure = true;
                        same()
                    }
                    "middlewares" => not_here("name them in each router"),
                    "sanitizePath" | "encodeQuerySemicolons" | "maxHeaderBytes" | "encodedCharacters" => {
                        differs("paths and queries are passed on as they came")
                    }
                    _ => None,
                });
                told()
            }
            "forwardedHeaders" => {
                match part.node.get("insecure").map(Node::text) {
                    Some("true") => {
                        ["0.0.0.0/0", "::/0"].iter().for_each(|all| push(top, "trusted_proxies", *all))
                    }
                    _ => part.node.get("trustedIPs").map_or_else(Vec::new, Node::texts).iter().for_each(
                        |network| {
                            push(top, "trusted_proxies", *network);
                        },
                    ),
                }
                same()
            }
            "proxyProtocol" => {
                put(top, "proxy_protocol", true);
                for network in part.node.get("trustedIPs").map_or_else(Vec::new, Node::texts) {
                    push(top, "proxy_protocol_from", network);
                }
                same()
            }
            "transport" => {
                for (at, field) in [
                    ("respondingTimeouts.readTimeout", "timeouts.client_body"),
                    ("respondingTimeouts.writeTimeout", "timeouts.client_write"),
                    ("respondingTimeouts.idleTimeout", "timeouts.client_idle"),
                    ("lifeCycle.requestAcceptGraceTimeout", "timeouts.pre_drain"),
                    ("lifeCycle.graceTimeOut", "timeouts.drain"),
                ] {
                    let value = part.node.at(at).and_then(|node| time(node.text(), 1e3));
                    if let Some(value) = value.filter(|value| !value.is_zero()) {
                        put(top, field, written(value));
                    }
                }
                differs("each wait is bounded, not the whole request")
            }
            "http2" | "http3" => differs("HTTP/1.1 to clients"),
            "asDefault" | "allowACMEByPass" | "observability" | "reusePort" => ignored(""),
            _ => None,
        }
    }
}
