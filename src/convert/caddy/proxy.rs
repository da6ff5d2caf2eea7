//! Converts `reverse_proxy` into a pool and fields of a route.

use serde_json::{Value as Json, json};

use super::values::with_variables;
use crate::convert::directive::Directive;
use crate::convert::draft::{Draft, Object, push, put};
use crate::convert::quantity::{time, written};
use crate::convert::report::{Remark, Report, Verdict};

/// The state of converting one `reverse_proxy`.
#[derive(Debug, Default)]
pub(super) struct Proxy {
    pub(super) pool: Object,
    pub(super) route: Object,
    check: Object,
    is_checked: bool,
    pub(super) is_secure: bool,
    fails: Option<u64>,
    fail_time: Option<Json>,
    unhealthy: Vec<u16>,
    most: Option<u64>,
    pub(super) timeouts: Object,
}

/// The fields of a route to the pool, which is added to the draft.
pub fn reverse_proxy(
    directive: &Directive,
    args: &[String],
    draft: &mut Draft,
    report: &mut Report,
) -> Object {
    let mut proxy = Proxy::default();
    let mut verdict = Verdict::Same;
    let mut notes: Vec<String> = Vec::new();
    let mut upstreams: Vec<String> = args.to_vec();
    for word in directive.inside() {
        match word.name.as_str() {
            "to" => {
                upstreams.extend(word.args.clone());
                report.note(&word.place, &word.text(), Verdict::Same, "");
            }
            "transport" => {
                report.note(&word.place, &word.text(), Verdict::Same, "");
                for inner in word.inside() {
                    let (verdict, note) = proxy.transport(inner);
                    report.note(&inner.place, &inner.text(), verdict, note);
                }
            }
            _ => {
                let (verdict, note) = proxy.word(word);
                report.note(&word.place, &word.text(), verdict, note);
            }
        }
    }
    for upstream in &upstreams {
        match proxy.upstream(upstream) {
            Ok(()) => {}
            Err(why) => {
                verdict = Verdict::NotHere;
                notes.push(why);
            }
        }
    }
    let name =
        upstreams.first().map_or("app", String::as_str).rsplit("://").next().unwrap_or("app").to_owned();
    let several = upstreams.len() > 1 && !proxy.pool.contains_key("algorithm");
    if several {
        verdict = verdict.max(Verdict::Differs);
        notes.push("in turn, where Caddy draws lots".to_owned());
    }
    report.note(&directive.place, &directive.text(), verdict, notes.join("; "));
    proxy.finish(&name, draft)
}

impl Proxy {
    fn upstream(&mut self, text: &str) -> Result<(), String> {
        let text = with_variables(text);
        let mut backend = Object::new();
        let (scheme, address) = match text.split_once("://") {
            Some(("https", rest)) => ("https", rest.to_owned()),
            Some(("http", rest)) => ("http", rest.to_owned()),
            Some(("srv", _)) | Some(("srv+http", _)) => return Err("addresses: \"srv\"".to_owned()),
            Some((scheme, _)) => return Err(format!("{scheme} is not spoken to backends")),
            None => (if self.is_secure { "https" } else { "http" }, text.clone()),
        };
        if let Some(path) = address.strip_prefix("unix/") {
            put(&mut backend, "url", format!("unix:/{}", path.trim_start_matches('/')));
        } else {
            let address = if address.starts_with(':') { format!("localhost{address}") } else { address };
            if address.contains('{') && !address.contains("${") {
                return Err("a backend by a value; name each".to_owned());
            }
            let has_port = address.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
            let port = if has_port || scheme == "https" { "" } else { ":80" };
            put(&mut backend, "url", format!("{scheme}://{address}{port}"));
        }
        if let Some(most) = self.most {
            put(&mut backend, "max_connections", most);
        }
        push(&mut self.pool, "backends", Json::Object(backend));
        Ok(())
    }

