//! Lines of the event log.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::SystemTime;

use log::Level;

use super::line::{Encoding, Line};

/// Marks our own records. Records of libraries are not passed on, because their texts are not escaped.
pub(super) const TARGET: &str = "loadbalancer";

/// Event fields that are always numbers.
const NUMBERS: [&str; 13] = [
    "accepted",
    "answered",
    "attempts",
    "count",
    "cut",
    "in_flight",
    "limit",
    "most",
    "pid",
    "streams",
    "timeout_s",
    "unsent",
    "workers",
];

/// Whether events are written as JSON.
pub(super) static AS_JSON: AtomicBool = AtomicBool::new(false);

/// Logs one event: `time=… level=… component=… msg="…"` and the fields, each escaped.
pub fn event(level: Level, component: &str, message: &str, fields: &[(&str, &dyn Display)]) {
    if log::log_enabled!(target: TARGET, level) {
        log::log!(target: TARGET, level, "{}", event_line(level, component, message, fields));
    }
}

pub(super) fn event_line(
    level: Level,
    component: &str,
    message: &str,
    fields: &[(&str, &dyn Display)],
) -> String {
    let encoding = event_encoding();
    let mut line = Line::at(SystemTime::now(), encoding);
    line.field("level", &level).field("component", &component).quoted("msg", message);
    for (name, value) in fields {
        match encoding == Encoding::Json && NUMBERS.contains(name) {
            true => line.number_or_text(name, &value.to_string()),
            false => line.field(name, value),
        };
    }
    line.finish()
}

fn event_encoding() -> Encoding {
    if AS_JSON.load(Relaxed) { Encoding::Json } else { Encoding::Logfmt }
}

/// Logs a panic as one line, instead of a backtrace on the terminal.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let what = info.payload_as_str().unwrap_or("(no message)");
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
        let fields: [(&str, &dyn Display); 3] = [("what", &what), ("at", &place), ("thread", &thread)];
        event(Level::Error, "panic", "a thread panicked", &fields);
    }));
}
