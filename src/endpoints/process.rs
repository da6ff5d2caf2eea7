//! Figures about this process from the operating system, read anew for each page.

use std::fs;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};

use crate::metrics::operation::Process;

/// Unit of times in `/proc` (USER_HZ), the same on every Linux.
const MILLISECONDS_PER_TICK: u64 = 10;
/// Positions of user time (followed by system time) and resident pages in `/proc/self/stat`, counted after
/// the program's name.
const USER_TIME: usize = 11;
const RESIDENT_PAGES: usize = 21;

/// The machine's host name.
pub(super) fn hostname() -> Option<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

/// Reads the current figures.
pub(super) fn read() -> Process {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name may contain spaces and parentheses, so it ends at the last one.
    let fields: Vec<u64> = stat.rsplit_once(')').map_or_else(Vec::new, |(_, rest)| {
        rest.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect()
    });
    let ticks = fields.get(USER_TIME..USER_TIME + 2).map(|times| times.iter().sum::<u64>());
    Process {
        cpu: ticks.map(|ticks| Duration::from_millis(ticks * MILLISECONDS_PER_TICK)),
        resident_bytes: fields.get(RESIDENT_PAGES).map(|pages| pages * rustix::param::page_size() as u64),
        open_fds: fs::read_dir("/proc/self/fd").ok().map(|all| all.count() as u64),
        max_fds: getrlimit(Resource::Nofile).current,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_tells_everything_here() {
        let process = read();
        assert!(process.cpu.is_some_and(|time| time < Duration::from_secs(3600)), "{process:?}");
        assert!(
            process.resident_bytes.is_some_and(|bytes| (1 << 20..1 << 34).contains(&bytes)),
            "{process:?}"
        );
        assert!(process.open_fds.is_some_and(|count| count >= 3), "{process:?}");
    }
}
