//! Converts one value of the file into one value of a `Config`, by kind of field. Errors are messages without
//! a position, which the caller adds.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use super::error::{clipped, quoted};
use super::raw::{Fields, Scalar, Value};
use super::units;

/// Reads a string with `parse`; `right` describes valid values.
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

/// The text of a possible number, which excludes `true` and `false` from variables, too.
fn digits(value: &Value<'_>, right: &str) -> Result<String, String> {
    let is_number = |text: &String| !matches!(text.as_str(), "true" | "false");
    value.bare().filter(is_number).ok_or_else(|| value.wrong_type(right))
}

/// Reads a whole number in `range`.
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

/// Reads a number in `range`; fractions are allowed.
pub(super) fn number(range: RangeInclusive<f64>) -> impl Fn(&Value<'_>) -> Result<f64, String> {
    move |value| {
        let right = format!("a number from {} to {}", range.start(), range.end());
        let number = digits(value, &right)?;
        // Uses Rust's parser: serde_json's may be off by the last bit.
        number
            .parse()
            .ok()
            .filter(|number| range.contains(number))
            .ok_or_else(|| format!("{} is not {right}", clipped(&number).escape_debug()))
    }
}

/// Reads a duration from 1 ms to 24 h.
pub(super) fn duration(value: &Value<'_>) -> Result<Duration, String> {
    text(units::DURATION, units::duration)(value)
}

/// Reads a duration from 0 to 24 h.
pub(super) fn duration_or_zero(value: &Value<'_>) -> Result<Duration, String> {
    text(units::DURATION, units::duration_or_zero)(value)
}

/// Reads a size in bytes in `range`, as a number or with a unit.
pub(super) fn size(range: RangeInclusive<u64>) -> impl Fn(&Value<'_>) -> Result<u64, String> {
    move |value| match value.scalar() {
        Scalar::Number(text) => units::size(text, &range),
        Scalar::Text(text) => units::size(&text, &range),
        _ => Err(value.wrong_type(units::SIZE)),
    }
}

/// Reads a list with `read` for each item; each wrong item is a mistake of its own.
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

/// Range of thresholds: consecutive probes and failures.
pub(super) const THRESHOLD: RangeInclusive<u32> = 1..=1000;

/// Reads a list of statuses.
pub(super) fn statuses(value: &Value<'_>) -> Result<Vec<u16>, String> {
    list(units::STATUSES, whole(units::STATUS))(value)
}

/// The form of a path, for messages.
pub(super) const PATH: &str = r#"a path such as "/health""#;

/// Validates a request target in origin form, which is sent unchanged.
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

/// Reads the name of a PEM file; the file is checked when it is opened.
pub(super) fn pem_file(value: &Value<'_>) -> Result<String, String> {
    text(PEM_FILE, |name| match name.is_empty() || name.contains('\0') {
        true => Err(format!("{} is not a file's name; write {PEM_FILE}", quoted(name))),
        false => Ok(name.to_string()),
    })(value)
}

/// For `ca` beside a URL that is not https.
pub(super) const CA_WITHOUT_TLS: &str = "of no effect without https; write the URL with https://";

/// Reads the mandatory name of a certificate's file.
pub(super) fn required_pem_file(fields: &Fields<'_>, name: &'static str) -> String {
    fields.required(name, PEM_FILE, pem_file).unwrap_or_default()
}

/// Whether the value is other than null.
pub(super) fn not_null(value: &Value<'_>) -> bool {
    !matches!(value.scalar(), Scalar::Null)
}
