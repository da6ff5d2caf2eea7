//! From one value of the file to one value of a `Config`: the kinds of field there are. Each returns
//! the message for a value that is wrong; where it stands is added by whoever asked.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use super::error::{clipped, quoted};
use super::raw::{Fields, Scalar, Value};
use super::units;

/// A text that `parse` understands; `right` says what could be written.
pub(super) fn text<T>(
    right: &'static str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> impl Fn(&Value<'_>) -> Result<T, String> {
    move |value| match value.scalar() {
        Scalar::Text(text) => parse(&text),
        _ => Err(value.wrong_type(right)),
    }
}

/// `true` or `false`.
pub(super) fn boolean(value: &Value<'_>) -> Result<bool, String> {
    match value.bare().as_deref() {
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        _ => Err(value.wrong_type("true or false")),
    }
}

/// What may be a number; `true` and `false` are none, wherever they come from.
fn digits(value: &Value<'_>, right: &str) -> Result<String, String> {
    let is_number = |text: &String| !matches!(text.as_str(), "true" | "false");
    value.bare().filter(is_number).ok_or_else(|| value.wrong_type(right))
}

/// A whole number in `range`.
pub(super) fn whole<T: FromStr + PartialOrd + Display>(
    range: RangeInclusive<T>,
) -> impl Fn(&Value<'_>) -> Result<T, String> {
    move |value| {
        let right = format!("a whole number from {} to {}", range.start(), range.end());
        let number = digits(value, &right)?;
        number
            .parse()
            .ok()
            .filter(|number| range.contains(number))
            .ok_or_else(|| format!("{} is not {right}", clipped(&number).escape_debug()))
    }
}

/// A number in `range`, fractions allowed.
pub(super) fn number(range: RangeInclusive<f64>) -> impl Fn(&Value<'_>) -> Result<f64, String> {
    move |value| {
        let right = format!("a number from {} to {}", range.start(), range.end());
        let number = digits(value, &right)?;
        // Rust's parser, because serde_json's may be off by the last bit.
        number
            .parse()
            .ok()
            .filter(|number| range.contains(number))
            .ok_or_else(|| format!("{} is not {right}", clipped(&number).escape_debug()))
    }
}

/// A duration from 1 ms to 24 h.
pub(super) fn duration(value: &Value<'_>) -> Result<Duration, String> {
    text(units::DURATION, units::duration)(value)
}

/// A duration up to 24 h, or none at all.
pub(super) fn duration_or_zero(value: &Value<'_>) -> Result<Duration, String> {
    text(units::DURATION, units::duration_or_zero)(value)
}

/// A size in bytes, as a number or with a unit, in `range`.
pub(super) fn size(range: RangeInclusive<u64>) -> impl Fn(&Value<'_>) -> Result<u64, String> {
    move |value| match value.scalar() {
        Scalar::Number(text) => units::size(text, &range),
        Scalar::Text(text) => units::size(&text, &range),
        _ => Err(value.wrong_type(units::SIZE)),
    }
}

/// A list of values that `read` understands; each wrong one is a mistake of its own.
pub(super) fn list<T>(
    right: &'static str,
    read: impl Fn(&Value<'_>) -> Result<T, String>,
) -> impl Fn(&Value<'_>) -> Result<Vec<T>, String> {
    move |value| {
        let items = value.items().ok_or_else(|| value.wrong_type(right))?;
        let one = |item: &Value<'_>| item.read(&read);
        Ok(items.iter().filter_map(one).collect())
    }
}

/// Probes and failures in a row.
pub(super) const THRESHOLD: RangeInclusive<u32> = 1..=1000;

/// A list of statuses.
pub(super) fn statuses(value: &Value<'_>) -> Result<Vec<u16>, String> {
    list(units::STATUSES, whole(units::STATUS))(value)
}

/// What a path looks like, for messages.
pub(super) const PATH: &str = r#"a path such as "/health""#;

/// A request target in origin form; it is sent as it is.
pub(super) fn path(text: &str) -> Result<String, String> {
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if !text.starts_with('/') {
        return Err(format!("{} doesn't begin with /; write {PATH}", quoted(text)));
    }
    match visible {
        true => Ok(text.to_string()),
        false => {
            Err(format!("{} has a character that a path can't have; write such ones as %20", quoted(text)))
        }
    }
}

const PEM_FILE: &str = r#"the name of a PEM file, such as "cert.pem""#;

/// The name of a PEM file; whether there is such a file is for whoever opens it.
pub(super) fn pem_file(value: &Value<'_>) -> Result<String, String> {
    text(PEM_FILE, |name| match name.is_empty() || name.contains('\0') {
        true => Err(format!("{} is not a file's name; write {PEM_FILE}", quoted(name))),
        false => Ok(name.to_string()),
    })(value)
}

/// For `ca` beside a URL that is not https.
pub(super) const CA_WITHOUT_TLS: &str = "of no effect without https; write the URL with https://";

/// One of the two files of a certificate, which has to be there.
pub(super) fn required_pem_file(fields: &Fields<'_>, name: &'static str) -> String {
    fields.required(name, PEM_FILE, pem_file).unwrap_or_default()
}

/// Whether something is said; null says nothing.
pub(super) fn not_null(value: &Value<'_>) -> bool {
    !matches!(value.scalar(), Scalar::Null)
}
