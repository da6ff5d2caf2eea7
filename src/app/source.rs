//! Where the listening sockets come from.

use std::os::unix::net::UnixStream;

/// See the module.
#[derive(Debug)]
pub enum Source {
    /// From the configuration's addresses, or from a service manager that has opened them.
    Fresh,
    /// From the process that this one takes over from, through this channel.
    Renewal(UnixStream),
    /// From the configuration's addresses, in a program that can't be started again by itself.
    Embedded,
}
