//! What can be configured but has no effect yet. Whoever gives a field its effect deletes its row;
//! when the table is empty, this file goes. Until then such a field is refused, never ignored.

use super::document::Document;
use super::{Config, defaults};

/// A field, and whether its value asks for something that isn't there yet; the second argument is the
/// default.
type Row = (&'static str, fn(&Config, &Config) -> bool);

const NOT_YET: &[Row] =
    &[("front", |it, default| it.front != default.front), ("tls", |it, default| it.tls != default.tls)];

/// Adds a mistake for each field that has no effect yet and was set all the same.
pub(super) fn check(config: &Config, document: &Document<'_>) {
    let default = defaults::config();
    for (path, asks) in NOT_YET {
        if asks(config, &default) {
            document.mistake_where_written(path, "this value is not supported yet");
        }
    }
}
