//! File descriptors: as many as the system allows, and no more connections than they are enough for.

use log::Level::Warn;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;
use crate::logging::event;

/// For the log, listeners, probes, look-ups and libraries.
const OTHER_DESCRIPTORS: u64 = 100;
/// tiny_http holds each client connection twice.
const PER_CONNECTION: u64 = 2;

/// Raises the soft limit to the hard one, and lowers `limits.max_connections` where even that is not
/// enough for it; running out would stop the accepting of connections.
pub fn fit(config: &mut Config) {
    let available = raise_limit();
    let wanted = config.limits.max_connections;
    let possible = connections_for(available, config);
    if possible < wanted {
        config.limits.max_connections = possible;
        event(
            Warn,
            "app",
            "limits.max_connections lowered to what the limit of open files allows",
            &[("from", &wanted), ("to", &possible), ("open_files", &available)],
        );
    }
}

/// How many the limit may be raised to.
pub fn available() -> u64 {
    getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX)
}

/// Connections that there are descriptors for, besides all else.
pub fn connections_for(available: u64, config: &Config) -> usize {
    let backends = config.all_pools().map(|pool| pool.backends.len() as u64).sum::<u64>();
    // A worker has one connection to a backend, and now and then a hold on its client's.
    let workers = 2 * config.workers as u64;
    let idle = backends * config.limits.max_idle_per_backend as u64;
    let left = available.saturating_sub(OTHER_DESCRIPTORS + workers + idle.min(available / 8));
    usize::try_from(left / PER_CONNECTION).unwrap_or(usize::MAX).max(1)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Overrides, load, parse};

    #[test]
    fn what_is_left_is_for_clients() {
        let config = load(None, &Overrides::default()).unwrap();
        assert_eq!(connections_for(20_100, &config), (20_100 - 100 - 512 - 384) / 2);
        assert_eq!(connections_for(1024, &config), (1024 - 100 - 512 - 128) / 2);
        assert_eq!(connections_for(64, &config), 1);
    }

    #[test]
    fn every_pool_keeps_connections() {
        let text = r#"{"limits":{"max_idle_per_backend":100},"backends":[{"url":"http://127.0.0.1:1"}],
            "pools":{"app":{"backends":[{"url":"http://127.0.0.1:2"},{"url":"http://127.0.0.1:3"}]}}}"#;
        let config = parse(text, &Overrides::default()).unwrap();
        assert_eq!(connections_for(20_100, &config), (20_100 - 100 - 512 - 300) / 2);
    }
}
