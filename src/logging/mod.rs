//! The event log: one logfmt line an event on standard error, the time in RFC 3339 first.
//!
//! simplelog writes the time and the message; the message is the whole rest of the line, built here,
//! so that every value is escaped in one place. Lines are handed over to a writer thread through a
//! bounded queue ([`writer`]): no request ever waits for a terminal, a pipe or a disk.

pub mod logfmt;
pub mod writer;

use std::fmt::Display;
use std::io;

use log::{Level, LevelFilter};
use simplelog::{ConfigBuilder, WriteLogger};

use writer::{LineSender, LineWriter};

/// Marks our own records; what libraries log is not ours to pass on, it is not escaped.
const TARGET: &str = "loadbalancer";

/// Starts the event log on standard error. Called once, by `main`.
pub fn start(debug: bool) -> LineWriter {
    let writer = LineWriter::start("log-events", io::stderr());
    let level = if debug { LevelFilter::Debug } else { LevelFilter::Info };
    let config = ConfigBuilder::new()
        .set_time_format_rfc3339()
        .set_max_level(LevelFilter::Off)
        .set_target_level(LevelFilter::Off)
        .set_thread_level(LevelFilter::Off)
        .set_location_level(LevelFilter::Off)
        .set_time_level(LevelFilter::Error)
        .add_filter_allow_str(TARGET)
        .build();
    // Only a second call fails, and the first one's logger then stays.
    let _ = WriteLogger::init(level, config, Assembler { line: Vec::new(), lines: writer.sender() });
    writer
}

/// Logs one event: `level=… component=… msg="…"` and the fields, each escaped.
pub fn event(level: Level, component: &str, message: &str, fields: &[(&str, &dyn Display)]) {
    if !log::log_enabled!(target: TARGET, level) {
        return;
    }
    let mut line = logfmt::Line::new();
    line.field("level", &level).field("component", &component).quoted("msg", message);
    for (name, value) in fields {
        line.field(name, value);
    }
    log::log!(target: TARGET, level, "{}", line.finish());
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
