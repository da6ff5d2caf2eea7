//! Settings that nginx's levels inherit, from `http` to `server` to `location`, collected as the fields of a
//! route.

use serde_json::{Value as Json, json};

use super::values::template;
use crate::convert::directive::Directive;
use crate::convert::draft::{Object, header, put};
use crate::convert::forwarded::{BY_ITSELF, has_by_itself, is_ours};
use crate::convert::guard::close;
use crate::convert::quantity::{size, time, written};
use crate::convert::report::{Remark, Report, Verdict};

/// The settings at a level. A list of `proxy_set_header` or `add_header` replaces the whole inherited list.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The fields of a route with a backend.
    pub fields: Object,
    /// `request_headers`, as `(how, name, value)`.
    set_header: Vec<(&'static str, String, String)>,
    /// `response_headers`, as `(how, name, value)`.
    add_header: Vec<(&'static str, String, String)>,
    hidden: Vec<String>,
    /// The `Host` field; `None` is nginx's default, the name in `proxy_pass`.
    pub host: Option<String>,
    /// `proxy_next_upstream_tries`; 0 tries each server once.
    pub tries: u64,
    /// Whether other servers are not tried at all.
    pub tries_no_other: bool,
    /// A file with root certificates, for https.
    pub ca: Option<String>,
    pub(super) auth: (Option<String>, Option<String>),
    pub(super) gzip: bool,
    pub(super) denies_all: bool,
    /// Whether an `allow all` decides for all clients that nothing before it is for.
    pub(super) allows_rest: bool,
    /// Another service controls the access, which must be configured in our terms.
    is_closed: bool,
    /// The content type of nginx's own answers.
    pub default_type: Option<String>,
    /// The folder of files.
    pub root: Option<String>,
    /// The zones of `limit_req_zone` by name, in requests per second.
    pub zones: Vec<(String, f64)>,
}

fn same() -> Option<Remark> {
    Some((Verdict::Same, String::new()))
}

fn told(verdict: Verdict, note: &str) -> Option<Remark> {
    Some((verdict, note.to_owned()))
}

impl Settings {
    /// The settings of a lower level: those of this block over the inherited ones. Also returns the
    /// directives that are not settings.
    pub fn below<'d>(&self, block: &'d [Directive], report: &mut Report) -> (Settings, Vec<&'d Directive>) {
        let mut level = self.clone();
        let says = |name: &str| block.iter().any(|it| it.name == name);
        if says("proxy_set_header") {
            level.set_header.clear();
            level.host = None;
        }
        if says("add_header") {
            level.add_header.clear();
        }
        if says("allow") || says("deny") {
            level.denies_all = false;
            level.allows_rest = false;
            level.fields.remove("allow");
            level.fields.remove("deny");
        }
        let mut others = Vec::new();
        for directive in block {
            match level.apply(directive) {
                Some((verdict, note)) => {
                    report.note(&directive.place, &directive.text(), verdict, note);
                }
                None => others.push(directive),
            }
        }
        (level, others)
    }

    fn apply(&mut self, directive: &Directive) -> Option<Remark> {
        let arg = directive.arg(0);
        match directive.name.as_str() {
            "proxy_set_header" => Some(self.proxy_set_header(arg, directive.arg(1))),
            "add_header" => Some(self.add_header(directive)),
            "proxy_hide_header" => {
                self.hidden.push(arg.to_owned());
                same()
            }
            "proxy_read_timeout" => self.set("timeouts.request", time(arg, 1e3).map(written)),
            "client_max_body_size" => match size(arg) {
                Some(0) => self.set("limits.max_body_bytes", Some(Json::Null)),
                bytes => self.set("limits.max_body_bytes", bytes.map(Json::from)),
            },
            "proxy_next_upstream" => Some(self.next_upstream(&directive.args)),
            "proxy_next_upstream_tries" => {
                self.tries = arg.parse().unwrap_or(0);
                same()
            }
            "proxy_ssl_trusted_certificate" => {
                self.ca = Some(arg.to_owned());
                same()
            }
            "proxy_ssl_verify" => match arg {
                "on" => same(),
                _ => told(
                    Verdict::Differs,
                    "certificates of https backends are always checked; backends[].ca has own roots",
                ),
            },
            "default_type" => {
                self.default_type = Some(arg.to_owned());
                told(Verdict::Ignored, "backends say what they send")
            }
            "root" => {
                self.root = Some(arg.to_owned());
                None
            }
            "limit_req_zone" => Some(self.zone(directive)),
            "limit_req" => Some(self.limit_req(directive)),
            "allow" | "deny" => Some(self.access(&directive.name, arg)),
            "auth_request" | "auth_jwt" => {
                self.is_closed = arg != "off";
                told(
                    Verdict::NotHere,
                    "forward_auth, with the URL of the service; until then nobody may ask (`deny`)",
                )
            }
            "auth_basic" => {
                self.auth.0 = (arg != "off").then(|| arg.to_owned());
                self.login();
                same()
            }
            "auth_basic_user_file" => {
                self.auth.1 = Some(arg.to_owned());
                self.login();
                told(Verdict::Differs, "only bcrypt (htpasswd -B)")
            }
            "gzip" | "gzip_types" | "gzip_min_length" => Some(self.gzip(directive)),
            "error_page" => Some(self.error_page(directive)),
            _ => None,
        }
    }

    pub(super) fn set(&mut self, field: &str, value: Option<Json>) -> Option<Remark> {
        match value {
            Some(value) => {
                put(&mut self.fields, field, value);
                same()
            }
            None => told(Verdict::NotHere, "this value was not understood"),
        }
    }

    fn proxy_set_header(&mut self, name: &str, value: &str) -> Remark {
        let by_itself = |note: &str| (Verdict::Same, note.to_owned());
        match (name.to_ascii_lowercase().as_str(), value) {
            ("host", "$host" | "$http_host") => {
                self.host = Some("preserve".to_owned());
                by_itself("")
            }
            ("host", "$proxy_host") => {
                self.host = None;
                by_itself("")
            }
            ("host", literal) if !literal.contains('$') => {
                self.host = Some(literal.to_owned());
                by_itself("")
            }
            ("x-forwarded-for", "$proxy_add_x_forwarded_for") => by_itself(BY_ITSELF),
            ("upgrade", _) | ("connection", _) => by_itself("upgrades and kept connections need no words"),
            (lower, same) if same == format!("$http_{}", lower.replace('-', "_")) => match is_ours(lower) {
                true => (Verdict::Differs, "what clients send counts from trusted_proxies only".to_owned()),
                false => by_itself("passed on as it comes"),
            },
            (_, "") => {
                self.set_header.push(("remove", name.to_owned(), String::new()));
                by_itself("")
            }
            _ => match template(value) {
                Ok(value) if has_by_itself(name, &value) => by_itself(BY_ITSELF),
                Ok(value) => {
                    self.set_header.push(("set", name.to_owned(), value));
                    by_itself("")
                }
                Err(variable) => (Verdict::NotHere, format!("there is no placeholder for {variable}")),
            },
        }
    }

    fn add_header(&mut self, directive: &Directive) -> Remark {
        let (name, value) = (directive.arg(0), directive.arg(1));
        match template(value) {
            Ok(value) => {
                self.add_header.push(("add", name.to_owned(), value));
                match directive.arg(2) {
                    "always" => (Verdict::Same, String::new()),
                    _ => (Verdict::Differs, "on errors as well, as with `always`".to_owned()),
                }
            }
            Err(variable) => (Verdict::NotHere, format!("there is no placeholder for {variable}")),
        }
    }

    fn next_upstream(&mut self, words: &[String]) -> Remark {
        const STATUSES: [u16; 7] = [403, 404, 429, 500, 502, 503, 504];
        let has = |word: &str| words.iter().any(|it| it == word);
        self.tries_no_other = has("off");
        let statuses: Vec<u16> =
            STATUSES.into_iter().filter(|status| has(&format!("http_{status}"))).collect();
        if !statuses.is_empty() {
            put(&mut self.fields, "retry.on_status", statuses);
        }
        if has("non_idempotent") {
            put(&mut self.fields, "retry.non_idempotent", true);
        }
        (Verdict::Same, String::new())
    }

    /// The fields of a route that forwards to this number of servers.
    pub fn route(&self, servers: usize) -> Object {
        let mut fields = self.answer();
        if self.gzip {
            put(&mut fields, "compress", json!({ "types": ["text/html"], "min_bytes": 20 }));
            if let Some(Json::Object(said)) = self.fields.get("compress") {
                said.iter()
                    .for_each(|(name, value)| put(&mut fields, &format!("compress.{name}"), value.clone()));
            }
        }
        for name in ["timeouts", "limits", "retry"] {
            if let Some(value) = self.fields.get(name) {
                fields.insert(name.to_owned(), value.clone());
            }
        }
        let tries = if self.tries == 0 { servers as u64 } else { self.tries };
        let retries = if self.tries_no_other { 0 } else { tries.saturating_sub(1).min(10) };
        put(&mut fields, "retry.max_retries", retries);
        for (how, name, value) in &self.set_header {
            header(&mut fields, "request_headers", how, name, value);
        }
        for name in &self.hidden {
            header(&mut fields, "response_headers", "remove", name, "");
        }
        fields
    }

    /// The fields of a route with its own answer.
    pub fn answer(&self) -> Object {
        let mut fields = Object::new();
        self.may_ask(&mut fields);
        for name in ["basic_auth", "rate_limit", "error_pages"] {
            if let Some(value) = self.fields.get(name) {
                fields.insert(name.to_owned(), value.clone());
            }
        }
        if self.is_closed {
            close(&mut fields);
        }
        for (how, name, value) in &self.add_header {
            header(&mut fields, "response_headers", how, name, value);
        }
        fields
    }

    /// Whether all clients are denied.
    pub fn denies_everybody(&self) -> bool {
        self.denies_all && !self.fields.contains_key("allow")
    }
}
