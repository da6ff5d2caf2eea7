//! What may be said on top, in a pool and in a route: the narrower stands beside the wider, and wins where names
//! are the same. Here it is as somebody wrote it; `rules` puts the layers together.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value as Json, json};

use super::bounds;
use super::error::quoted;
use super::raw::{Fields, Scalar, Value};
use super::read::{boolean, duration, list, number, size, text, whole};
use super::template::Template;
use super::units::{self, write_duration, write_size};
use super::{BreakerConfig, CompressConfig, HostHeader, RateLimit, RetryConfig, compress, names};

const VALUES: &str = r#"an object such as { "X-Frame-Options": "DENY" }"#;
const NAMES: &str = r#"a list of names such as ["Server"]"#;
const FILE: &str = r#"a file's name, such as "503.html""#;

/// Fields that belong to one connection or to the framing of a message (RFC 9110 section 7.6.1): a rule about
/// one would change where the message ends.
const FRAMING: [&str; 12] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "content-length",
    "expect",
    "via",
    "x-lb-passed",
];

/// Fields that are set, added and removed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeaderRules {
    /// Replaced, or added where they are not there.
    pub set: Vec<(String, Template)>,
    /// Added beside what is there.
    pub add: Vec<(String, Template)>,
    /// Removed.
    pub remove: Vec<String>,
}

/// A file that the configuration names, and what stood in it when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedFile {
    /// Its name.
    pub name: String,
    /// Empty until it was read.
    pub content: Arc<[u8]>,
}

/// One layer. `None` says nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Local {
    /// For what backends get.
    pub request_headers: HeaderRules,
    /// For what clients get, our own answers included.
    pub response_headers: HeaderRules,
    /// What backends see as `Host`.
    pub host_header: Option<HostHeader>,
    /// See [`super::Timeouts::request`].
    pub request_timeout: Option<Duration>,
    /// See [`super::Limits::max_body_bytes`].
    pub max_body_bytes: Option<Option<u64>>,
    /// Which fields of [`RetryConfig`] differ.
    pub retry: Option<RetryPatch>,
    /// Which fields of [`RateLimit`] differ.
    pub rate_limit: Option<RateLimitPatch>,
    /// Which fields of [`BreakerConfig`] differ.
    pub circuit_breaker: Option<BreakerPatch>,
    /// Which answers are compressed, all of it; the inner `None` is none.
    pub compress: Option<Option<CompressConfig>>,
    /// Bodies for our own answers, by status.
    pub error_pages: Vec<(u16, NamedFile)>,
}

/// What a layer says of [`RetryConfig`].
#[allow(missing_docs)]
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RetryPatch {
    pub max_retries: Option<u32>,
    pub delay: Option<Duration>,
    pub on_status: Option<Vec<u16>>,
    pub non_idempotent: Option<bool>,
    pub buffer_body: Option<u64>,
    pub budget_percent: Option<u32>,
}

/// What a layer says of [`RateLimit`].
#[allow(missing_docs)]
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RateLimitPatch {
    pub enabled: Option<bool>,
    pub requests_per_second: Option<f64>,
    pub burst: Option<u32>,
}

/// What a layer says of [`BreakerConfig`].
#[allow(missing_docs)]
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BreakerPatch {
    pub enabled: Option<bool>,
    pub failures: Option<u32>,
    pub window: Option<Duration>,
    pub cooldown: Option<Duration>,
    pub on_status: Option<Vec<u16>>,
}

impl RetryPatch {
    /// The wider one with these differences.
    pub fn over(&self, wider: &RetryConfig) -> RetryConfig {
        RetryConfig {
            max_retries: self.max_retries.unwrap_or(wider.max_retries),
            delay: self.delay.unwrap_or(wider.delay),
            on_status: self.on_status.clone().unwrap_or_else(|| wider.on_status.clone()),
            non_idempotent: self.non_idempotent.unwrap_or(wider.non_idempotent),
            buffer_body_bytes: self.buffer_body.map_or(wider.buffer_body_bytes, |bytes| bytes as usize),
            budget_percent: self.budget_percent.unwrap_or(wider.budget_percent),
        }
    }
}

impl RateLimitPatch {
    /// The wider one with these differences; one that is named is on unless it says otherwise.
    pub fn over(&self, wider: &RateLimit) -> Option<RateLimit> {
        let limit = RateLimit {
            requests_per_second: self.requests_per_second.unwrap_or(wider.requests_per_second),
            burst: self.burst.unwrap_or(wider.burst),
        };
        self.enabled.unwrap_or(true).then_some(limit)
    }
}

impl BreakerPatch {
    /// The wider one with these differences; `is_on` is whether that one is.
    pub fn over(&self, wider: &BreakerConfig, is_on: bool) -> Option<BreakerConfig> {
        let breaker = BreakerConfig {
            failures: self.failures.unwrap_or(wider.failures),
            window: self.window.unwrap_or(wider.window),
            cooldown: self.cooldown.unwrap_or(wider.cooldown),
            on_status: self.on_status.clone().unwrap_or_else(|| wider.on_status.clone()),
        };
        self.enabled.unwrap_or(is_on).then_some(breaker)
    }
}