    fn word(&mut self, word: &Directive) -> Remark {
        let arg = word.arg(0);
        let same = (Verdict::Same, String::new());
        let differs = |how: &str| (Verdict::Differs, how.to_owned());
        let not_here = |what: &str| (Verdict::NotHere, what.to_owned());
        let mut check = |field: &str, value: Option<Json>| match value {
            Some(value) => {
                self.is_checked = true;
                put(&mut self.check, field, value);
                (Verdict::Same, String::new())
            }
            None => (Verdict::NotHere, "this value was not understood".to_owned()),
        };
        match word.name.as_str() {
            "lb_policy" => self.policy(word),
            "lb_retries" => {
                put(&mut self.route, "retry.max_retries", arg.parse::<u64>().unwrap_or(0).min(10));
                same
            }
            "lb_try_duration" => {
                self.route.entry("retry").or_insert_with(|| json!({ "max_retries": 3 }));
                differs("retry.max_retries counts attempts, each on another backend")
            }
            "lb_try_interval" => match time(arg, 1e6) {
                Some(delay) => {
                    put(&mut self.route, "retry.delay", written(delay));
                    same
                }
                None => not_here("this value was not understood"),
            },
            "lb_retry_match" => not_here("retry.on_status, retry.non_idempotent"),
            "health_uri" => check("path", Some(json!(arg))),
            "health_path" => check("path", Some(json!(arg))),
            "health_port" => check("port", arg.parse::<u16>().ok().map(Json::from)),
            "health_interval" => check("interval", time(arg, 1e-6).map(written)),
            "health_timeout" => check("timeout", time(arg, 1e-6).map(written)),
            "health_passes" => check("healthy_threshold", arg.parse::<u64>().ok().map(Json::from)),
            "health_fails" => check("unhealthy_threshold", arg.parse::<u64>().ok().map(Json::from)),
            "health_status" => {
                let class = arg.strip_suffix("xx").filter(|it| matches!(it.as_bytes(), [b'1'..=b'5']));
                let status = match class {
                    Some(class) => Some(format!("{class}00-{class}99")),
                    None => arg.parse::<u16>().ok().map(|status| status.to_string()),
                };
                check("expect_status", status.map(Json::from))
            }
            "health_body" if !arg.contains(['*', '^', '$', '[', '(', '\\', '+', '?']) => {
                check("expect_body", Some(json!(arg)))
            }
            "health_headers"
            | "health_body"
            | "health_upstream"
            | "health_method"
            | "health_request_body" => {
                not_here("a probe is a GET with a host of its own, a status and a text")
            }
            "health_follow_redirects" => differs("a redirect passes, and is not followed"),
            "fail_duration" => {
                self.fail_time = time(arg, 1e-6).map(written);
                same
            }
            "max_fails" => {
                self.fails = arg.parse().ok();
                same
            }
            "unhealthy_status" => {
                for status in &word.args {
                    match status.strip_suffix("xx") {
                        Some(first) => self.unhealthy.extend(
                            [500, 502, 503, 504]
                                .into_iter()
                                .filter(|it: &u16| it.to_string().starts_with(first)),
                        ),
                        None => self.unhealthy.extend(status.parse::<u16>()),
                    }
                }
                same
            }
            "unhealthy_request_count" => {
                self.most = arg.parse().ok().filter(|most| *most > 0);
                differs("requests past it wait (timeouts.queue)")
            }
            "unhealthy_latency" => not_here("power_of_two goes by latency"),
            "header_up" => self.header_up(word),
            "header_down" => self.header_down(word),
            "flush_interval" | "buffer_requests" | "buffer_responses" | "request_buffers"
            | "response_buffers" | "stream_buffer_size" => {
                (Verdict::Ignored, "each piece is passed on as it comes".to_owned())
            }
            "stream_timeout" | "stream_close_delay" => differs("timeouts.drain bounds tunnels at a stop"),
            "trusted_proxies" => differs("trusted_proxies, on top"),
            "dynamic" if arg == "a" => {
                let value = |name: &str| {
                    word.inside().iter().find(|it| it.name == name).map(|it| it.arg(0).to_owned())
                };
                let name = value("name").unwrap_or_else(|| word.arg(1).to_owned());
                let port = value("port").unwrap_or_else(|| {
                    if word.args.len() > 2 { word.arg(2).to_owned() } else { "80".to_owned() }
                });
                push(
                    &mut self.pool,
                    "backends",
                    json!({ "url": format!("http://{name}:{port}"), "addresses": "each" }),
                );
                same
            }
            "dynamic" if arg == "srv" => {
                let name = if word.arg(1).is_empty() {
                    let part = |name: &str| {
                        word.inside().iter().find(|it| it.name == name).map_or("", |it| it.arg(0)).to_owned()
                    };
                    format!("_{}._{}.{}", part("service"), part("proto"), part("name"))
                } else {
                    word.arg(1).to_owned()
                };
                push(
                    &mut self.pool,
                    "backends",
                    json!({ "url": format!("http://{name}"), "addresses": "srv" }),
                );
                same
            }
            "handle_response" | "replace_status" | "copy_response" | "copy_response_headers" => {
                not_here("answers are passed on as they are; forward_auth asks a service")
            }
            "method" | "rewrite" => not_here("strip_prefix and add_prefix"),
            "verbose_logs" => (Verdict::Ignored, String::new()),
            _ => not_here("this word is not known here"),
        }
    }

    /// Adds Caddy's behaviour: probes only if configured, and backends are taken out only with
    /// `fail_duration`.
    fn finish(mut self, name: &str, draft: &mut Draft) -> Object {
        if self.is_checked && self.check.contains_key("path") {
            let mut check = Object::new();
            for (field, value) in [
                ("type", json!("http")),
                ("interval", json!("30s")),
                ("timeout", json!("5s")),
                ("healthy_threshold", json!(1)),
                ("unhealthy_threshold", json!(1)),
                ("expect_status", json!("200-299")),
            ] {
                check.insert(field.to_owned(), value);
            }
            check.extend(self.check);
            put(&mut self.pool, "health_check", check);
        } else {
            put(&mut self.pool, "health_check", json!({ "type": "tcp" }));
        }
        match self.fail_time {
            Some(time) => {
                put(&mut self.pool, "circuit_breaker.enabled", true);
                put(&mut self.pool, "circuit_breaker.failures", self.fails.unwrap_or(1).clamp(1, 1000));
                put(&mut self.pool, "circuit_breaker.window", time.clone());
                put(&mut self.pool, "circuit_breaker.cooldown", time);
                if !self.unhealthy.is_empty() {
                    put(&mut self.pool, "circuit_breaker.on_status", self.unhealthy);
                }
            }
            None => put(&mut self.pool, "circuit_breaker.enabled", false),
        }
        if let Some(wait) = self.timeouts.get("request") {
            put(&mut self.route, "timeouts.request", wait.clone());
        }
        if let Some(wait) = self.timeouts.get("connect") {
            put(&mut draft.top, "timeouts.connect", wait.clone());
        }
        if !self.pool.contains_key("backends") {
            return Object::new();
        }
        let name = draft.pool(name, self.pool);
        put(&mut self.route, "pool", name);
        self.route
    }
}
