use std::fmt::Write as _;

use std::time::Duration;

use super::*;
use crate::config::{Overrides, parse};

fn config(algorithm: &str) -> Config {
    let text = format!(
        r#"{{ "algorithm": "{algorithm}", "backends": [
            {{ "url": "http://a" }}, {{ "url": "http://b" }}, {{ "url": "http://c" }} ] }}"#
    );
    parse(&text, &Overrides::default()).unwrap()
}

/// Our own lines: one ends every `step_ms` after `latency_ms`, from `clients` in turn, answered by `a`.
fn log(lines: u64, step_ms: u64, latency_ms: u64, clients: u64) -> String {
    let mut text = String::new();
    for number in 0..lines {
        let at = std::time::UNIX_EPOCH + Duration::from_millis(1_777_629_600_000 + number * step_ms);
        let (time, client) = (humantime::format_rfc3339_millis(at), number % clients);
        let _ = writeln!(
            text,
            "{time} level=INFO component=access path=/p{client} latency_ms={latency_ms}.000 \
             client=10.0.{}.{} backend=http://a attempts=1",
            client / 256,
            client % 256
        );
    }
    text
}

struct Result {
    tallies: Vec<Vec<(u64, u32)>>,
    moved: Vec<usize>,
    clients: usize,
    full: u64,
}

fn replayed(config: &Config, options: &ReplayOptions, log: &str) -> Result {
    let mut replay = Replay::new(options, config).expect("a replay");
    log.lines().for_each(|line| replay.take(Ok(line)));
    replay.window.end();
    replay.simulate(true);
    let tally = |it: &Simulation| it.tallies.iter().map(|tally| (tally.requests, tally.peak)).collect();
    Result {
        tallies: replay.simulations.iter().map(tally).collect(),
        moved: (0..replay.simulations.len()).map(|index| replay.clients.moved(index)).collect(),
        clients: replay.clients.count(),
        full: replay.simulations.iter().map(|it| it.full).sum(),
    }
}

#[test]
fn leases_are_held_for_as_long_as_the_log_says() {
    // One begins every 10 ms and takes 100 ms: ten at once, distributed over three backends.
    let result = replayed(&config("least_conn"), &ReplayOptions::default(), &log(300, 10, 100, 5));
    assert_eq!(result.tallies, [[(100, 4), (100, 4), (100, 4)]]);
    let result = replayed(&config("round_robin"), &ReplayOptions::default(), &log(300, 10, 5, 5));
    assert_eq!(result.tallies, [[(100, 1), (100, 1), (100, 1)]]);
}

#[test]
fn every_algorithm_gets_every_request() {
    let options = ReplayOptions { algorithm: Some(ALL.into()), ..ReplayOptions::default() };
    let result = replayed(&config("round_robin"), &options, &log(3000, 1, 20, 700));
    assert_eq!(result.tallies.len(), Algorithm::all().count());
    for tallies in &result.tallies {
        assert_eq!(tallies.iter().map(|(requests, _)| requests).sum::<u64>(), 3000);
        assert!(tallies.iter().all(|(requests, _)| *requests > 700), "{tallies:?}");
    }
    assert_eq!(result.clients, 700);
}

#[test]
fn without_a_backend_only_its_own_clients_move_where_that_is_promised() {
    let home = replayed(&config("consistent_hash"), &ReplayOptions::default(), &log(3000, 1, 1, 3000));
    let options = ReplayOptions { without: vec!["http://b:80".into()], ..ReplayOptions::default() };
    let result = replayed(&config("consistent_hash"), &options, &log(3000, 1, 1, 3000));
    assert_eq!(result.moved[0] as u64, home.tallies[0][1].0);
    assert_eq!(result.tallies[0].len(), 2);
    let modulo = replayed(&config("ip_hash"), &options, &log(3000, 1, 1, 3000));
    assert!((1800..2200).contains(&modulo.moved[0]), "two of three: {}", modulo.moved[0]);
}

#[test]
fn else_clients_move_from_where_the_log_has_them() {
    let result = replayed(&config("ip_hash"), &ReplayOptions::default(), &log(3000, 1, 1, 300));
    // In the log, all of them are on the first backend.
    assert!((150..250).contains(&result.moved[0]), "{}", result.moved[0]);
    let rotation = replayed(&config("round_robin"), &ReplayOptions::default(), &log(3000, 1, 1, 300));
    assert_eq!(rotation.moved, [0], "nobody has a place of its own");
}

#[test]
fn hash_key_path_is_in_the_log() {
    let mut config = config("consistent_hash");
    config.default_pool.hash_key = HashKey::Path;
    let one_client = log(400, 1, 1, 200).replace("client=10.0.0.", "client=127.0.0.1 x=");
    let result = replayed(&config, &ReplayOptions::default(), &one_client);
    assert_eq!(result.clients, 200, "each path is a client of its own");
    assert!(result.tallies[0].iter().all(|(requests, _)| *requests > 50));
}

#[test]
fn what_finds_no_room_is_counted() {
    let mut config = config("round_robin");
    config.default_pool.backends.iter_mut().for_each(|backend| backend.max_connections = Some(1));
    let result = replayed(&config, &ReplayOptions::default(), &log(40, 10, 1000, 5));
    assert_eq!(result.tallies, [[(1, 1), (1, 1), (1, 1)]]);
    assert_eq!(result.full, 37);
}

#[test]
fn a_backend_that_is_not_there_can_not_be_taken_away() {
    for (names, word) in [
        (vec!["http://d".to_owned()], "http://a, http://b"),
        (vec!["d".to_owned()], "not a backend URL"),
        (["http://a", "http://b", "http://c"].map(str::to_owned).to_vec(), "no backend"),
    ] {
        let options = ReplayOptions { without: names, ..ReplayOptions::default() };
        match Replay::new(&options, &config("round_robin")).err() {
            Some(Failure::Usage(message)) => assert!(message.contains(word), "{message}"),
            other => panic!("{other:?}"),
        }
    }
}
