//! Reads who may send a route's requests, and what is done with them.

use std::collections::HashSet;
use std::time::Duration;

use ipnet::IpNet;

use crate::config::error::quoted;
use crate::config::policy::{field_name, named_file};
use crate::config::raw::{Fields, Value};
use crate::config::read::{CA_WITHOUT_TLS, duration, list, not_null, path, pem_file, text, whole};
use crate::config::route::{Access, Action, BasicAuth, ForwardAuth};
use crate::config::template::{Piece, Placeholder, Template};
use crate::config::{BackendUrl, address};

const POOL: &str = r#"the name of a pool, such as "default""#;
const SHARES: &str = r#"an object such as { "stable": 95, "canary": 5 }"#;
const REALM: &str = "what people are told that the login is for";
const AUTH_URL: &str = r#"a URL such as "http://127.0.0.1:9091/verify""#;
const TYPE: &str = r#"a type such as "text/plain; charset=utf-8""#;
const FIELDS: &str = r#"a list of fields such as ["X-User"]"#;

const SHARE: std::ops::RangeInclusive<u32> = 0..=1_000_000;
const RESPONSE: std::ops::RangeInclusive<u16> = 200..=599;
const REDIRECTS: [u16; 5] = [301, 302, 303, 307, 308];
/// Limit for a body in the configuration; larger ones belong on a backend.
const MOST_BODY_BYTES: usize = 64 << 10;
const AUTH_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads which clients are allowed.
pub(super) fn access(fields: &Fields<'_>) -> Access {
    let networks = |name| {
        let read = list(address::NETWORKS, text(address::NETWORK, address::network));
        fields.get(name).and_then(|value| value.read(read)).unwrap_or_default()
    };
    Access {
        allow: allowed(fields, networks("allow")),
        deny: networks("deny"),
        basic_auth: fields.get("basic_auth").filter(not_null).and_then(|value| value.object(basic_auth)),
        forward_auth: fields
            .get("forward_auth")
            .filter(not_null)
            .and_then(|value| value.object(forward_auth)),
    }
}

/// An empty list would let everybody in, which is hardly what it looks like.
fn allowed(fields: &Fields<'_>, networks: Vec<IpNet>) -> Vec<IpNet> {
    if let Some(value) = fields.get("allow").filter(|value| value.items().is_some_and(|it| it.is_empty())) {
        value.mistake(
            "is empty, which would keep nobody out; leave it out for everybody, or write \
                       \"deny\": [\"0.0.0.0/0\", \"::/0\"] for nobody",
        );
    }
    networks
}

