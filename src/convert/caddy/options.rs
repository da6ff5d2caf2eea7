//! Converts the global options at the head of a Caddyfile.

use serde_json::json;

use crate::convert::directive::Directive;
use crate::convert::draft::{Draft, push, put};
use crate::convert::quantity::{size, time, written};
use crate::convert::report::{Report, Verdict};

/// The ports of sites that name none.
#[derive(Debug)]
pub struct Ports {
    /// `http_port`.
    pub http: u16,
    /// `https_port`.
    pub https: u16,
    /// `auto_https off`.
    pub auto_https_is_off: bool,
}

impl Default for Ports {
    fn default() -> Ports {
        Ports { http: 80, https: 443, auto_https_is_off: false }
    }
}

/// Converts one block of options.
pub fn read(block: &Directive, draft: &mut Draft, ports: &mut Ports, report: &mut Report) {
    for option in block.inside() {
        let arg = option.arg(0);
        let (mut verdict, mut note) = (Verdict::Same, "");
        match option.name.as_str() {
            "http_port" => ports.http = arg.parse().unwrap_or(80),
            "https_port" => ports.https = arg.parse().unwrap_or(443),
            "auto_https" => match arg {
                "off" => ports.auto_https_is_off = true,
                _ => (verdict, note) = (Verdict::Differs, "tls.redirect_http; certificates are files"),
            },
            "admin" => match arg {
                "off" => {}
                _ => {
                    (verdict, note) = (
                        Verdict::Differs,
                        "the admin listener changes single backends; the file is looked at each second",
                    )
                }
            },
            "grace_period" | "shutdown_delay" => match time(arg, 1e-6) {
                Some(time) => {
                    let field =
                        if option.name == "grace_period" { "timeouts.drain" } else { "timeouts.pre_drain" };
                    put(&mut draft.top, field, written(time));
                }
                None => (verdict, note) = (Verdict::NotHere, "this value was not understood"),
            },
            "servers" => {
                for inner in option.inside() {
                    server(inner, draft, report);
                }
            }
            "log" => (verdict, note) = (Verdict::Differs, "event_log (LOGS.md)"),
            "email"
            | "acme_ca"
            | "acme_ca_root"
            | "acme_dns"
            | "acme_eab"
            | "cert_issuer"
            | "on_demand_tls"
            | "key_type"
            | "ocsp_stapling"
            | "renew_interval"
            | "cert_lifetime"
            | "preferred_chains"
            | "local_certs"
            | "skip_install_trust"
            | "storage_clean_interval"
            | "pki" => {
                (verdict, note) =
                    (Verdict::NotHere, "certificates are files that certbot gets: LETS_ENCRYPT.md");
            }
            "order" => (verdict, note) = (Verdict::Differs, "the most specific route wins"),
            "debug" => (verdict, note) = (Verdict::Ignored, "LB_DEBUG=1"),
            "storage" | "persist_config" | "default_sni" | "fallback_sni" | "default_bind" | "metrics"
            | "filesystem" | "events" => {
                (verdict, note) = (Verdict::Ignored, "Caddy's own");
            }
            _ => (verdict, note) = (Verdict::NotHere, "this word is not known here"),
        }
        report.note(&option.place, &option.text(), verdict, note);
    }
}

fn server(option: &Directive, draft: &mut Draft, report: &mut Report) {
    let (mut verdict, mut note) = (Verdict::Same, "");
    let top = &mut draft.top;
    match option.name.as_str() {
        "trusted_proxies" if option.arg(0) == "static" => {
            for network in option.args.iter().skip(1) {
                match network.as_str() {
                    "private_ranges" => [
                        "10.0.0.0/8",
                        "172.16.0.0/12",
                        "192.168.0.0/16",
                        "127.0.0.0/8",
                        "fd00::/8",
                        "::1/128",
                    ]
                    .iter()
                    .for_each(|private| push(top, "trusted_proxies", *private)),
                    network => push(top, "trusted_proxies", network),
                }
            }
        }
        "max_header_size" => match size(option.arg(0)) {
            Some(bytes) => put(top, "limits.max_header_bytes", bytes.clamp(1 << 10, 1 << 20)),
            None => (verdict, note) = (Verdict::NotHere, "this value was not understood"),
        },
        "timeouts" => {
            for wait in option.inside() {
                let field = match wait.name.as_str() {
                    "read_body" => "timeouts.client_body",
                    "read_header" => "timeouts.client_header",
                    "write" => "timeouts.client_write",
                    _ => "timeouts.client_idle",
                };
                if let Some(time) = time(wait.arg(0), 1e-6) {
                    put(top, field, written(time));
                }
            }
            (verdict, note) = (Verdict::Differs, "each wait is bounded, not the whole request");
        }
        "listener_wrappers" if option.inside().iter().any(|it| it.name == "proxy_protocol") => {
            put(top, "proxy_protocol", json!(true));
        }
        "protocols" => (verdict, note) = (Verdict::Differs, "HTTP/1.1 to clients"),
        "client_ip_headers" => (verdict, note) = (Verdict::Differs, "X-Forwarded-For"),
        "name"
        | "log_credentials"
        | "metrics"
        | "strict_sni_host"
        | "trusted_proxies_strict"
        | "trace"
        | "enable_full_duplex"
        | "keepalive_interval" => {
            (verdict, note) = (Verdict::Ignored, "so anyway, or with no meaning here");
        }
        _ => (verdict, note) = (Verdict::NotHere, "this word is not known here"),
    }
    report.note(&option.place, &option.text(), verdict, note);
}
