//! `loadbalancer replay`: passes a recorded log through the code that chooses backends, once for each
//! algorithm, so that a change can be tried on yesterday's traffic instead of today's.
//!
//! Nothing is sent, and replaying does not wait: requests begin at the times in the log, each holds its lease
//! for its logged duration, and the clock is that of the log. The effect of a different load on a backend's
//! speed is not simulated. The log is read once, line by line; only a window of lines, the requests in
//! progress, and one entry per client are kept.

mod clf_time;
mod clients;
mod cloud;
mod combined;
mod entry;
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
mod time_field;
mod values;

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::cli::ReplayOptions;
use crate::config::{Algorithm, BackendUrl, Config, HashKey, Route};
use crate::http::{Headers, RequestHead, Version};
use crate::pool::ClientKey;
use crate::proxy::client_address::client_address;
use crate::rules::Book;
use clients::Clients;
use input::Input;
use line::{Entry, Line};
use order::{ASSUMED_LATENCY, Arrival, Window};
use progress::Progress;
use report::Report;
use simulation::Simulation;
use time_field::TimeField;

/// The value of `--algorithm` for all algorithms.
pub const ALL: &str = "all";
/// Limit of reasons shown for unreadable lines, each with the number of its first line.
const SHOWN_REASONS: usize = 5;
/// Limit of backends distinguished that are in the log but not configured.
const MAX_UNKNOWN: usize = 1000;

/// Why there is no result.
#[derive(Debug)]
pub enum Failure {
    /// The command line names something that does not exist.
    Usage(String),
    /// The log can't be read.
    Log(String),
}

/// Replays the log and returns the report for standard output.
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

/// The state of a replay.
struct Replay {
    window: Window,
    simulations: Vec<Simulation>,
    clients: Clients,
    report: Report,
    /// Index of each backend by its pool and name: first the configured ones, then those that are only in the
    /// log.
    places: HashMap<(u16, String), u16>,
    configured: usize,
    /// For each pool, whether it hashes the path.
    hashes_path: Vec<bool>,
    /// Finds a request's pool.
    book: Book,
    time_field: Option<TimeField>,
    /// Peers whose `X-Forwarded-For` is trusted, as in a balancer.
    trusted_proxies: Vec<IpNet>,
}

impl Replay {
    fn new(options: &ReplayOptions, config: &Config) -> Result<Replay, Failure> {
        let time_field = options.time_field.as_deref().map(TimeField::parse).transpose();
        let time_field = time_field.map_err(Failure::Usage)?;
        let reduced = without(config, &options.without)?;
        let algorithms: Vec<Option<Algorithm>> = match options.algorithm.as_deref() {
            Some(ALL) => Algorithm::all().map(Some).collect(),
            // `--algorithm` has replaced the configured one.
            Some(_) => vec![Some(config.default_pool.algorithm)],
            None => vec![None],
        };
        let compared = (!options.without.is_empty()).then_some(config);
        let simulations: Vec<Simulation> =
            algorithms.iter().map(|algorithm| Simulation::new(*algorithm, &reduced, compared)).collect();
        let configured: Vec<(u16, String)> =
            simulations[0].configured().map(|(pool, name)| (pool as u16, name.to_owned())).collect();
        Ok(Replay {
            window: Window::default(),
            simulations,
            clients: Clients::default(),
            report: Report::new(notes(config), config.routes.iter().any(|route| !route.hosts.is_empty())),
            configured: configured.len(),
            places: configured.into_iter().zip(0..).collect(),
            trusted_proxies: config.trusted_proxies.clone(),
            hashes_path: config.all_pools().map(|pool| pool.hash_key == HashKey::Path).collect(),
            book: Book::new(config),
            time_field,
        })
    }

    fn take(&mut self, line: Result<&str, &'static str>) {
        self.report.lines += 1;
        match line.and_then(|line| self.read(line)) {
            Ok((Line::Request(entry), format)) => {
                self.report.note_format(format);
                let Some(arrival) = self.arrival(&entry) else { return };
                self.window.push(arrival, entry.at, entry.is_whole_second, entry.latency.is_some());
                self.simulate(false);
            }
            Ok((Line::Other, _)) => self.report.other += 1,
            Err(reason) => self.report.unreadable(reason, SHOWN_REASONS),
        }
    }