/// Reads what a pool or a route says for itself.
pub(super) fn local(fields: &Fields<'_>) -> Local {
    Local {
        host_header: fields
            .get("host_header")
            .and_then(|it| it.read(text(names::HOST_HEADER, names::host_header))),
        request_timeout: fields
            .get("timeouts")
            .and_then(|it| it.object(|fields| fields.get("request").and_then(|it| it.read(duration)))),
        max_body_bytes: fields.get("limits").and_then(|it| {
            it.object(|fields| fields.get("max_body_bytes").and_then(|it| it.read(body_bytes)))
        }),
        retry: fields.get("retry").map(|it| it.object(retry)),
        rate_limit: fields.get("rate_limit").map(|it| it.object(rate_limit)),
        circuit_breaker: fields.get("circuit_breaker").map(|it| it.object(breaker)),
        compress: fields.get("compress").map(|_| compress::compress(fields)),
        ..headers_and_pages(fields)
    }
}

/// The part of it that is new on top as well.
pub(super) fn headers_and_pages(fields: &Fields<'_>) -> Local {
    let rules = |name: &'static str, is_request| {
        fields.get(name).map_or_else(HeaderRules::default, |it| header_rules(&it, is_request))
    };
    Local {
        request_headers: rules("request_headers", true),
        response_headers: rules("response_headers", false),
        error_pages: fields.get("error_pages").map_or_else(Vec::new, |it| error_pages(&it)),
        ..Local::default()
    }
}

fn body_bytes(value: &Value<'_>) -> Result<Option<u64>, String> {
    match value.scalar() {
        Scalar::Null => Ok(None),
        _ => size(bounds::BODY_BYTES)(value).map(Some),
    }
}

fn statuses(fields: &Fields<'_>) -> Option<Vec<u16>> {
    fields.get("on_status")?.read(list(units::STATUSES, whole(units::STATUS)))
}

fn retry(fields: &Fields<'_>) -> RetryPatch {
    RetryPatch {
        max_retries: fields.get("max_retries").and_then(|it| it.read(whole(bounds::MAX_RETRIES))),
        delay: fields.get("delay").and_then(|it| it.read(super::read::duration_or_zero)),
        on_status: statuses(fields),
        non_idempotent: fields.get("non_idempotent").and_then(|it| it.read(boolean)),
        buffer_body: fields.get("buffer_body").and_then(|it| it.read(size(bounds::BUFFER_BYTES))),
        budget_percent: fields.get("budget_percent").and_then(|it| it.read(whole(bounds::PERCENT))),
    }
}

fn rate_limit(fields: &Fields<'_>) -> RateLimitPatch {
    RateLimitPatch {
        enabled: fields.get("enabled").and_then(|it| it.read(boolean)),
        requests_per_second: fields
            .get("requests_per_second")
            .and_then(|it| it.read(number(bounds::REQUESTS_PER_SECOND))),
        burst: fields.get("burst").and_then(|it| it.read(whole(bounds::BURST))),
    }
}

fn breaker(fields: &Fields<'_>) -> BreakerPatch {
    BreakerPatch {
        enabled: fields.get("enabled").and_then(|it| it.read(boolean)),
        failures: fields.get("failures").and_then(|it| it.read(whole(bounds::THRESHOLD))),
        window: fields.get("window").and_then(|it| it.read(duration)),
        cooldown: fields.get("cooldown").and_then(|it| it.read(duration)),
        on_status: statuses(fields),
    }
}

fn header_rules(value: &Value<'_>, is_request: bool) -> HeaderRules {
    value.object(|fields| {
        let values =
            |name: &'static str| fields.get(name).map_or_else(Vec::new, |it| values(&it, is_request));
        let name = |value: &Value<'_>| {
            text("a field's name", |name| field_name(name, is_request).map(|()| name.to_owned()))(value)
        };
        HeaderRules {
            set: values("set"),
            add: values("add"),
            remove: fields.get("remove").and_then(|it| it.read(list(NAMES, name))).unwrap_or_default(),
        }
    })
}

fn values(value: &Value<'_>, is_request: bool) -> Vec<(String, Template)> {
    if !matches!(value.scalar(), Scalar::Object) {
        value.mistake(value.wrong_type(VALUES));
        return Vec::new();
    }
    let read = |name: &str, value: &Value<'_>| {
        if let Err(why) = field_name(name, is_request) {
            value.mistake(why);
            return None;
        }
        value.read(text("a value, such as \"{client}\"", Template::parse)).map(|it| (name.to_owned(), it))
    };
    value.object(|fields| fields.all().iter().filter_map(|(name, value)| read(name, value)).collect())
}

/// Whether a rule may be about a field of this name.
fn field_name(name: &str, is_request: bool) -> Result<(), String> {
    let lower = name.to_ascii_lowercase();
    if !names::is_token(name) {
        return Err(format!("{} is not a field's name; write one such as \"X-Frame-Options\"", quoted(name)));
    }
    match lower.as_str() {
        "host" if is_request => Err("the Host that backends see is \"host_header\"".to_owned()),
        "x-request-id" | "x-lb-reason" => {
            Err(format!("{name} is what logs and metrics go by and stays as it is; choose another name"))
        }
        lower if FRAMING.contains(&lower) => Err(format!(
            "{name} belongs to the connection, not to the message, and is the balancer's own to write"
        )),
        _ => Ok(()),
    }
}

