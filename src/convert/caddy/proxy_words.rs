//! Subdirectives of `reverse_proxy` on the choice of a backend, header fields and connections.

use super::handlers::response_header;
use super::proxy::Proxy;
use super::values::template;
use crate::convert::directive::Directive;
use crate::convert::draft::{header, put};
use crate::convert::forwarded::{BY_ITSELF, has_by_itself};
use crate::convert::quantity::{time, written};
use crate::convert::report::{Remark, Verdict};

impl Proxy {
    pub(super) fn policy(&mut self, word: &Directive) -> Remark {
        const OTHERS: &str = "clients may be given other backends than before";
        let (algorithm, verdict, note) = match word.arg(0) {
            "round_robin" | "weighted_round_robin" => ("round_robin", Verdict::Same, ""),
            "least_conn" => ("least_conn", Verdict::Same, ""),
            "random" => ("round_robin", Verdict::Differs, "in turn, where Caddy draws lots"),
            "random_choose" => ("power_of_two", Verdict::Same, ""),
            "first" => {
                ("round_robin", Verdict::Differs, "all share; make all but the first `backup` for the same")
            }
            "ip_hash" | "client_ip_hash" => ("consistent_hash", Verdict::Differs, OTHERS),
            "uri_hash" => {
                put(&mut self.pool, "hash_key", "path");
                ("consistent_hash", Verdict::Differs, OTHERS)
            }
            "header" => {
                put(&mut self.pool, "hash_key", format!("header:{}", word.arg(1)));
                ("consistent_hash", Verdict::Differs, OTHERS)
            }
            "cookie" => {
                let name = if word.arg(1).is_empty() { "lb" } else { word.arg(1) };
                put(&mut self.pool, "sticky_cookie", name);
                ("round_robin", Verdict::Differs, "other values, so that each client gets a new one once")
            }
            _ => {
                return (
                    Verdict::NotHere,
                    "hash_key is the client, the path, a field or a cookie".to_owned(),
                );
            }
        };
        put(&mut self.pool, "algorithm", algorithm);
        if word.arg(0) == "weighted_round_robin" {
            return (Verdict::Differs, "weights are the backends': backends[].weight".to_owned());
        }
        (verdict, note.to_owned())
    }

    pub(super) fn header_up(&mut self, word: &Directive) -> Remark {
        let (name, value) = (word.arg(0), word.arg(1));
        if let Some(removed) = name.strip_prefix('-') {
            header(&mut self.route, "request_headers", "remove", removed, "");
            return (Verdict::Same, String::new());
        }
        let (how, name) = name.strip_prefix('+').map_or(("set", name), |name| ("add", name));
        match (name.to_ascii_lowercase().as_str(), template(value)) {
            _ if !word.arg(2).is_empty() => (Verdict::NotHere, "a field is set, added or removed".to_owned()),
            ("host", Ok(value)) if value == "{backend}" => {
                put(&mut self.route, "host_header", "backend");
                (Verdict::Same, String::new())
            }
            ("host", Ok(value)) if value == "{host}" => (Verdict::Same, String::new()),
            ("host", Ok(value)) if !value.contains('{') || value.contains("${") => {
                put(&mut self.route, "host_header", value);
                (Verdict::Same, String::new())
            }
            (_, Ok(value)) if has_by_itself(name, &value) => (Verdict::Same, BY_ITSELF.to_owned()),
            (_, Ok(value)) => {
                header(&mut self.route, "request_headers", how, name, &value);
                (Verdict::Same, String::new())
            }
            (_, Err(name)) => (Verdict::NotHere, format!("there is no placeholder for {name}")),
        }
    }

    pub(super) fn header_down(&mut self, word: &Directive) -> Remark {
        response_header(&mut self.route, word.arg(0), word.args.get(1).map(String::as_str), word.arg(2))
    }

    pub(super) fn transport(&mut self, word: &Directive) -> Remark {
        let arg = word.arg(0);
        let differs = |how: &str| (Verdict::Differs, how.to_owned());
        match word.name.as_str() {
            "dial_timeout" | "response_header_timeout" => match time(arg, 1e-6) {
                Some(value) => {
                    let field = if word.name == "dial_timeout" { "connect" } else { "request" };
                    put(&mut self.timeouts, field, written(value));
                    (Verdict::Same, String::new())
                }
                None => (Verdict::NotHere, "this value was not understood".to_owned()),
            },
            "read_timeout" | "write_timeout" | "expect_continue_timeout" | "tls_timeout" => {
                differs("timeouts.request bounds each wait")
            }
            "tls" => {
                self.is_secure = true;
                (Verdict::Same, String::new())
            }
            "tls_insecure_skip_verify" => {
                self.is_secure = true;
                differs("certificates are always checked; backends[].ca has own roots")
            }
            "tls_trusted_ca_certs" | "tls_trust_pool" => {
                self.is_secure = true;
                differs("backends[].ca, a PEM file")
            }
            "tls_server_name" => (Verdict::NotHere, "TLS goes by the URL's host".to_owned()),
            "keepalive"
            | "keepalive_interval"
            | "keepalive_idle_conns"
            | "keepalive_idle_conns_per_host"
            | "max_conns_per_host"
            | "compression"
            | "read_buffer"
            | "write_buffer"
            | "max_response_header"
            | "resolvers"
            | "dial_fallback_delay"
            | "local_address" => {
                (Verdict::Ignored, "timeouts.backend_idle, and what a backend shows of its own".to_owned())
            }
            "versions" => differs("HTTP/1.1 to backends"),
            "proxy_protocol" => (Verdict::NotHere, "no PROXY header to backends".to_owned()),
            _ => (Verdict::NotHere, "this word is not known here".to_owned()),
        }
    }
}
