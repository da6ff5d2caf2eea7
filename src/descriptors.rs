//! File descriptors and threads: as many as the system allows, and no more connections and streams than they
//! are enough for.

use std::fs;
use std::path::Path;

use log::Level::Warn;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;
use crate::logging::event;

/// For the log, listeners, polls, signals, probes, look-ups and libraries.
const OTHER_DESCRIPTORS: u64 = 32;
/// For everything but workers and streams.
const OTHER_THREADS: u64 = 32;

/// Raises the soft limit to the hard one, and lowers `limits.max_connections` where even that is not
/// enough for it, and `limits.max_streams` and `workers` where there can't be as many threads: running out
/// would stop the accepting of connections, or leave clients without an answer.
pub fn fit(config: &mut Config) {
    let available = raise_limit();
    let possible = connections_for(available, config);
    let connections = &mut config.limits.max_connections;
    lower(connections, possible, "limits.max_connections", ("open_files", available));
    if let Some(threads) = threads_allowed() {
        let for_workers = usize::try_from(threads.saturating_sub(OTHER_THREADS)).unwrap_or(usize::MAX).max(1);
        lower(&mut config.workers, for_workers, "workers", ("threads", threads));
        let for_streams = for_workers.saturating_sub(config.workers);
        lower(&mut config.limits.max_streams, for_streams, "limits.max_streams", ("threads", threads));
    }
}

fn lower(limit: &mut usize, possible: usize, name: &str, (of, allowed): (&str, u64)) {
    if possible < *limit {
        let message = format!("{name} lowered to what the system allows");
        event(Warn, "app", &message, &[("from", limit), ("to", &possible), (of, &allowed)]);
        *limit = possible;
    }
}

/// How many descriptors the limit may be raised to.
pub fn available() -> u64 {
    getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX)
}

/// Connections that there are descriptors for, besides all else: each has one of its own, and one to a
/// backend while it has a request under way. tiny_http holds each client's twice.
pub fn connections_for(available: u64, config: &Config) -> usize {
    let backends = config.all_pools().map(|pool| pool.backends.len() as u64).sum::<u64>();
    let idle = backends.saturating_mul(config.limits.max_idle_per_backend as u64);
    let left = available.saturating_sub(OTHER_DESCRIPTORS + idle.min(available / 8));
    let under_way = config.workers.saturating_add(config.limits.max_streams) as u64;
    let per_client = if config.front { 1 } else { 2 };
    let possible = (left / (per_client + 1)).max(left.saturating_sub(under_way) / per_client);
    usize::try_from(possible).unwrap_or(usize::MAX).max(1)
}

/// The limit in force afterwards.
fn raise_limit() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: maximum, maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum.unwrap_or(u64::MAX),
        Err(_) => current.unwrap_or(u64::MAX),
    }
}

/// Threads that this process may have, as far as the system tells: `ulimit -u`, which does not bind root, and
/// `pids.max` of the control group, which containers and service managers set.
fn threads_allowed() -> Option<u64> {
    let of_user = getrlimit(Resource::Nproc).current.filter(|_| !rustix::process::geteuid().is_root());
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let of_group = groups.lines().find_map(|line| line.strip_prefix("0::")).and_then(pids_max);
    of_user.into_iter().chain(of_group).min()
}

/// The least of a group's and those above it.
fn pids_max(group: &str) -> Option<u64> {
    let path = Path::new("/sys/fs/cgroup").join(group.trim_start_matches('/'));
    let read = |folder: &Path| fs::read_to_string(folder.join("pids.max")).ok()?.trim().parse().ok();
    path.ancestors().take_while(|folder| folder.starts_with("/sys/fs/cgroup")).filter_map(read).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Overrides, load, parse};

    #[test]
    fn what_is_left_is_for_clients() {
        let mut config = load(None, &Overrides::default()).unwrap();
        assert_eq!(connections_for(20_416, &config), 20_000 - 256 - 1024);
        assert_eq!(connections_for(1056, &config), (1024 - 132) / 2);
        assert_eq!(connections_for(64, &config), 12, "a small host's worth");
        assert_eq!(connections_for(10, &config), 1);
        config.front = false;
        assert_eq!(connections_for(1056, &config), (1024 - 132) / 3);
    }

    #[test]
    fn every_pool_keeps_connections() {
        let text = r#"{"limits":{"max_idle_per_backend":100},"backends":[{"url":"http://127.0.0.1:1"}],
            "pools":{"app":{"backends":[{"url":"http://127.0.0.1:2"},{"url":"http://127.0.0.1:3"}]}}}"#;
        let config = parse(text, &Overrides::default()).unwrap();
        assert_eq!(connections_for(20_332, &config), 20_000 - 256 - 1024);
    }

    #[test]
    fn a_limit_is_lowered_and_never_raised() {
        let mut limit = 10;
        lower(&mut limit, 20, "x", ("threads", 9));
        assert_eq!(limit, 10);
        lower(&mut limit, 5, "x", ("threads", 9));
        assert_eq!(limit, 5);
    }
}
