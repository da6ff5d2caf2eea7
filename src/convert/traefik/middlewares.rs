//! Converts middlewares into fields of a route.

use std::collections::HashMap;

use serde_json::json;

use super::walk::{Part, differs, ignored, not_here, same, told};
use crate::convert::draft::{Object, header, push, put};
use crate::convert::guard::close;
use crate::convert::quantity::{size, time, written};
use crate::convert::report::{Remark, Report, Verdict};
use crate::convert::tree::Node;

/// A converted middleware.
#[derive(Debug, Clone, Default)]
pub struct Middleware {
    /// Fields of a route.
    pub fields: Object,
    /// Whether it redirects plain requests to https.
    pub to_https: bool,
    /// The middlewares that it is a chain of.
    pub chain: Vec<String>,
}

/// Reads all middlewares by name.
pub fn read(part: &Part<'_>, report: &mut Report) -> HashMap<String, Middleware> {
    let mut all = HashMap::new();
    for (name, middleware) in part.entries() {
        let mut made = Middleware::default();
        middleware.each(report, |kind, part, report| one(kind, part, &mut made, report));
        all.insert(name.to_owned(), made);
    }
    all
}

fn one(kind: &str, part: &Part<'_>, made: &mut Middleware, report: &mut Report) -> Option<Remark> {
    let text = |name: &str| part.node.get(name).map_or("", |node| node.text());
    let texts = |name: &str| part.node.get(name).map_or_else(Vec::new, |node| node.texts());
    let fields = &mut made.fields;
    match kind.to_ascii_lowercase().as_str() {
        "stripprefix" => match &texts("prefixes")[..] {
            [one] => {
                put(fields, "strip_prefix", one.trim_end_matches('/'));
                differs("by whole segments")
            }
            _ => not_here("one prefix a route; write a route for each"),
        },
        "addprefix" => {
            put(fields, "add_prefix", text("prefix").trim_end_matches('/'));
            same()
        }
        "redirectscheme" if text("scheme") == "https" => {
            made.to_https = true;
            differs("tls.redirect_http, with 308")
        }
        "redirectregex" => redirect(text("regex"), text("replacement"), text("permanent") == "true", fields),
        "headers" => {
            part.each(report, |name, part, _| headers(name, part, fields));
            told()
        }
        "basicauth" => match text("usersFile") {
            "" => {
                put(fields, "basic_auth", json!({ "realm": "traefik", "users": "users.htpasswd" }));
                not_here("write these lines into users.htpasswd (bcrypt only)")
            }
            file => {
                let realm = if text("realm").is_empty() { "traefik" } else { text("realm") };
                put(fields, "basic_auth", json!({ "realm": realm, "users": file }));
                differs("only bcrypt (htpasswd -B)")
            }
        },
        "forwardauth" => {
            put(fields, "forward_auth.url", text("address"));
            let pass = texts("authResponseHeaders");
            if !pass.is_empty() {
                put(fields, "forward_auth.pass", pass);
            }
            match part.node.get("authRequestHeaders").is_some() {
                true => differs("the service sees all fields of the client's"),
                false => same(),
            }
        }
        "ipallowlist" | "ipwhitelist" => {
            texts("sourceRange").into_iter().for_each(|network| push(fields, "allow", network));
            if !fields.contains_key("allow") {
                close(fields);
                return not_here("a list of nobody, which Traefik refuses; nobody may ask (`deny`)");
            }
            match part.node.get("ipStrategy") {
                Some(_) => differs("the believed address (trusted_proxies)"),
                None if !matches!(text("rejectStatusCode"), "" | "403") => differs("with 403"),
                None => same(),
            }
        }
        "ratelimit" => {
            let number = |name: &str, default: f64| text(name).parse::<f64>().unwrap_or(default);
            let period = time(text("period"), 1e3).map_or(1.0, |time| time.as_secs_f64()).max(0.001);
            let burst = number("burst", 1.0).max(1.0) as u64;
            let rate = number("average", 0.0) / period;
            if rate <= 0.0 {
                return ignored("no limit");
            }
            put(
                fields,
                "rate_limit",
                json!({ "enabled": true, "requests_per_second": rate, "burst": burst }),
            );
            same()
        }
        "retry" => {
            let attempts: u64 = text("attempts").parse().unwrap_or(1);
            put(fields, "retry.max_retries", attempts.saturating_sub(1).min(10));
            if let Some(delay) = time(text("initialInterval"), 1e3) {
                put(fields, "retry.delay", written(delay));
            }
            differs("on other backends, and never a POST that was sent")
        }
        "buffering" => {
            if let Some(most) = size(text("maxRequestBodyBytes")).filter(|most| *most > 0) {
                put(fields, "limits.max_body_bytes", most);
            }
            differs("nothing is buffered, the limit holds")
        }
        "compress" => {
            let least = size(text("minResponseBodyBytes")).unwrap_or(1024);
            put(fields, "compress", json!({ "min_bytes": least }));
            differs("gzip of text and the like, neither brotli nor zstd")
        }
        "chain" => {
            made.chain = texts("middlewares").into_iter().map(str::to_owned).collect();
            same()
        }
        "contenttype" => ignored("`Content-Type` is the backend's"),
        "circuitbreaker" => differs("circuit_breaker, by failures"),
        "errors" => not_here("error_pages has files, for the balancer's own answers"),
        "inflightreq" => not_here("backends[].max_connections, limits.max_connections_per_ip"),
        "digestauth" => {
            close(fields);
            not_here("basic_auth by TLS, or forward_auth; until then nobody may ask (`deny`)")
        }
        "replacepath" | "replacepathregex" | "stripprefixregex" => not_here("strip_prefix and add_prefix"),
        "passtlsclientcert" => not_here("clients' certificates are not asked for"),
        "grpcweb" | "plugin" => not_here("no programs inside; forward_auth asks one"),
        _ => None,
    }
}

