//! `loadbalancer replay`: a recorded log goes through the code that chooses backends, once for each
//! algorithm, so that a change can be tried on yesterday's traffic instead of today's.
//!
//! Nothing is sent anywhere and no time passes: requests begin when the log says, each holds its lease
//! for as long as it took then, and the clock is the log's. What a backend would have made of another
//! share (it may be slower with more to do) is not simulated. The log is read once, line by line; what is
//! kept of it is a window of lines, what runs at once, and one entry a client.

mod clf_time;
mod clients;
mod cloud;
mod combined;
mod formats;
mod haproxy;
mod input;
mod json;
pub mod line;
mod order;
mod progress;
mod report;
mod simulation;
mod tail;

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use crate::cli::ReplayOptions;
use crate::config::{Algorithm, BackendUrl, Config, HashKey};
use crate::http::Headers;
use crate::pool::ClientKey;
use crate::proxy::client_address::client_address;
use clients::Clients;
use input::Input;
use line::{Entry, Line};
use order::{Arrival, Window};
use progress::Progress;
use report::Report;
use simulation::Simulation;

/// What the name `all` of `--algorithm` stands for.
pub const ALL: &str = "all";
/// How long a request takes whose log does not say it.
const ASSUMED_LATENCY: Duration = Duration::from_millis(100);
/// Reasons why lines can't be read that are shown, each with the first line's number.
const SHOWN_REASONS: usize = 5;
/// Backends that a log may name besides the configured ones and that are told apart.
const MAX_UNKNOWN: usize = 1000;

/// Why there is no result.
#[derive(Debug)]
pub enum Failure {
    /// The command line asks for something that is not there.
    Usage(String),
    /// The log can't be read.
    Log(String),
}

/// Replays the log and returns what there is to say, for standard output.
///
/// # Errors
/// See [`Failure`].
pub fn run(options: &ReplayOptions, config: &Config) -> Result<String, Failure> {
    let mut replay = Replay::new(options, config)?;
    for log in &options.logs {
        let failed = |error: io::Error| Failure::Log(format!("{}: {error}", log.display()));
        let mut input = Input::open(log).map_err(failed)?;
        let mut progress = Progress::new(input.size_bytes());
        while let Some(line) = input.next_line().map_err(failed)? {
            replay.take(line);
            progress.advance(input.read_bytes());
        }
        progress.finish();
    }
    replay.finish()
}

/// Everything between a line and the report.
struct Replay {
    window: Window,
    simulations: Vec<Simulation>,
    clients: Clients,
    report: Report,
    /// The configured backends, then those that only the log knows, by their place.
    places: HashMap<String, u16>,
    hashes_path: bool,
    /// Whose word for the client is taken, as a balancer takes it.
    trusted_proxies: Vec<IpNet>,
}

impl Replay {
    fn new(options: &ReplayOptions, config: &Config) -> Result<Replay, Failure> {
        let reduced = without(config, &options.without)?;
        let algorithms: Vec<Algorithm> = match options.algorithm.as_deref() {
            Some(ALL) => Algorithm::all().collect(),
            _ => vec![config.default_pool.algorithm],
        };
        let compared = (!options.without.is_empty()).then_some(config);
        let simulations =
            algorithms.iter().map(|algorithm| Simulation::new(*algorithm, &reduced, compared)).collect();
        let names = config.default_pool.backends.iter().map(|backend| backend.url.to_string());
        Ok(Replay {
            window: Window::default(),
            simulations,
            clients: Clients::default(),
            report: Report::new(notes(config)),
            places: names.zip(0..).collect(),
            trusted_proxies: config.trusted_proxies.clone(),
            hashes_path: config.default_pool.hash_key == HashKey::Path,
        })
    }

    fn take(&mut self, line: Result<&str, &'static str>) {
        self.report.lines += 1;
        match line.and_then(line::read_with_format) {
            Ok((Line::Request(entry), format)) => {
                self.report.note_format(format);
                let arrival = self.arrival(&entry);
                self.window.push(arrival, entry.at, entry.is_whole_second, entry.latency.is_some());
                self.simulate(false);
            }
            Ok((Line::Other, _)) => self.report.other += 1,
            Err(reason) => self.report.unreadable(reason, SHOWN_REASONS),
        }
    }

