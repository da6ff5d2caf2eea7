//! Shows the progress through a long log on standard error: a bar on a terminal, else a line every tenth.
//! Short logs are done too soon to need it.

use std::io::{self, IsTerminal, Write};
use std::time::Instant;

/// Shorter logs take a fraction of a second.
const LONG_BYTES: u64 = 16 << 20;
/// Width of the bar.
const BAR: u64 = 40;
/// Number of updates on a terminal and on another output.
const TERMINAL_STEPS: u64 = 200;
const PLAIN_STEPS: u64 = 10;

/// See the module.
pub struct Progress {
    size_bytes: Option<u64>,
    is_terminal: bool,
    step: u64,
    started: Instant,
}

impl Progress {
    /// Progress through a log of this size; shows nothing if the size is unknown.
    pub fn new(size_bytes: Option<u64>) -> Progress {
        let is_terminal = io::stderr().is_terminal();
        let size_bytes = size_bytes.filter(|size| *size >= LONG_BYTES);
        Progress { size_bytes, is_terminal, step: 0, started: Instant::now() }
    }

    /// Updates the number of bytes read. Cheap if there is nothing new to show.
    pub fn advance(&mut self, read_bytes: u64) {
        let Some(size) = self.size_bytes else { return };
        let steps = if self.is_terminal { TERMINAL_STEPS } else { PLAIN_STEPS };
        let step = (read_bytes * steps / size).min(steps);
        if step > self.step {
            self.step = step;
            let text = line(step * 100 / steps, self.is_terminal);
            // Ignored: the result is on standard output anyway.
            let _ = io::stderr().write_all(text.as_bytes());
        }
    }

    /// Shows that the whole log is read.
    pub fn finish(&self) {
        if self.size_bytes.is_some() {
            let end = if self.is_terminal { "\r\x1b[K" } else { "" };
            let seconds = self.started.elapsed().as_secs_f64();
            let _ = io::stderr().write_all(format!("{end}replayed in {seconds:.1} s\n").as_bytes());
        }
    }
}

fn line(percent: u64, is_terminal: bool) -> String {
    if !is_terminal {
        return format!("{percent} %\n");
    }
    let full = (percent * BAR / 100) as usize;
    format!("\r[{}{}] {percent:3} %", "#".repeat(full), "·".repeat(BAR as usize - full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_fills_and_a_line_is_plain() {
        assert_eq!(line(30, false), "30 %\n");
        let half = line(50, true);
        assert!(half.starts_with("\r[####") && half.ends_with("]  50 %"), "{half}");
        assert_eq!((half.matches('#').count(), half.matches('·').count()), (20, 20));
    }
}
