//! An ordered list of header fields: repeats are kept apart and in order, names keep their case.
//!
//! All names share one buffer and all values another, so a head costs three allocations instead of two for
//! each field. Names are text, so that a lookup need not check UTF-8.

use std::fmt::Display;
use std::io::Write as _;
use std::ops::Range;

/// For the initial capacity: field names are seldom longer.
const USUAL_NAME_BYTES: usize = 20;

/// Header fields in the order in which they arrived.
#[derive(Debug, Clone, Default)]
pub struct Headers {
    names: String,
    values: Vec<u8>,
    fields: Vec<Field>,
}

#[derive(Debug, Clone)]
struct Field {
    name: Range<usize>,
    value: Range<usize>,
}

impl Headers {
    /// An empty list with room for `fields` fields of `bytes` bytes in all.
    pub fn with_capacity(fields: usize, bytes: usize) -> Headers {
        Headers {
            names: String::with_capacity(bytes.min(fields * USUAL_NAME_BYTES)),
            values: Vec::with_capacity(bytes),
            fields: Vec::with_capacity(fields),
        }
    }

    /// Adds a field at the end.
    pub fn push(&mut self, name: &str, value: &[u8]) {
        self.push_written(name, |text| text.extend_from_slice(value));
    }

    /// Adds a field at the end; the value is formatted by `Display`.
    pub fn push_shown(&mut self, name: &str, value: impl Display) {
        // Writing to a Vec can't fail.
        self.push_written(name, |text| drop(write!(text, "{value}")));
    }

    /// Adds a field at the end; `write` appends its value to the buffer.
    pub fn push_written(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
        let (name_start, value_start) = (self.names.len(), self.values.len());
        self.names.push_str(name);
        write(&mut self.values);
        let (name, value) = (name_start..self.names.len(), value_start..self.values.len());
        self.fields.push(Field { name, value });
    }

    /// The fields in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields.iter().map(|field| (&self.names[field.name.clone()], &self.values[field.value.clone()]))
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether the list has no fields.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Bytes of the fields as written in a head, each with its `: ` and line end.
    pub fn byte_len(&self) -> usize {
        self.fields.iter().map(|field| field.name.len() + field.value.len() + 4).sum()
    }

    /// The first value with this name; names are case-insensitive.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.fields
            .iter()
            .find(|field| self.is_named(field, name))
            .map(|field| &self.values[field.value.clone()])
    }

    /// All values with this name, in order.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let fields = self.fields.iter().filter(move |field| self.is_named(field, name));
        fields.map(|field| &self.values[field.value.clone()])
    }

    /// Removes all fields with this name.
    pub fn remove(&mut self, name: &str) {
        self.retain(|found, _| !found.eq_ignore_ascii_case(name));
    }

    /// Replaces all fields with this name by one at the end.
    pub fn set(&mut self, name: &str, value: &[u8]) {
        self.remove(name);
        self.push(name, value);
    }

    /// Keeps only the fields for which `keep` returns true.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &[u8]) -> bool) {
        let (names, values) = (&self.names, &self.values);
        self.fields.retain(|field| keep(&names[field.name.clone()], &values[field.value.clone()]));
    }

    /// Whether a field with this name, read as a comma-separated list, contains the token in any case.
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.tokens(name).any(|found| found.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// The members of all fields with this name, read as comma-separated lists (RFC 9110 section 5.6.1).
    pub fn tokens<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.get_all(name)
            .flat_map(|value| value.split(|byte| *byte == b','))
            .map(trim)
            .filter(|token| !token.is_empty())
    }

    fn is_named(&self, field: &Field, name: &str) -> bool {
        // Most names differ in length, which is cheap to compare.
        field.name.len() == name.len() && self.names[field.name.clone()].eq_ignore_ascii_case(name)
    }
}

/// Strips optional white space, that is blanks and tabs (RFC 9110 section 5.6.3), from both ends.
pub fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Compares names without regard to case, underscores being equal to hyphens: backends with CGI variable names
/// (WSGI, Rack, PHP) cannot distinguish the two.
pub fn looks_like(name: &str, other: &str) -> bool {
    let plain = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    name.len() == other.len() && name.bytes().map(plain).eq(other.bytes().map(plain))
}

/// Whether `text` is a token (RFC 9110 section 5.6.2), as methods and field names must be.
pub fn is_token(text: &[u8]) -> bool {
    let tchar = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(tchar)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> Headers {
        let mut headers = Headers::default();
        headers.push("Accept", b"a");
        headers.push("X-Many", b"1, two");
        headers.push("x-many", b"\t3 ,, ");
        headers
    }

    fn list(headers: &Headers) -> Vec<(String, Vec<u8>)> {
        headers.iter().map(|(name, value)| (name.to_string(), value.to_vec())).collect()
    }

    #[test]
    fn repeats_stay_apart_and_in_order() {
        let values: Vec<_> = sample().get_all("X-MANY").map(<[u8]>::to_vec).collect();
        assert_eq!(values, [b"1, two".to_vec(), b"\t3 ,, ".to_vec()]);
    }

    #[test]
    fn tokens_are_the_members_of_every_field() {
        let headers = sample();
        let tokens: Vec<_> = headers.tokens("x-many").collect();
        assert_eq!(tokens, [&b"1"[..], b"two", b"3"]);
        assert!(headers.has_token("x-many", "TWO"));
    }

    #[test]
    fn set_leaves_one_field_at_the_end() {
        let mut headers = sample();
        headers.set("X-Many", b"only");
        headers.push("Z", b"");
        let expected = [("Accept", &b"a"[..]), ("X-Many", b"only"), ("Z", b"")];
        assert_eq!(headers.iter().collect::<Vec<_>>(), expected);
        assert_eq!(headers.byte_len(), "Accept: a\r\nX-Many: only\r\nZ: \r\n".len());
    }

    #[test]
    fn token_is_the_rfc_s_alphabet() {
        assert!(is_token(b"X-A_b.1~"));
        for bad in [&b""[..], b"a b", b"a:", b"X(A)", b"G\"ET", b"\xe9", b"a\x0b"] {
            assert!(!is_token(bad), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn behaves_like_a_plain_list(fields in proptest::collection::vec(("[A-Ca-c]{1,2}", any::<Vec<u8>>()), 0..12)) {
            let mut headers = Headers::default();
            for (name, value) in &fields {
                headers.push(name, value);
            }
            prop_assert_eq!(&list(&headers), &fields);
            headers.remove("a");
            let rest: Vec<_> = fields.into_iter().filter(|(name, _)| !name.eq_ignore_ascii_case("a")).collect();
            prop_assert_eq!(list(&headers), rest);
        }
    }
}
