//! Values with placeholders, for header rules and redirects: `https://{host}{path}`.

use std::fmt;

use super::as_text::written_as_text;
use super::error::quoted;

/// Longest value, in bytes.
const MOST_BYTES: usize = 8 << 10;

/// The placeholders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placeholder {
    /// `{client}`: the client's address, taking trusted proxies into account.
    Client,
    /// `{host}`: the requested host with its port.
    Host,
    /// `{scheme}`: `http` or `https`.
    Scheme,
    /// `{path}`: the requested path with its query.
    Path,
    /// `{request_id}`: the value of `X-Request-ID`.
    RequestId,
    /// `{backend}`: the backend's URL; empty if none was chosen.
    Backend,
}

/// A part of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Literal text.
    Text(String),
    /// A placeholder.
    Placeholder(Placeholder),
}

/// A value. `Display` writes it as the file does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Template(Vec<Piece>);

impl Template {
    /// The parts in order.
    pub fn pieces(&self) -> &[Piece] {
        &self.0
    }

    /// Parses a value. Braces that can't enclose a placeholder are literal, since values may be JSON.
    pub(super) fn parse(text: &str) -> Result<Template, String> {
        if text.len() > MOST_BYTES {
            return Err(format!("longer than {MOST_BYTES} bytes"));
        }
        if text.chars().any(|c| c.is_control() && c != '\t') {
            return Err(
                "has a line end or another control character in it, which would begin a field of its own"
                    .into(),
            );
        }
        let (mut pieces, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(start) = rest.find('{') {
            let (before, after) = rest.split_at(start);
            plain.push_str(before);
            match after[1..].split_once('}').filter(|(name, _)| is_name(name)) {
                Some((name, behind)) => {
                    if !plain.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    }
                    pieces.push(Piece::Placeholder(placeholder(name)?));
                    rest = behind;
                }
                None => {
                    plain.push('{');
                    rest = &after[1..];
                }
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Template(pieces))
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

const PLACEHOLDERS: [(&str, Placeholder); 6] = [
    ("client", Placeholder::Client),
    ("host", Placeholder::Host),
    ("scheme", Placeholder::Scheme),
    ("path", Placeholder::Path),
    ("request_id", Placeholder::RequestId),
    ("backend", Placeholder::Backend),
];

fn placeholder(name: &str) -> Result<Placeholder, String> {
    let found = PLACEHOLDERS.iter().find(|(known, _)| *known == name);
    found.map(|(_, placeholder)| *placeholder).ok_or_else(|| {
        let known: Vec<String> = PLACEHOLDERS.iter().map(|(name, _)| format!("{{{name}}}")).collect();
        format!("{} is no placeholder; there are {}", quoted(&format!("{{{name}}}")), known.join(", "))
    })
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => f.write_str(text)?,
                Piece::Placeholder(wanted) => {
                    let found = PLACEHOLDERS.iter().find(|(_, known)| known == wanted);
                    write!(f, "{{{}}}", found.map_or("", |(name, _)| name))?;
                }
            }
        }
        Ok(())
    }
}

written_as_text!(Template);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn placeholders_are_known_and_other_braces_stand_for_themselves() {
        let template = Template::parse("{client} at {host}{path}").unwrap();
        assert_eq!(template.pieces().len(), 4);
        let json = r#"{"group":"default","max_age":1}{}"#;
        assert_eq!(Template::parse(json).unwrap().pieces(), [Piece::Text(json.to_owned())]);
        let error = Template::parse("x{clinet}").unwrap_err();
        assert!(error.contains("\"{clinet}\" is no placeholder; there are {client}, {host}"), "{error}");
        assert!(Template::parse("a\r\nX-B: c").unwrap_err().contains("line end"));
    }

    proptest! {
        #[test]
        fn what_can_be_read_is_written_back_as_it_was(text in "[a-z{}\" ]{0,40}") {
            if let Ok(template) = Template::parse(&text) {
                prop_assert_eq!(template.to_string(), text);
            }
        }
    }
}
