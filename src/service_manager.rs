//! Tells a service manager how it goes (systemd's sd_notify, `Type=notify`): that the balancer serves,
//! reloads, drains, is alive. Called at those moments by `app` and `reload`. A process that has taken over tells
//! its parent, which passes it on: a service manager believes the process that it has started.
//!
//! It is one datagram to the socket that `NOTIFY_SOCKET` names, and nobody waits for an answer: whatever
//! goes wrong here must not keep a balancer from serving, so it is a line in the log.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use log::Level::{Debug, Warn};
use rustix::time::{ClockId, clock_gettime};

use crate::logging::event;

/// A manager that does not read its socket must not hold up a drain.
const SEND_LIMIT: Duration = Duration::from_secs(1);
/// Over the time that a drain may take, before the manager ends the process by force.
const DRAIN_MARGIN: Duration = Duration::from_secs(5);

/// Sends one message.
type Send = Box<dyn Fn(&str) -> io::Result<()> + std::marker::Send + Sync>;

/// Where the messages go; nowhere, mostly.
#[derive(Default)]
pub struct ServiceManager(Option<Send>);

impl std::fmt::Debug for ServiceManager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "ServiceManager" } else { "no ServiceManager" })
    }
}

impl ServiceManager {
    /// The one at this address, which is a path or, with `@` before it, an abstract name.
    pub fn at(address: Option<&OsStr>) -> ServiceManager {
        let Some(address) = address else { return ServiceManager::default() };
        match open(address.as_bytes()) {
            Ok((socket, address)) => {
                let send = move |text: &str| socket.send_to_addr(text.as_bytes(), &address).map(drop);
                ServiceManager::through(send)
            }
            Err(error) => {
                let address = address.to_string_lossy();
                event(Warn, "app", "NOTIFY_SOCKET can't be used", &[("is", &address), ("error", &error)]);
                ServiceManager::default()
            }
        }
    }

    /// The one that hears what this is given.
    pub fn through(
        send: impl Fn(&str) -> io::Result<()> + std::marker::Send + Sync + 'static,
    ) -> ServiceManager {
        ServiceManager(Some(Box::new(send)))
    }

    /// Requests are served; `status` is for people.
    pub fn serving(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    /// The configuration is being read again; [`ServiceManager::serving`] follows, whatever comes of it.
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let microseconds = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}\nSTATUS=reloading"));
    }

    /// A drain has begun and may take so long.
    pub fn draining(&self, limit: Duration) {
        let microseconds = (limit + DRAIN_MARGIN).as_micros();
        self.send(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={microseconds}\nSTATUS=draining"));
    }

    /// All that serves has been round since it was said last.
    pub fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    /// What another process has to say, which would not be believed.
    pub fn pass_on(&self, message: &str) {
        self.send(message);
    }

    fn send(&self, message: &str) {
        let Some(send) = &self.0 else { return };
        if let Err(error) = send(message) {
            event(Debug, "app", "the service manager was not told", &[("error", &error)]);
        }
    }
}

fn open(address: &[u8]) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match address {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        [b'/', ..] => SocketAddr::from_pathname(OsStr::from_bytes(address))?,
        _ => return Err(io::Error::other("neither a path nor an abstract name")),
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(SEND_LIMIT))?;
    Ok((socket, address))
}

/// What follows a line's end would be another message.
fn one_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 512];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    fn check(address: &OsStr, socket: &UnixDatagram) {
        let manager = ServiceManager::at(Some(address));
        manager.serving("3 backends\nMAINPID=1");
        assert_eq!(received(socket), "READY=1\nSTATUS=3 backends");
        manager.reloading();
        assert!(received(socket).starts_with("RELOADING=1\nMONOTONIC_USEC="));
        manager.draining(Duration::from_secs(30));
        assert_eq!(received(socket), "STOPPING=1\nEXTEND_TIMEOUT_USEC=35000000\nSTATUS=draining");
        manager.alive();
        assert_eq!(received(socket), "WATCHDOG=1");
        manager.pass_on("STOPPING=1");
        assert_eq!(received(socket), "STOPPING=1");
    }

    #[test]
    fn it_is_told_at_a_path_and_at_an_abstract_name() {
        let files = tempfile::tempdir().unwrap();
        let path = files.path().join("notify");
        check(path.as_os_str(), &UnixDatagram::bind(&path).unwrap());
        let name = format!("loadbalancer-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        check(OsStr::new(&format!("@{name}")), &UnixDatagram::bind_addr(&address).unwrap());
    }

    #[test]
    fn without_a_manager_nobody_is_told() {
        for address in [None, Some("vsock:2:1234"), Some("@"), Some("/no/such/socket")] {
            ServiceManager::at(address.map(OsStr::new)).serving("");
        }
    }
}
