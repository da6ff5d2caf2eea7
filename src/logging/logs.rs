//! Both logs of the process and their outputs: chosen by the configuration, changed by a reload, reopened
//! after log rotation.

use std::fs::File;
use std::io::{self, Write};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use log::Level::{Error, Info};
use log::LevelFilter;
use parking_lot::Mutex;
use simplelog::{ConfigBuilder, WriteLogger};

use super::events::{AS_JSON, TARGET, event};
use super::output;
use super::writer::{EVENTS, LineSender, LineWriter};
use crate::config::{Config, LogFormat};

/// The event log and the access log.
pub struct Logs {
    events: LineWriter,
    access: LineWriter,
    /// The current outputs; `None` means the standard stream.
    files: Mutex<Files>,
}

/// The names of the files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Files {
    events: Option<String>,
    access: Option<String>,
}

/// Files that are opened but not in use yet.
pub struct Opened {
    names: Files,
    events: Option<File>,
    access: Option<File>,
    as_json: bool,
}

impl Files {
    fn of(config: &Config) -> Files {
        Files { events: config.event_log.file.clone(), access: config.access_log.file.clone() }
    }

    /// Opens the files whose names differ from `present`.
    fn open(&self, present: &Files) -> Result<[Option<File>; 2], String> {
        let open = |field: &str, new: &Option<String>, old: &Option<String>| match new {
            Some(path) if new != old => output::open(path).map(Some).map_err(|why| format!("{field}: {why}")),
            _ => Ok(None),
        };
        let events = open("event_log.file", &self.events, &present.events)?;
        let access = open("access_log.file", &self.access, &present.access)?;
        Ok([events, access])
    }
}

impl Logs {
    /// Starts both logs on the standard streams. Called once, by `main`: a process has one event log.
    pub fn start(debug: bool) -> Logs {
        let events = LineWriter::start(EVENTS, Box::new(io::stderr()));
        let access = LineWriter::start("log-access", Box::new(io::stdout()));
        pass_events_to(events.sender(), debug);
        Logs { events, access, files: Mutex::default() }
    }

    /// The sender for access log lines.
    pub fn access(&self) -> LineSender {
        self.access.sender()
    }

    /// Opens the files in this configuration that are not open yet, without writing to them.
    ///
    /// # Errors
    /// A message for operators: the field, the file, and why it can't be used.
    pub fn open(&self, config: &Config) -> Result<Opened, String> {
        let (names, present) = (Files::of(config), self.files.lock().clone());
        let [events, access] = names.open(&present)?;
        Ok(Opened { names, events, access, as_json: config.event_log.format == LogFormat::Json })
    }

    /// Switches the logs to the opened files.
    pub fn switch_to(&self, opened: Opened) {
        AS_JSON.store(opened.as_json, Relaxed);
        let mut files = self.files.lock();
        if files.events != opened.names.events {
            self.events.write_to(opened.events.map_or(Box::new(io::stderr()), boxed));
        }
        if files.access != opened.names.access {
            self.access.write_to(opened.access.map_or(Box::new(io::stdout()), boxed));
        }
        *files = opened.names;
    }

    /// Reopens the files after they have been moved away (log rotation). If that fails, the old files remain
    /// in use.
    pub fn open_again(&self) {
        let names = self.files.lock().clone();
        match names.open(&Files::default()) {
            Ok([events, access]) => {
                let count = [&events, &access].iter().filter(|file| file.is_some()).count();
                event(Info, "log", "log files opened again", &[("count", &count)]);
                // A reload may have chosen other files in the meantime.
                let files = self.files.lock();
                let stays = [files.events == names.events, files.access == names.access];
                events.filter(|_| stays[0]).into_iter().for_each(|file| self.events.write_to(boxed(file)));
                access.filter(|_| stays[1]).into_iter().for_each(|file| self.access.write_to(boxed(file)));
            }
            Err(why) => event(Error, "log", "log files not opened again", &[("reason", &why)]),
        }
    }

    /// Waits until all lines so far are written; see [`LineWriter::flush`].
    pub fn flush(&self, patience: Duration) {
        self.access.flush(patience);
        self.events.flush(patience);
    }
}

/// Problems with the files in this configuration, as far as they can be detected without creating files.
pub fn problems(config: &Config) -> Vec<String> {
    let files = [("event_log.file", &config.event_log.file), ("access_log.file", &config.access_log.file)];
    let problem = |(field, file): (&str, &Option<String>)| {
        output::check(file.as_ref()?).err().map(|why| format!("{field}: {why}"))
    };
    files.into_iter().filter_map(problem).collect()
}

fn boxed(file: File) -> Box<dyn Write + Send> {
    Box::new(file)
}

/// Sends events to this writer from now on. Called once.
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
    // Only a second call fails; the logger of the first then stays.
    let _ = WriteLogger::init(level, config, Assembler { line: Vec::new(), lines });
}

/// Joins the pieces that simplelog writes into whole lines.
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
