//! The origin of the listening sockets.

use std::os::unix::net::UnixStream;

/// See the module.
#[derive(Debug)]
pub enum Source {
    /// Opened at the configured addresses, or passed in by a service manager.
    Fresh,
    /// Inherited through this channel from the process that this one takes over from.
    Renewal(UnixStream),
    /// Opened at the configured addresses, in a program that can't renew itself.
    Embedded,
}
