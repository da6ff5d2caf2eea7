//! Writes a `Config` as JSON with every field: printed by `check`, and read back as the same `Config`. Each
//! type derives `Serialize`; the functions here write their values.

use std::fmt::Display;
use std::time::Duration;

use serde::ser::{Error, SerializeMap};
use serde::{Serialize, Serializer};
use serde_json::{Value as Json, json};

use super::units::{write_duration, write_size};
use super::{Config, variables};

/// Replaces a secret; long enough to be valid for each of them.
const HIDDEN: &str = "****************";

impl Config {
    /// The configuration with its secrets hidden.
    #[must_use]
    pub fn without_secrets(&self) -> Config {
        let mut shown = self.clone();
        let token = shown.admin.as_mut().and_then(|admin| admin.token.as_mut());
        for secret in token.into_iter().chain(shown.sticky_key.as_mut()) {
            HIDDEN.clone_into(secret);
        }
        shown
    }

    /// The configuration as JSON, including defaults and secrets.
    pub fn to_json(&self) -> Json {
        // Can't fail: every key is a string.
        let mut whole = serde_json::to_value(self).unwrap_or_default();
        variables::escape(&mut whole);
        whole
    }
}

/// Writes `"1m30s"`.
pub(super) fn duration<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&write_duration(*value))
}

/// Writes a duration, or null.
pub(super) fn optional_duration<S: Serializer>(value: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    value.map(write_duration).serialize(to)
}

/// Writes `"64KiB"`.
pub(super) fn size<S: Serializer>(bytes: &usize, to: S) -> Result<S::Ok, S::Error> {
    write_size(*bytes as u64).serialize(to)
}

/// Writes a size, or null.
pub(super) fn optional_size<S: Serializer>(bytes: &Option<u64>, to: S) -> Result<S::Ok, S::Error> {
    bytes.map(write_size).serialize(to)
}

/// Writes 100 rather than 100.0.
pub(super) fn number<S: Serializer>(value: &f64, to: S) -> Result<S::Ok, S::Error> {
    whole_if_it_is(*value).serialize(to)
}

/// Writes a number, or null.
pub(super) fn optional_number<S: Serializer>(value: &Option<f64>, to: S) -> Result<S::Ok, S::Error> {
    value.map(whole_if_it_is).serialize(to)
}

fn whole_if_it_is(value: f64) -> Json {
    // Every whole f64 below this is exact.
    const MOST_EXACT: f64 = 9_007_199_254_740_992.0;
    match value.fract() == 0.0 && (0.0..MOST_EXACT).contains(&value) {
        true => json!(value as u64),
        false => json!(value),
    }
}

/// Writes `enabled` and the fields; those of the default if switched off.
pub(super) fn switched<T: Serialize + Default, S: Serializer>(
    value: &Option<T>,
    to: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Switched<'a, T> {
        enabled: bool,
        #[serde(flatten)]
        fields: &'a T,
    }
    let default = T::default();
    Switched { enabled: value.is_some(), fields: value.as_ref().unwrap_or(&default) }.serialize(to)
}

/// Writes only the fields of a patch that are set.
pub(super) fn patch<T: Serialize, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    let mut json = serde_json::to_value(value).map_err(S::Error::custom)?;
    if let Json::Object(fields) = &mut json {
        fields.retain(|_, value| !value.is_null());
    }
    json.serialize(to)
}

/// Writes pairs as an object, in order.
pub(super) fn object<K: Display, V: Serialize, S: Serializer>(
    pairs: &[(K, V)],
    to: S,
) -> Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(Some(pairs.len()))?;
    for (key, value) in pairs {
        map.serialize_entry(&key.to_string(), value)?;
    }
    map.end()
}

/// Writes one value as itself, several as a list, none as null.
pub(super) fn one_or_several<T: Serialize, S: Serializer>(all: &[T], to: S) -> Result<S::Ok, S::Error> {
    match all {
        [] => to.serialize_none(),
        [one] => one.serialize(to),
        several => several.serialize(to),
    }
}
