//! A `Config` in config.json's own words, every field present: what `check` prints, and what reads
//! back as the same `Config`. Each type derives `Serialize`; here is how its values are written.

use std::fmt::Display;
use std::time::Duration;

use serde::ser::{Error, SerializeMap};
use serde::{Serialize, Serializer};
use serde_json::{Value as Json, json};

use super::units::{write_duration, write_size};
use super::{Config, variables};

/// Stands for a secret, and is long enough for any of them.
const HIDDEN: &str = "****************";

impl Config {
    /// The same with what nobody should read on a screen made unreadable.
    #[must_use]
    pub fn without_secrets(&self) -> Config {
        let mut shown = self.clone();
        let token = shown.admin.as_mut().and_then(|admin| admin.token.as_mut());
        for secret in token.into_iter().chain(shown.sticky_key.as_mut()) {
            HIDDEN.clone_into(secret);
        }
        shown
    }

    /// The configuration as config.json would say it, defaults included. Its secrets are in it.
    pub fn to_json(&self) -> Json {
        // Nothing in a configuration is beyond JSON: every key is a string.
        let mut whole = serde_json::to_value(self).unwrap_or_default();
        variables::escape(&mut whole);
        whole
    }
}

/// `"1m30s"`
pub(super) fn duration<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&write_duration(*value))
}

/// The same, or null.
pub(super) fn optional_duration<S: Serializer>(value: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    value.map(write_duration).serialize(to)
}

/// `"64KiB"`
pub(super) fn size<S: Serializer>(bytes: &usize, to: S) -> Result<S::Ok, S::Error> {
    write_size(*bytes as u64).serialize(to)
}

/// The same, or null.
pub(super) fn optional_size<S: Serializer>(bytes: &Option<u64>, to: S) -> Result<S::Ok, S::Error> {
    bytes.map(write_size).serialize(to)
}

/// 100 rather than 100.0.
pub(super) fn number<S: Serializer>(value: &f64, to: S) -> Result<S::Ok, S::Error> {
    whole_if_it_is(*value).serialize(to)
}

/// The same, or null.
pub(super) fn optional_number<S: Serializer>(value: &Option<f64>, to: S) -> Result<S::Ok, S::Error> {
    value.map(whole_if_it_is).serialize(to)
}

fn whole_if_it_is(value: f64) -> Json {
    // Below this every whole f64 is exact.
    const MOST_EXACT: f64 = 9_007_199_254_740_992.0;
    match value.fract() == 0.0 && (0.0..MOST_EXACT).contains(&value) {
        true => json!(value as u64),
        false => json!(value),
    }
}

/// What can be switched off: its fields, or the defaults while it is off.
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

/// Of a patch only the fields that say something.
pub(super) fn patch<T: Serialize, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    let mut json = serde_json::to_value(value).map_err(S::Error::custom)?;
    if let Json::Object(fields) = &mut json {
        fields.retain(|_, value| !value.is_null());
    }
    json.serialize(to)
}

/// Pairs as an object, in their order.
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

/// One as itself, several as a list, none as null.
pub(super) fn one_or_several<T: Serialize, S: Serializer>(all: &[T], to: S) -> Result<S::Ok, S::Error> {
    match all {
        [] => to.serialize_none(),
        [one] => one.serialize(to),
        several => several.serialize(to),
    }
}
