//! Rules for header fields, whose values may have placeholders. A client can't inject a second field: what
//! replaces a placeholder contains no line end, because a head with one in a value is refused.

use std::io::Write;
use std::net::IpAddr;
use std::sync::Arc;

use crate::config::{HeaderRules, Local, Piece, Placeholder, Template};
use crate::http::Headers;
use crate::http::headers::looks_like;

/// One change of the header fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Removes all fields with this name.
    Remove(String),
    /// Replaces all fields with this name by one with this value.
    Set(String, Template),
    /// Adds a field.
    Add(String, Template),
}

/// The values of the placeholders.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The client's address.
    pub client: IpAddr,
    /// The requested host.
    pub host: &'a str,
    /// Whether the request was received by TLS.
    pub is_secure: bool,
    /// The requested path and query.
    pub path: &'a str,
    /// The request's id.
    pub request_id: &'a str,
    /// The backend's URL; empty if none was chosen.
    pub backend: &'a str,
}

impl Op {
    /// The name of the field.
    fn name(&self) -> &str {
        match self {
            Op::Remove(name) | Op::Set(name, _) | Op::Add(name, _) => name,
        }
    }

    /// Whether the value has the placeholder for the backend.
    fn names_backend(&self) -> bool {
        match self {
            Op::Remove(_) => false,
            Op::Set(_, value) | Op::Add(_, value) => {
                value.pieces().contains(&Piece::Placeholder(Placeholder::Backend))
            }
        }
    }
}

/// The operations on requests to backends: those that are the same for every backend, and those on fields one
/// of whose values has the placeholder for the backend. All operations on a field stay together, because a
/// `Set` removes what another one has added before it.
pub(super) fn compiled_request(layers: &[&Local]) -> (Vec<Op>, Vec<Op>) {
    let all = compiled(layers.iter().map(|layer| &layer.request_headers));
    let named: Vec<String> =
        all.iter().filter(|op| op.names_backend()).map(|op| op.name().to_owned()).collect();
    all.into_iter().partition(|op| !named.iter().any(|name| looks_like(name, op.name())))
}

/// The operations on answers to clients; `None` if there are none.
pub(super) fn compiled_response(layers: &[&Local]) -> Option<Arc<[Op]>> {
    let ops = compiled(layers.iter().map(|layer| &layer.response_headers));
    (!ops.is_empty()).then(|| Arc::from(ops))
}

/// Merges the layers, widest first. A layer replaces all earlier operations on the names that it mentions.
fn compiled<'a>(layers: impl Iterator<Item = &'a HeaderRules>) -> Vec<Op> {
    let mut all: Vec<Op> = Vec::new();
    for rules in layers {
        let removed = rules.remove.iter().map(|name| Op::Remove(name.clone()));
        // Of two names that differ only in case, the later one counts.
        let is_last = |at: usize, name: &str| {
            !rules.set.iter().skip(at + 1).any(|(later, _)| later.eq_ignore_ascii_case(name))
        };
        let lasting = rules.set.iter().enumerate().filter(|(at, (name, _))| is_last(*at, name));
        let set = lasting.map(|(_, (name, value))| Op::Set(name.clone(), value.clone()));
        let added = rules.add.iter().map(|(name, value)| Op::Add(name.clone(), value.clone()));
        let ops: Vec<Op> = removed.chain(set).chain(added).collect();
        all.retain(|wider| !ops.iter().any(|op| op.name().eq_ignore_ascii_case(wider.name())));
        all.extend(ops);
    }
    all
}

/// Applies the operations to the fields of an answer.
pub fn apply_to_answer(ops: &[Op], headers: &mut Headers, context: &Context<'_>) {
    apply(ops, headers, context, str::eq_ignore_ascii_case);
}

/// Applies the operations to the fields of a request. What looks like a field that is set or removed goes,
/// too: some backends would take it for that field.
pub fn apply_to_request(ops: &[Op], headers: &mut Headers, context: &Context<'_>) {
    apply(ops, headers, context, looks_like);
}

/// Removes fields in a single pass over the head, which may have many fields.
fn apply(ops: &[Op], headers: &mut Headers, context: &Context<'_>, is_same: fn(&str, &str) -> bool) {
    let removed = || ops.iter().filter(|op| !matches!(op, Op::Add(..)));
    headers.retain(|found, _| !removed().any(|op| is_same(found, op.name())));
    for op in ops {
        if let Op::Set(name, value) | Op::Add(name, value) = op {
            headers.push_written(name, |text| write(value, context, text));
        }
    }
}

/// The value with its placeholders replaced.
pub fn rendered(template: &Template, context: &Context<'_>) -> String {
    let mut text = Vec::new();
    write(template, context, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

fn write(template: &Template, context: &Context<'_>, text: &mut Vec<u8>) {
    for piece in template.pieces() {
        let part = match piece {
            // Validated when the configuration was read.
            Piece::Text(plain) => {
                text.extend_from_slice(plain.as_bytes());
                continue;
            }
            Piece::Placeholder(Placeholder::Client) => {
                // Writing to a Vec can't fail.
                let _ = write!(text, "{}", context.client);
                continue;
            }
            Piece::Placeholder(Placeholder::Host) => context.host,
            Piece::Placeholder(Placeholder::Scheme) => ["http", "https"][usize::from(context.is_secure)],
            Piece::Placeholder(Placeholder::Path) => context.path,
            Piece::Placeholder(Placeholder::RequestId) => context.request_id,
            Piece::Placeholder(Placeholder::Backend) => context.backend,
        };
        // Heads with a line end in a value are refused already; this holds even if that changes.
        text.extend(part.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n' | b'\0')));
    }
}

/// The `Location` of a redirect. A target that is only a path must stay on the requested host: two leading
/// slashes would begin another host, and browsers read a backslash as a slash.
pub fn location(template: &Template, context: &Context<'_>) -> String {
    let text = rendered(template, context);
    match text.starts_with('/') {
        true => format!("/{}", text.trim_start_matches(['/', '\\'])),
        false => text,
    }
}
