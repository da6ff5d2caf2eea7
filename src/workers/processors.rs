//! Whether all processors of the machine are busy. If so, more workers would only wait for them and use
//! memory.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

/// Time between two readings: the kernel counts in steps of 10 ms.
const PAUSE: Duration = Duration::from_millis(50);
/// A reading older than this is not compared with the next one.
const LONG_AGO: Duration = Duration::from_millis(500);
/// Processors are busy if less than this share of their time was idle.
const BUSY_SHARE: f64 = 0.05;
/// The fields of the first line of `/proc/stat` for time without work or with work that yields at once
/// (niced), see proc_stat(5).
const IDLE_FIELDS: [usize; 3] = [1, 3, 4];

/// See the module. Without `/proc` the processors count as never busy.
pub(super) struct Processors {
    stat: Option<File>,
    looked: Instant,
    last: Times,
    are_busy: Option<bool>,
}

/// Time since boot, in the kernel's steps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Times {
    idle: u64,
    all: u64,
}

impl Processors {
    /// Takes the first reading.
    pub fn new(now: Instant) -> Processors {
        let stat = File::open("/proc/stat").ok();
        let mut processors = Processors { stat, looked: now, last: Times::default(), are_busy: None };
        processors.watch(now);
        processors
    }

    /// Takes a first reading, which says nothing yet.
    fn watch(&mut self, now: Instant) {
        self.last = self.read().unwrap_or_default();
        self.looked = now;
        self.are_busy = if self.last.all > 0 { None } else { Some(false) };
    }

    /// Whether all processors were busy lately; `None` until two readings can be compared. Reads a file now
    /// and then.
    pub fn are_busy(&mut self, now: Instant) -> Option<bool> {
        let ago = now.saturating_duration_since(self.looked);
        if ago >= LONG_AGO {
            self.watch(now);
        } else if ago >= PAUSE {
            self.looked = now;
            let times = self.read().unwrap_or_default();
            self.are_busy = Some(is_busy(self.last, times));
            self.last = times;
        }
        self.are_busy
    }

    fn read(&self) -> Option<Times> {
        let mut text = [0; 256];
        let length = self.stat.as_ref()?.read_at(&mut text, 0).ok()?;
        parse(std::str::from_utf8(&text[..length]).ok()?)
    }
}

fn parse(text: &str) -> Option<Times> {
    let line = text.lines().next()?.strip_prefix("cpu ")?;
    let fields: Vec<u64> = line.split_ascii_whitespace().map_while(|field| field.parse().ok()).collect();
    let idle = IDLE_FIELDS.iter().filter_map(|index| fields.get(*index)).sum();
    Some(Times { idle, all: fields.iter().sum() })
}

fn is_busy(before: Times, now: Times) -> bool {
    let (idle, all) = (now.idle.saturating_sub(before.idle), now.all.saturating_sub(before.all));
    all > 0 && (idle as f64) < all as f64 * BUSY_SHARE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_is_told_from_work() {
        let before = parse("cpu  100 20 30 1000 50 0 5 0 0 0\ncpu0 1 2 3\n").unwrap();
        assert_eq!(before, Times { idle: 1070, all: 1205 });
        let later = |busy, idle| Times { idle: before.idle + idle, all: before.all + busy + idle };
        assert!(is_busy(before, later(20, 0)));
        assert!(!is_busy(before, later(19, 1)));
        assert!(!is_busy(before, before), "no time has passed");
        assert_eq!(parse("intr 5"), None);
    }

    #[test]
    fn this_machine_can_be_asked() {
        let now = Instant::now();
        let mut processors = Processors::new(now);
        assert_eq!(processors.are_busy(now), None, "nothing is known yet");
        assert!(processors.last.all > 0);
        let unknown = Processors { stat: None, ..Processors::new(now) };
        assert_eq!(unknown.read(), None);
    }
}
