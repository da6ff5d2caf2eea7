//! Two logs: the event log on standard error and the access log on standard output, or in files ([`Logs`]).
//!
//! A line is built whole here, so that every value is escaped in one place ([`line`](mod@line)); simplelog passes the
//! lines of the event log on. They are handed over to a writer thread through a bounded queue ([`writer`]):
//! no request ever waits for a terminal, a pipe or a disk.

pub mod combined;
pub mod line;
pub mod logfmt;
mod logs;
mod output;
pub mod writer;

use std::fmt::Display;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::SystemTime;

use log::{Level, LevelFilter};
use simplelog::{ConfigBuilder, WriteLogger};

pub use logs::{Logs, Opened, problems};

use line::{Encoding, Line};
use writer::LineSender;

/// Marks our own records; what libraries log is not ours to pass on, it is not escaped.
const TARGET: &str = "loadbalancer";

/// Fields of events that are numbers wherever they stand.
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
static AS_JSON: AtomicBool = AtomicBool::new(false);

/// Events go to this writer from now on. Called once.
fn pass_events_to(lines: LineSender, debug: bool) {
    let level = if debug { LevelFilter::Debug } else { LevelFilter::Info };
    let config = ConfigBuilder::new()
        .set_max_level(LevelFilter::Off)
        .set_target_level(LevelFilter::Off)
        .set_thread_level(LevelFilter::Off)
        .set_location_level(LevelFilter::Off)
        .set_time_level(LevelFilter::Off)
        .add_filter_allow_str(TARGET)
        .build();
    // Only a second call fails, and the first one's logger then stays.
    let _ = WriteLogger::init(level, config, Assembler { line: Vec::new(), lines });
}

/// Logs one event: `time=… level=… component=… msg="…"` and the fields, each escaped.
pub fn event(level: Level, component: &str, message: &str, fields: &[(&str, &dyn Display)]) {
    if log::log_enabled!(target: TARGET, level) {
        log::log!(target: TARGET, level, "{}", event_line(level, component, message, fields));
    }
}

fn event_line(level: Level, component: &str, message: &str, fields: &[(&str, &dyn Display)]) -> String {
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

/// A panic costs one request and one log line, not a backtrace on the terminal.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let what = info.payload_as_str().unwrap_or("(no message)");
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
        let fields: [(&str, &dyn Display); 3] = [("what", &what), ("at", &place), ("thread", &thread)];
        event(Level::Error, "panic", "a thread panicked", &fields);
    }));
}

/// Puts together what simplelog writes in pieces and hands over whole lines.
struct Assembler {
    line: Vec<u8>,
    lines: LineSender,
}

impl io::Write for Assembler {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(piece);
        if self.line.ends_with(b"\n") {
            self.lines.send(std::mem::take(&mut self.line));
        }
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
