//! The report of a replay.

use std::io::{self, Write};
use std::time::Duration;

use super::clients::Clients;
use super::order::{ASSUMED_LATENCY, Arrival};
use super::simulation::Simulation;

/// See the module.
#[derive(Default)]
pub struct Report {
    /// Lines read.
    pub lines: u64,
    /// Requests replayed.
    pub requests: u64,
    /// Lines that are not requests to a backend.
    pub other: u64,
    /// Requests that a route answers itself, or that no route matches.
    pub answered: u64,
    /// Requests whose host is not logged.
    pub without_host: u64,
    /// Whether routes depend on the host.
    hosts_matter: bool,
    /// Requests whose `X-Forwarded-For` was not trusted.
    pub unbelieved: u64,
    unreadable: u64,
    /// The first few reasons for unreadable lines.
    shown: Vec<Shown>,
    without_latency: u64,
    /// Formats of lines, with their counts.
    formats: Vec<(&'static str, u64)>,
    span: Option<(Duration, Duration)>,
    notes: Vec<String>,
}

/// Lines that can't be read for the same reason.
struct Shown {
    reason: &'static str,
    /// Number of the first such line.
    line: u64,
    lines: u64,
}

impl Report {
    /// An empty report with these notes.
    pub fn new(notes: Vec<String>, hosts_matter: bool) -> Report {
        Report { notes, hosts_matter, ..Report::default() }
    }

    /// Counts the last line as unreadable; `most` reasons are shown.
    pub fn unreadable(&mut self, reason: &'static str, most: usize) {
        self.unreadable += 1;
        if let Some(shown) = self.shown.iter_mut().find(|shown| shown.reason == reason) {
            shown.lines += 1;
        } else if self.shown.len() < most {
            self.shown.push(Shown { reason, line: self.lines, lines: 1 });
        }
    }

    /// Counts a line of this format.
    pub fn note_format(&mut self, format: &'static str) {
        match self.formats.iter_mut().find(|(known, _)| *known == format) {
            Some((_, lines)) => *lines += 1,
            None => self.formats.push((format, 1)),
        }
    }

    /// Counts whether the request's latency is logged.
    pub fn note_latency(&mut self, is_known: bool) {
        self.without_latency += u64::from(!is_known);
    }

    /// Counts a replayed request.
    pub fn begin(&mut self, arrival: &Arrival) {
        self.requests += 1;
        let (first, last) = self.span.unwrap_or((arrival.began, arrival.began));
        self.span = Some((first.min(arrival.began), last.max(arrival.began)));
    }

    /// Writes notes and problems to standard error.
    pub fn say_problems(&self) {
        let formats =
            self.formats.iter().map(|(name, lines)| format!("{name} ({})", counted(*lines, "line")));
        let formats: Vec<String> = formats.collect();
        let taken = (!formats.is_empty()).then(|| format!("note: taken for {}", formats.join(", ")));
        let notes = self.notes.iter().map(|note| format!("note: {note}"));
        let mut lines: Vec<String> = taken.into_iter().chain(notes).collect();
        if self.without_latency > 0 {
            let (count, ms) = (counted(self.without_latency, "request"), ASSUMED_LATENCY.as_millis());
            lines.push(format!("note: {count} without a latency, taken to last {ms} ms"));
        }
        if self.unbelieved > 0 {
            let count = counted(self.unbelieved, "request");
            lines.push(format!(
                "note: X-Forwarded-For of {count} does not count, for its peer is not in trusted_proxies: that \
                 peer is taken for the client"
            ));
        }
        if self.hosts_matter && self.without_host > 0 {
            let count = counted(self.without_host, "request");
            lines.push(format!("note: {count} without a host, so that routes for hosts don't take them"));
        }
        lines.extend(self.shown.iter().map(Shown::text));
        let shown: u64 = self.shown.iter().map(|shown| shown.lines).sum();
        if self.unreadable > shown {
            lines.push(format!("and {} more lines that can't be read", grouped(self.unreadable - shown)));
        }
        let mut text = lines.join("\n");
        text.extend((!lines.is_empty()).then_some('\n'));
        // Ignored: the report is on standard output anyway.
        let _ = io::stderr().write_all(text.as_bytes());
    }

    /// The summary, and a table for each simulation.
    pub fn text(&self, simulations: &[Simulation], clients: &Clients) -> String {
        let mut text = self.account(clients);
        let names = simulations.iter().flat_map(|it| it.tallies.iter().map(|tally| it.shown(tally).len()));
        let width = names.max().unwrap_or(0).max("backend".len());
        text.push_str(&format!(
            "\n{:<16}  {:<width$}  {:>12}  {:>7}  {:>12}\n",
            "algorithm", "backend", "requests", "share", "most at once"
        ));
        for (index, simulation) in simulations.iter().enumerate() {
            text.push_str(&table(simulation, width));
            if simulation.has_any_homes() && clients.is_compared {
                text.push_str(&moves(clients, index, simulation.compared_with()));
            }
        }
        text
    }

    fn account(&self, clients: &Clients) -> String {
        let (first, last) = self.span.unwrap_or_default();
        let seconds = (last - first).as_secs();
        let more = if clients.is_full { "more than " } else { "" };
        let mut text = format!(
            "{} of {more}{} in {}\n",
            counted(self.requests, "request"),
            counted(clients.count() as u64, "client"),
            humantime::format_duration(Duration::from_secs(seconds)),
        );
        if self.answered > 0 {
            text.push_str(&format!(
                "{} answered by the balancer itself\n",
                counted(self.answered, "request")
            ));
        }
        if self.other + self.unreadable > 0 {
            text.push_str(&format!(
                "left out: {} of something else, {} that can't be read\n",
                counted(self.other, "line"),
                grouped(self.unreadable)
            ));
        }
        text
    }
}

impl Shown {
    fn text(&self) -> String {
        let more = match self.lines - 1 {
            0 => String::new(),
            more => format!(" (and {})", counted(more, "more line")),
        };
        format!("line {}: {}{more}", self.line, self.reason)
    }
}

fn table(simulation: &Simulation, width: usize) -> String {
    let total = |pool: usize| -> u64 {
        simulation.tallies.iter().filter(|tally| tally.pool == pool).map(|tally| tally.requests).sum()
    };
    let mut text = String::new();
    let mut told = None;
    for tally in &simulation.tallies {
        let algorithm = simulation.pools[tally.pool].0;
        let name = if told == Some(algorithm) { String::new() } else { algorithm.to_string() };
        told = Some(algorithm);
        let (requests, peak) = (grouped(tally.requests), grouped(tally.peak.into()));
        let percent = percent(tally.requests, total(tally.pool));
        text.push_str(&format!(
            "{name:<16}  {:<width$}  {requests:>12}  {percent:>5.1} %  {peak:>12}\n",
            simulation.shown(tally)
        ));
    }
    if simulation.full > 0 {
        let full = grouped(simulation.full);
        text.push_str(&format!("{:16}  {full} requests found every backend full\n", ""));
    }
    text
}

fn moves(clients: &Clients, index: usize, before: &str) -> String {
    let (moved, all) = (clients.moved(index) as u64, clients.count() as u64);
    let percent = percent(moved, all);
    format!(
        "{:16}  {} of {} clients ({percent:.1} %) would move, compared with {before}\n",
        "",
        grouped(moved),
        grouped(all)
    )
}

fn percent(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole.max(1) as f64
}

fn counted(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {what}{plural}", grouped(number))
}

/// Writes `1234567` as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }
}