/// Converts a redirect that keeps the path, such as `^https?://(www\.)?a/(.*)` to `https://b/${1}`, or one to
/// a fixed target.
fn redirect(from: &str, to: &str, is_permanent: bool, fields: &mut Object) -> Option<Remark> {
    // The statuses that Traefik uses for methods other than GET.
    let status = if is_permanent { 308 } else { 307 };
    let keeps_path = ["/(.*)", "/(.+)"].iter().any(|end| from.trim_end_matches('$').ends_with(end));
    let group = from.matches('(').count().max(1);
    let ends = [format!("/${{{group}}}"), format!("/${group}")];
    let fixed = !to.contains('$');
    let to = match ends.iter().find_map(|end| to.strip_suffix(end.as_str())) {
        Some(base) if keeps_path && !base.contains('$') => format!("{base}{{path}}"),
        _ if fixed && to.contains("://") => to.to_owned(),
        _ => return not_here("redirect.to has {host}, {path} and {scheme}"),
    };
    put(fields, "redirect", json!({ "to": to, "status": status }));
    differs("308 or 307 for GET as well; for whatever the route is for, whatever the expression")
}

fn headers(name: &str, part: &Part<'_>, fields: &mut Object) -> Option<Remark> {
    let text = part.node.text();
    let is_on = text == "true";
    let mut set = |name: &str, value: &str| header(fields, "response_headers", "set", name, value);
    match name.to_ascii_lowercase().as_str() {
        "customrequestheaders" | "customresponseheaders" => {
            let which = if name.to_ascii_lowercase().contains("request") {
                "request_headers"
            } else {
                "response_headers"
            };
            for (name, node) in part.node.entries() {
                match (node.text(), which) {
                    (host, "request_headers") if name.eq_ignore_ascii_case("host") => {
                        put(fields, "host_header", host)
                    }
                    ("", _) => header(fields, which, "remove", name, ""),
                    (value, _) => header(fields, which, "set", name, value),
                }
            }
            let adds = |(name, node): &(String, Node)| {
                name.eq_ignore_ascii_case("x-forwarded-for") && !node.text().is_empty()
            };
            match which == "request_headers" && part.node.entries().iter().any(adds) {
                true => differs("X-Forwarded-For alone, without the client's address behind it"),
                false => same(),
            }
        }
        "stsseconds" if text == "0" => ignored("off"),
        "stsseconds" => {
            set("Strict-Transport-Security", &format!("max-age={text}"));
            differs("by plain HTTP as well, where browsers ignore it")
        }
        "stsincludesubdomains" | "stspreload" if !is_on => ignored("off"),
        "stsincludesubdomains" | "stspreload" => {
            let more = if name.to_ascii_lowercase().ends_with("preload") {
                "; preload"
            } else {
                "; includeSubDomains"
            };
            let field =
                fields.get("response_headers").and_then(|it| it.pointer("/set/Strict-Transport-Security"));
            let value = field.and_then(|it| it.as_str()).unwrap_or("max-age=31536000").to_owned();
            header(fields, "response_headers", "set", "Strict-Transport-Security", &format!("{value}{more}"));
            same()
        }
        "framedeny" if is_on => {
            set("X-Frame-Options", "DENY");
            same()
        }
        "customframeoptionsvalue" => {
            set("X-Frame-Options", text);
            same()
        }
        "contenttypenosniff" if is_on => {
            set("X-Content-Type-Options", "nosniff");
            same()
        }
        "browserxssfilter" if is_on => {
            set("X-XSS-Protection", "1; mode=block");
            same()
        }
        "referrerpolicy" => {
            set("Referrer-Policy", text);
            same()
        }
        "contentsecuritypolicy" => {
            set("Content-Security-Policy", text);
            same()
        }
        "permissionspolicy" => {
            set("Permissions-Policy", text);
            same()
        }
        "framedeny" | "contenttypenosniff" | "browserxssfilter" | "isdevelopment" | "forcestsheader" => {
            Some((Verdict::Ignored, String::new()))
        }
        "sslredirect" | "ssltemporaryredirect" | "sslhost" | "sslforcehost" => not_here("tls.redirect_http"),
        other if other.starts_with("accesscontrol") || other == "addvaryheader" => {
            not_here("CORS is the backend's; response_headers has fixed fields")
        }
        "allowedhosts" => not_here("hosts are the routes'; unmatched: 421"),
        _ => None,
    }
}