fn basic_auth(fields: &Fields<'_>) -> Option<BasicAuth> {
    let realm = fields.value("realm", "restricted".to_owned(), text(REALM, realm));
    let users = fields.required("users", r#"the name of a file that htpasswd -B has written"#, named_file)?;
    Some(BasicAuth { realm, users })
}

fn realm(text: &str) -> Result<String, String> {
    let is_plain = text.chars().all(|c| !c.is_control() && c.is_ascii() && !matches!(c, '"' | '\\'));
    match is_plain && !text.is_empty() {
        true => Ok(text.to_owned()),
        false => Err(format!("{} can't be a realm; write plain words without quotes", quoted(text))),
    }
}

fn forward_auth(fields: &Fields<'_>) -> Option<ForwardAuth> {
    let url = fields.required("url", AUTH_URL, text(AUTH_URL, auth_url));
    let field = |name: &str| field_name(name, true).map(|()| name.to_owned());
    let pass = fields.value("pass", Vec::new(), list(FIELDS, text("a field's name", field)));
    let timeout = fields.value("timeout", AUTH_TIMEOUT, duration);
    let is_https = url.as_ref().is_none_or(|url| url.to_ascii_lowercase().starts_with("https://"));
    let ca = fields.nullable("ca", None, |value| match is_https {
        true => pem_file(value),
        false => Err(CA_WITHOUT_TLS.to_owned()),
    });
    Some(ForwardAuth { url: url?, ca, pass, timeout })
}

/// Validates the URL of a backend followed by a path.
fn auth_url(text: &str) -> Result<String, String> {
    let (scheme, rest) =
        text.split_once("://").ok_or_else(|| format!("{} is not a URL; write {AUTH_URL}", quoted(text)))?;
    let end = rest.find('/').unwrap_or(rest.len());
    BackendUrl::parse(&format!("{scheme}://{}", &rest[..end]))?;
    if rest[end..].is_empty() { Ok(text.to_owned()) } else { path(&rest[end..]).map(|_| text.to_owned()) }
}

/// Reads what is done with the requests: one of four fields. `None` if a mistake was added.
pub(super) fn action(fields: &Fields<'_>, pools: &HashSet<&str>) -> Option<Action> {
    let ways = ["pool", "pools", "redirect", "respond"].map(|name| fields.get(name).filter(not_null));
    if let Some(second) = ways.iter().flatten().nth(1) {
        second.mistake(
            "a second word on what becomes of the requests; write one of pool, pools, redirect and respond",
        );
        return None;
    }
    let known = |name: &str| match pools.contains(name) {
        true => Ok(name.to_string()),
        false => Err(format!("there is no pool {}; write it under \"pools\"", quoted(name))),
    };
    match ways {
        [Some(value), ..] => value.read(text(POOL, known)).map(|name| Action::Pools(vec![(name, 1)])),
        [_, Some(value), ..] => shares(&value, known),
        [_, _, Some(value), _] => value.object(redirect),
        [.., Some(value)] => value.object(respond),
        [..] => {
            fields.missing("pool", &format!("{POOL}, or \"pools\", \"redirect\" or \"respond\""));
            None
        }
    }
}

fn shares(value: &Value<'_>, known: impl Fn(&str) -> Result<String, String>) -> Option<Action> {
    let one = |(name, value): &(&str, Value<'_>)| {
        let name = known(name).map_err(|why| value.mistake(why)).ok()?;
        Some((name, value.read(whole(SHARE))?))
    };
    let shares: Vec<(String, u32)> = value.object(|fields| fields.all().iter().filter_map(one).collect());
    let is_object = value.items().is_none();
    match shares.iter().any(|(_, share)| *share > 0) {
        true => Some(Action::Pools(shares)),
        false => {
            if is_object {
                value.mistake(format!("no pool has a share; write {SHARES}"));
            }
            None
        }
    }
}

fn redirect(fields: &Fields<'_>) -> Option<Action> {
    const TO: &str = r#"where to, such as "https://www.example.com{path}""#;
    let to = fields.required("to", TO, text(TO, location));
    let status = fields.value("status", 308, |value| {
        let status = whole(300..=399)(value)?;
        match REDIRECTS.contains(&status) {
            true => Ok(status),
            false => Err(format!("{status} is no redirect that browsers follow; write one of {REDIRECTS:?}")),
        }
    });
    Some(Action::Redirect { to: to?, status })
}

/// Validates the target of a redirect. It must not begin with text from the client, which could lead
/// anywhere.
fn location(text: &str) -> Result<Template, String> {
    let template = Template::parse(text)?;
    let begins_well = match template.pieces().first() {
        Some(Piece::Text(text)) => {
            ["http://", "https://"].iter().any(|scheme| text.starts_with(scheme)) || text.starts_with('/')
        }
        Some(Piece::Placeholder(first)) => {
            let second = template.pieces().get(1);
            *first == Placeholder::Scheme
                && matches!(second, Some(Piece::Text(text)) if text.starts_with("://"))
        }
        None => false,
    };
    let has_blanks = text.chars().any(|c| c.is_whitespace() || !c.is_ascii());
    match begins_well && !has_blanks {
        true => Ok(template),
        false => Err(format!(
            "{} is no place to send somebody; begin with https://, http://, {{scheme}}:// or a path",
            quoted(text)
        )),
    }
}

fn respond(fields: &Fields<'_>) -> Option<Action> {
    let status = fields.required("status", "a status such as 503", whole(RESPONSE));
    let body = fields.value(
        "body",
        String::new(),
        text("a text", |body| match body.len() > MOST_BODY_BYTES {
            true => Err(format!("longer than {MOST_BODY_BYTES} bytes; let a backend answer with it")),
            false => Ok(body.to_owned()),
        }),
    );
    let content_type = fields.value(
        "type",
        "text/plain; charset=utf-8".to_owned(),
        text(TYPE, |kind| {
            let is_plain = kind.chars().all(|c| c.is_ascii_graphic() || c == ' ');
            match is_plain && kind.contains('/') {
                true => Ok(kind.to_owned()),
                false => Err(format!("{} is not a type; write {TYPE}", quoted(kind))),
            }
        }),
    );
    let status = status?;
    let has_none = matches!(status, 204 | 205 | 304);
    if let Some(value) = fields.get("body").filter(|_| has_none && !body.is_empty()) {
        value.mistake(format!("an answer with {status} has no body; leave it out"));
    }
    Some(Action::Respond { status, body, content_type })
}