    fn read<'l>(&self, text: &'l str) -> Result<(Line<'l>, &'static str), &'static str> {
        let (mut line, format) = line::read_with_format(text)?;
        if let (Some(field), Line::Request(entry)) = (self.time_field, &mut line) {
            field.put_into(entry, text)?;
        }
        Ok((line, format))
    }

    /// The request without its times, which the window determines; `None` if no backend would be asked.
    fn arrival(&mut self, entry: &Entry<'_>) -> Option<Arrival> {
        let client = self.client(entry);
        let Some(pool) = self.pool(entry, client) else {
            self.report.answered += 1;
            return None;
        };
        self.report.note_latency(entry.latency.is_some());
        let logged = entry.backend.as_deref().map(|name| self.place(pool, name));
        let path = || entry.target.split('?').next().unwrap_or_default();
        let key = self.hashes_path[usize::from(pool)].then(|| path().into());
        Some(Arrival::new(client, key, (pool, logged), entry.latency.unwrap_or(ASSUMED_LATENCY)))
    }

    /// The pool of the request's route; `None` if the balancer would answer itself.
    fn pool(&mut self, entry: &Entry<'_>, client: IpAddr) -> Option<u16> {
        let mut headers = Headers::default();
        if let Some(host) = &entry.host {
            headers.push("Host", host.as_bytes());
        }
        self.report.without_host += u64::from(entry.host.is_none());
        let (method, target) = ("GET".to_owned(), entry.target.clone().into_owned());
        let head = RequestHead { method, target, version: Version::Http11, headers };
        let rules = self.book.get(self.book.find(&head, client).ok()?);
        rules.answer.is_none().then_some(rules.pool as u16)
    }

    /// The client: if the log has `X-Forwarded-For`, the address that a balancer would take for the client.
    fn client(&mut self, entry: &Entry<'_>) -> IpAddr {
        let Some(forwarded) = entry.forwarded else { return entry.client };
        let mut headers = Headers::default();
        headers.push("X-Forwarded-For", forwarded.as_bytes());
        let client = client_address(entry.client, &headers, &self.trusted_proxies);
        self.report.unbelieved += u64::from(client == entry.client);
        client
    }

    fn place(&mut self, pool: u16, name: &str) -> u16 {
        let key = (pool, name.to_owned());
        if let Some(place) = self.places.get(&key) {
            return *place;
        }
        let place = self.places.len() as u16;
        if self.places.len() < self.configured + MAX_UNKNOWN {
            self.places.insert(key, place);
        }
        place
    }

    /// Begins the requests that no later line can precede; at the end, all of them.
    fn simulate(&mut self, is_end: bool) {
        while let Some(arrival) = self.window.pop(is_end) {
            self.report.begin(&arrival);
            let key: Option<&[u8]> = arrival.key.as_deref().map(str::as_bytes);
            let client = ClientKey { key, ..ClientKey::of(arrival.client) };
            let mut seen = self.clients.seen(&client);
            for (index, simulation) in self.simulations.iter_mut().enumerate() {
                let place = simulation.begin(&arrival, &client);
                if let (Some(seen), true) = (&mut seen, simulation.has_homes(usize::from(arrival.pool))) {
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

/// The configuration without these backends, in all pools.
fn without(config: &Config, names: &[String]) -> Result<Config, Failure> {
    let all = || config.all_pools().flat_map(|pool| &pool.backends);
    if all().next().is_none() {
        return Err(Failure::Usage("this configuration has no backends to replay over".to_owned()));
    }
    let mut reduced = config.clone();
    for name in names {
        let url = BackendUrl::parse(name).map_err(Failure::Usage)?;
        if !all().any(|backend| backend.url == url) {
            let known: Vec<String> = all().map(|it| it.url.to_string()).collect();
            return Err(Failure::Usage(format!("--without {url}: the backends are {}", known.join(", "))));
        }
        for pool in std::iter::once(&mut reduced.default_pool).chain(&mut reduced.pools) {
            let before = pool.backends.len();
            pool.backends.retain(|backend| backend.url != url);
            let is_touched = pool.backends.len() < before;
            if is_touched && !pool.backends.iter().any(|backend| backend.weight > 0) {
                return Err(Failure::Usage("--without leaves no backend that takes requests".to_owned()));
            }
        }
    }
    Ok(reduced)
}

/// Notes on settings that depend on data missing from logs.
fn notes(config: &Config) -> Vec<String> {
    let mut notes = Vec::new();
    let asks_for_more = |route: &Route| !route.methods.is_empty() || !route.headers.is_empty();
    if config.routes.iter().any(asks_for_more) {
        notes.push("routes by method or field: each request is taken for a GET without fields".into());
    }
    for pool in config.all_pools() {
        let key = &pool.hash_key;
        if matches!(key, HashKey::Header(_) | HashKey::Cookie(_)) {
            notes.push(format!("logs do not have hash_key {key}: the client's address takes its place"));
        }
    }
    if config.all_pools().any(|pool| pool.sticky_cookie.is_some()) {
        notes.push("logs do not have the sticky cookie: every request is a new client's".into());
    }
    notes.dedup();
    notes
}

#[cfg(test)]
mod tests;
