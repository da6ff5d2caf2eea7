//! How metrics write a moment.

use std::time::SystemTime;

/// In UTC, with milliseconds.
pub fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}
