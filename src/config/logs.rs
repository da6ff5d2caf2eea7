//! `access_log` and `event_log`: whether, in which format and where log lines are written.

use std::fmt;

use serde::{Serialize, Serializer};

use super::as_text::written_as_text;
use super::names::{choose, name_of};
use super::raw::{Fields, Scalar, Value};
use super::read::{boolean, list, text};

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// `logfmt`: `key=value` pairs.
    Logfmt,
    /// `json`: one object per line.
    Json,
    /// `combined`: the format of nginx and Apache; only for the access log.
    Combined,
}

/// The access log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccessLogConfig {
    /// Whether lines are written at all.
    #[serde(skip)]
    pub enabled: bool,
    /// The format of lines.
    pub format: LogFormat,
    /// The file; `None` means standard output.
    pub file: Option<String>,
    /// The fields of a line, in order.
    pub fields: Vec<AccessField>,
    /// Whether reads of the balancer's own endpoints are logged, too.
    pub own_pages: bool,
}

/// The event log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventLogConfig {
    /// `Logfmt` or `Json`.
    pub format: LogFormat,
    /// The file; `None` means standard error.
    pub file: Option<String>,
}

/// The fields of an access log line; described in docs/LOGS.md.
#[allow(missing_docs)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessField {
    Method,
    Host,
    Path,
    Status,
    LatencyMs,
    QueueMs,
    ConnectMs,
    BackendMs,
    ClientMs,
    Client,
    Pool,
    Backend,
    Attempts,
    Bytes,
    Tls,
    RequestId,
    Reason,
    Peer,
    Protocol,
    Referer,
    UserAgent,
}

use AccessField as Field;

/// All fields by name; the first [`DEFAULT_FIELDS`] are written by default.
const FIELDS: [(&str, AccessField); 21] = [
    ("method", Field::Method),
    ("host", Field::Host),
    ("path", Field::Path),
    ("status", Field::Status),
    ("latency_ms", Field::LatencyMs),
    ("queue_ms", Field::QueueMs),
    ("connect_ms", Field::ConnectMs),
    ("backend_ms", Field::BackendMs),
    ("client_ms", Field::ClientMs),
    ("client", Field::Client),
    ("pool", Field::Pool),
    ("backend", Field::Backend),
    ("attempts", Field::Attempts),
    ("bytes", Field::Bytes),
    ("tls", Field::Tls),
    ("request_id", Field::RequestId),
    ("reason", Field::Reason),
    ("peer", Field::Peer),
    ("protocol", Field::Protocol),
    ("referer", Field::Referer),
    ("user_agent", Field::UserAgent),
];
const DEFAULT_FIELDS: usize = 17;

const ACCESS_FORMATS: [(&str, LogFormat); 3] =
    [("logfmt", LogFormat::Logfmt), ("json", LogFormat::Json), ("combined", LogFormat::Combined)];
const EVENT_FORMATS: [(&str, LogFormat); 2] = [("logfmt", LogFormat::Logfmt), ("json", LogFormat::Json)];

const ACCESS_FORMAT: &str = r#""logfmt", "json" or "combined""#;
const EVENT_FORMAT: &str = r#""logfmt" or "json""#;
const FILE: &str = r#"a file's name, such as "/var/log/loadbalancer/access.log", or null"#;
const NAMES: &str = r#"a list of names such as ["method", "path", "status"]"#;

impl AccessField {
    /// The name in the configuration and the log.
    pub fn name(self) -> &'static str {
        name_of(&FIELDS, &self)
    }

    /// All fields.
    pub fn all() -> impl Iterator<Item = AccessField> {
        FIELDS.iter().map(|(_, field)| *field)
    }
}

impl Default for AccessLogConfig {
    fn default() -> AccessLogConfig {
        AccessLogConfig {
            enabled: true,
            format: LogFormat::Logfmt,
            file: None,
            fields: AccessField::all().take(DEFAULT_FIELDS).collect(),
            own_pages: false,
        }
    }
}

impl Default for EventLogConfig {
    fn default() -> EventLogConfig {
        EventLogConfig { format: LogFormat::Logfmt, file: None }
    }
}

/// Writes just `true` or `false` if all other settings are the defaults.
pub(super) fn written<S: Serializer>(log: &AccessLogConfig, to: S) -> Result<S::Ok, S::Error> {
    match *log == (AccessLogConfig { enabled: log.enabled, ..AccessLogConfig::default() }) {
        true => to.serialize_bool(log.enabled),
        false => log.serialize(to),
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name_of(&ACCESS_FORMATS, self))
    }
}

impl fmt::Display for AccessField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

written_as_text!(LogFormat, AccessField);

/// Reads `access_log`.
pub(super) fn access_log(fields: &Fields<'_>) -> AccessLogConfig {
    let default = AccessLogConfig::default();
    let Some(value) = fields.get("access_log") else { return default };
    match value.scalar() {
        Scalar::Bool(enabled) => AccessLogConfig { enabled, ..default },
        Scalar::Object => value.object(access_log_object),
        _ => {
            value.mistake(value.wrong_type(r#"true, false or { "format": "json" }"#));
            default
        }
    }
}

fn access_log_object(fields: &Fields<'_>) -> AccessLogConfig {
    let default = AccessLogConfig::default();
    let format =
        fields.value("format", default.format, text(ACCESS_FORMAT, |name| choose(&ACCESS_FORMATS, name)));
    if let Some(value) = fields.get("fields").filter(|_| format == LogFormat::Combined) {
        value.mistake("combined has fields of its own; leave them out, or write \"format\": \"json\"");
    }
    AccessLogConfig {
        enabled: true,
        format,
        file: fields.nullable("file", None, file),
        fields: fields.value("fields", default.fields, access_fields),
        own_pages: fields.value("own_pages", default.own_pages, boolean),
    }
}

fn access_fields(value: &Value<'_>) -> Result<Vec<AccessField>, String> {
    let fields =
        list(NAMES, text("a field's name, such as \"status\"", |name| choose(&FIELDS, name)))(value)?;
    let repeated = fields.iter().enumerate().find(|(at, field)| fields[..*at].contains(field));
    match repeated {
        Some((_, field)) => Err(format!("{:?} stands there twice; keep one of them", field.name())),
        None if fields.is_empty() => Err(format!("names no field; write {NAMES}, or \"access_log\": false")),
        None => Ok(fields),
    }
}

/// Reads `event_log`.
pub(super) fn event_log(fields: &Fields<'_>) -> EventLogConfig {
    let default = EventLogConfig::default();
    fields.object("event_log", |fields| EventLogConfig {
        format: fields.value(
            "format",
            default.format,
            text(EVENT_FORMAT, |name| choose(&EVENT_FORMATS, name)),
        ),
        file: fields.nullable("file", None, file),
    })
}

fn file(value: &Value<'_>) -> Result<String, String> {
    text(FILE, |path| match path.is_empty() || path.contains('\0') {
        true => Err(format!("names no file; write {FILE}")),
        false => Ok(path.to_owned()),
    })(value)
}