fn error_pages(value: &Value<'_>) -> Vec<(u16, NamedFile)> {
    const EXAMPLE: &str = r#"an object such as { "503": "503.html" }"#;
    if !matches!(value.scalar(), Scalar::Object) {
        value.mistake(value.wrong_type(EXAMPLE));
        return Vec::new();
    }
    let read = |status: &str, value: &Value<'_>| {
        let number = status.parse::<u16>().ok().filter(|number| (400..=599).contains(number));
        if number.is_none() {
            value.mistake(format!("{} is not a status from 400 to 599; write {EXAMPLE}", quoted(status)));
        }
        Some((number?, value.read(named_file)?))
    };
    value.object(|fields| fields.all().iter().filter_map(|(status, value)| read(status, value)).collect())
}

/// A file's name; it is read later.
pub(super) fn named_file(value: &Value<'_>) -> Result<NamedFile, String> {
    text(FILE, |name| match name.is_empty() || name.contains('\0') {
        true => Err(format!("names no file; write {FILE}")),
        false => Ok(NamedFile { name: name.to_owned(), content: Arc::from([]) }),
    })(value)
}

impl Local {
    /// As the file says it; what says nothing is left out.
    pub(super) fn write(&self, fields: &mut Map<String, Json>) {
        let mut put = |name: &str, value: Option<Json>| {
            if let Some(value) = value {
                fields.insert(name.into(), value);
            }
        };
        put("request_headers", self.request_headers.to_json());
        put("response_headers", self.response_headers.to_json());
        put("host_header", self.host_header.as_ref().map(|it| json!(it.to_string())));
        put("timeouts", self.request_timeout.map(|time| json!({ "request": write_duration(time) })));
        put("limits", self.max_body_bytes.map(|most| json!({ "max_body_bytes": most.map(write_size) })));
        put("retry", self.retry.as_ref().map(RetryPatch::to_json));
        put("rate_limit", self.rate_limit.as_ref().map(RateLimitPatch::to_json));
        put("circuit_breaker", self.circuit_breaker.as_ref().map(BreakerPatch::to_json));
        put("compress", self.compress.as_ref().map(|it| compress::to_json(it.as_ref())));
        let pages: Map<String, Json> =
            self.error_pages.iter().map(|(status, file)| (status.to_string(), json!(file.name))).collect();
        put("error_pages", (!pages.is_empty()).then_some(Json::Object(pages)));
    }

    /// The files that it names.
    pub(super) fn files(&mut self) -> impl Iterator<Item = (String, &mut NamedFile)> {
        self.error_pages.iter_mut().map(|(status, file)| (format!("error_pages.{status}"), file))
    }
}

impl HeaderRules {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }

    fn to_json(&self) -> Option<Json> {
        let values = |list: &[(String, Template)]| -> Map<String, Json> {
            list.iter().map(|(name, value)| (name.clone(), json!(value.to_string()))).collect()
        };
        (!self.is_empty()).then(|| {
            let mut fields = Map::new();
            if !self.set.is_empty() {
                fields.insert("set".into(), Json::Object(values(&self.set)));
            }
            if !self.add.is_empty() {
                fields.insert("add".into(), Json::Object(values(&self.add)));
            }
            if !self.remove.is_empty() {
                fields.insert("remove".into(), json!(self.remove));
            }
            Json::Object(fields)
        })
    }
}

/// An object of those that are there.
fn present<const N: usize>(fields: [(&str, Option<Json>); N]) -> Json {
    let there = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Json::Object(there.collect())
}

impl RetryPatch {
    fn to_json(&self) -> Json {
        present([
            ("max_retries", self.max_retries.map(|it| json!(it))),
            ("delay", self.delay.map(|it| json!(write_duration(it)))),
            ("on_status", self.on_status.as_ref().map(|it| json!(it))),
            ("non_idempotent", self.non_idempotent.map(|it| json!(it))),
            ("buffer_body", self.buffer_body.map(|it| json!(write_size(it)))),
            ("budget_percent", self.budget_percent.map(|it| json!(it))),
        ])
    }
}

impl RateLimitPatch {
    fn to_json(&self) -> Json {
        present([
            ("enabled", self.enabled.map(|it| json!(it))),
            ("requests_per_second", self.requests_per_second.map(|it| json!(it))),
            ("burst", self.burst.map(|it| json!(it))),
        ])
    }
}

impl BreakerPatch {
    fn to_json(&self) -> Json {
        present([
            ("enabled", self.enabled.map(|it| json!(it))),
            ("failures", self.failures.map(|it| json!(it))),
            ("window", self.window.map(|it| json!(write_duration(it)))),
            ("cooldown", self.cooldown.map(|it| json!(write_duration(it)))),
            ("on_status", self.on_status.as_ref().map(|it| json!(it))),
        ])
    }
}
