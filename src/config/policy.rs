//! The settings that the top level, a pool and a route may each have: a narrower layer adds to the wider ones
//! and takes precedence for the same names. Stored here as written; `rules` merges the layers.

use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::json;

use super::error::quoted;
use super::limits::max_body_bytes;
use super::raw::{Fields, Scalar, Value};
use super::read::{duration, list, text};
use super::template::Template;
use super::units::{write_duration, write_size};
use super::{BreakerPatch, CompressConfig, HostHeader, RateLimitPatch, RetryPatch, compress, names, write};

const VALUES: &str = r#"an object such as { "X-Frame-Options": "DENY" }"#;
const NAMES: &str = r#"a list of names such as ["Server"]"#;
const FILE: &str = r#"a file's name, such as "503.html""#;

/// Fields that belong to the connection or to the message framing (RFC 9110 section 7.6.1), or that we write
/// ourselves: changing one could change where a message ends.
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

/// Header fields to set, add and remove.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct HeaderRules {
    /// Replaced, or added if absent.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "write::object")]
    pub set: Vec<(String, Template)>,
    /// Added to those that exist.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "write::object")]
    pub add: Vec<(String, Template)>,
    /// Removed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
}

/// A file that the configuration names, with its content at the time of reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedFile {
    /// The file's name.
    pub name: String,
    /// Empty until the file is read.
    pub content: Arc<[u8]>,
}

/// One layer of settings. `None` means that the layer does not set the value; it is then not written.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Local {
    /// Rules for fields sent to backends.
    #[serde(skip_serializing_if = "HeaderRules::is_empty")]
    pub request_headers: HeaderRules,
    /// Rules for fields sent to clients, also in our own answers.
    #[serde(skip_serializing_if = "HeaderRules::is_empty")]
    pub response_headers: HeaderRules,
    /// The `Host` field sent to backends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_header: Option<HostHeader>,
    /// See [`super::Timeouts::request`].
    #[serde(rename = "timeouts", skip_serializing_if = "Option::is_none", serialize_with = "timeouts")]
    pub request_timeout: Option<Duration>,
    /// See [`super::Limits::max_body_bytes`].
    #[serde(rename = "limits", skip_serializing_if = "Option::is_none", serialize_with = "limits")]
    pub max_body_bytes: Option<Option<u64>>,
    /// Which fields of `retry` differ.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "write::patch")]
    pub retry: Option<RetryPatch>,
    /// Which fields of `rate_limit` differ.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "write::patch")]
    pub rate_limit: Option<RateLimitPatch>,
    /// Which fields of `circuit_breaker` differ.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "write::patch")]
    pub circuit_breaker: Option<BreakerPatch>,
    /// Which answers are compressed, replacing the wider setting as a whole; an inner `None` means none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compress: Option<Option<CompressConfig>>,
    /// Bodies of our own answers, by status.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "write::object")]
    pub error_pages: Vec<(u16, NamedFile)>,
}

fn timeouts<S: Serializer>(request: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    json!({ "request": request.map(write_duration) }).serialize(to)
}

fn limits<S: Serializer>(most: &Option<Option<u64>>, to: S) -> Result<S::Ok, S::Error> {
    json!({ "max_body_bytes": most.flatten().map(write_size) }).serialize(to)
}

impl Serialize for NamedFile {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.name.serialize(to)
    }
}

/// Reads the settings that a pool or a route may have.
pub(super) fn local(fields: &Fields<'_>) -> Local {
    Local {
        host_header: fields.optional("host_header", text(names::HOST_HEADER, names::host_header)),
        request_timeout: fields
            .get("timeouts")
            .and_then(|it| it.object(|fields| fields.optional("request", duration))),
        max_body_bytes: fields
            .get("limits")
            .and_then(|it| it.object(|fields| fields.optional("max_body_bytes", max_body_bytes))),
        retry: fields.get("retry").map(|it| it.object(RetryPatch::read)),
        rate_limit: fields.get("rate_limit").map(|it| it.object(RateLimitPatch::read)),
        circuit_breaker: fields.get("circuit_breaker").map(|it| it.object(BreakerPatch::read)),
        compress: fields.get("compress").map(|_| compress::compress(fields)),
        ..headers_and_pages(fields)
    }
}

/// Reads the part of these settings that the top level has as well.
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
            remove: fields.optional("remove", list(NAMES, name)).unwrap_or_default(),
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

/// Checks whether rules for a field with this name are allowed.
pub(super) fn field_name(name: &str, is_request: bool) -> Result<(), String> {
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

/// Reads a file's name; the file itself is read later.
pub(super) fn named_file(value: &Value<'_>) -> Result<NamedFile, String> {
    text(FILE, |name| match name.is_empty() || name.contains('\0') {
        true => Err(format!("names no file; write {FILE}")),
        false => Ok(NamedFile { name: name.to_owned(), content: Arc::from([]) }),
    })(value)
}

impl Local {
    /// The files that this layer names.
    pub(super) fn files(&mut self) -> impl Iterator<Item = (String, &mut NamedFile)> {
        self.error_pages.iter_mut().map(|(status, file)| (format!("error_pages.{status}"), file))
    }
}

impl HeaderRules {
    /// Whether there are no rules.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }
}