    /// Without its times, which the window finds.
    fn arrival(&mut self, entry: &Entry<'_>) -> Arrival {
        self.report.note_latency(entry.latency.is_some());
        let logged = entry.backend.as_deref().map(|name| self.place(name));
        let path = || entry.target.split('?').next().unwrap_or_default();
        let key = self.hashes_path.then(|| path().into());
        Arrival::new(self.client(entry), key, logged, entry.latency.unwrap_or(ASSUMED_LATENCY))
    }

    /// Who asked: where the log has `X-Forwarded-For`, that is who a balancer would take for the client.
    fn client(&mut self, entry: &Entry<'_>) -> IpAddr {
        let Some(forwarded) = entry.forwarded else { return entry.client };
        let mut headers = Headers::default();
        headers.push("X-Forwarded-For", forwarded.as_bytes());
        let client = client_address(entry.client, &headers, &self.trusted_proxies);
        self.report.unbelieved += u64::from(client == entry.client);
        client
    }

    fn place(&mut self, name: &str) -> u16 {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        let place = self.places.len() as u16;
        if self.places.len() < self.simulations[0].configured() + MAX_UNKNOWN {
            self.places.insert(name.to_owned(), place);
        }
        place
    }

    /// Lets those requests begin that nothing can come before any more; at the end, all.
    fn simulate(&mut self, is_end: bool) {
        while let Some(arrival) = self.window.pop(is_end) {
            self.report.begin(&arrival);
            let key: Option<&[u8]> = arrival.key.as_deref().map(str::as_bytes);
            let client = ClientKey { key, ..ClientKey::of(arrival.client) };
            let mut seen = self.clients.seen(&client);
            for (index, simulation) in self.simulations.iter_mut().enumerate() {
                let place = simulation.begin(&arrival, &client);
                if let (Some(seen), true) = (&mut seen, simulation.has_homes()) {
                    simulation.note_move(seen, index, place, &arrival, &client);
                }
            }
        }
    }

    fn finish(mut self) -> Result<String, Failure> {
        self.window.end();
        self.simulate(true);
        self.report.say_problems();
        match self.report.requests {
            0 => Err(Failure::Log("the log has no request that can be replayed".to_owned())),
            _ => Ok(self.report.text(&self.simulations, &self.clients)),
        }
    }
}

/// The configuration less these backends of the pool `default`.
fn without(config: &Config, names: &[String]) -> Result<Config, Failure> {
    if config.default_pool.backends.is_empty() {
        let text = "a replay is over the top-level `backends`, and this configuration has none; write those of a pool \
                    there, in a copy of it";
        return Err(Failure::Usage(text.to_owned()));
    }
    let mut reduced = config.clone();
    let backends = &mut reduced.default_pool.backends;
    for name in names {
        let url = BackendUrl::parse(name).map_err(Failure::Usage)?;
        let before = backends.len();
        backends.retain(|backend| backend.url != url);
        if backends.len() == before {
            let known: Vec<String> =
                config.default_pool.backends.iter().map(|it| it.url.to_string()).collect();
            return Err(Failure::Usage(format!("--without {url}: the backends are {}", known.join(", "))));
        }
    }
    match backends.iter().any(|backend| backend.weight > 0) {
        true => Ok(reduced),
        false => Err(Failure::Usage("--without leaves no backend that takes requests".to_owned())),
    }
}

/// What the log can't tell and the configuration asks for.
fn notes(config: &Config) -> Vec<String> {
    let mut notes = Vec::new();
    if !config.routes.is_empty() {
        notes.push("routes are left out: all requests go to the top-level backends".into());
    }
    let key = &config.default_pool.hash_key;
    if matches!(key, HashKey::Header(_) | HashKey::Cookie(_)) {
        notes.push(format!("logs do not have hash_key {key}: the client's address takes its place"));
    }
    if config.default_pool.sticky_cookie.is_some() {
        notes.push("logs do not have the sticky cookie: every request is a new client's".into());
    }
    notes
}

#[cfg(test)]
mod tests;
