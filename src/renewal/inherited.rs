//! Listening sockets that were open before this process: a service manager's, and which of them is meant by an address
//! of the configuration.

use std::io;
use std::os::fd::OwnedFd;

use crate::config::ListenAddress;
use crate::frontend::ListenSocket;

/// The listening sockets that a service manager has opened (systemd's LISTEN_FDS), if there are any.
///
/// # Errors
/// A socket is neither TCP nor Unix.
pub fn activated_sockets() -> io::Result<Vec<ListenSocket>> {
    let mut given = listenfd::ListenFd::from_env();
    let mut listeners = Vec::new();
    for index in 0..given.len() {
        // A socket of another kind stays in `given`.
        let socket = match given.take_unix_listener(index) {
            Ok(socket) => socket.map(OwnedFd::from),
            Err(_) => given.take_tcp_listener(index)?.map(OwnedFd::from),
        };
        listeners.extend(socket.map(ListenSocket::inherited).transpose()?);
    }
    Ok(listeners)
}

/// Whether an inherited socket has the configured address.
pub fn is_wanted(listener: &ListenSocket, wanted: &ListenAddress) -> bool {
    match (listener.address(), wanted) {
        (ListenAddress::Tcp(actual), ListenAddress::Tcp(wanted)) => wanted.port() == 0 || actual == wanted,
        (ListenAddress::Unix { path, .. }, ListenAddress::Unix { path: wanted, .. }) => path == wanted,
        _ => false,
    }
}

/// Whether the socket listens on all IPv4 addresses where all addresses of both families are configured: the
/// previous process found no IPv6, and `[::]` can't be bound beside this socket.
pub fn is_half_of(listener: &ListenSocket, wanted: &ListenAddress) -> bool {
    let (Some(actual), Some(wanted)) = (listener.address().tcp(), wanted.tcp()) else { return false };
    let all = [actual, wanted].iter().all(|address| address.ip().is_unspecified());
    all && actual.is_ipv4() && wanted.is_ipv6() && actual.port() == wanted.port()
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};

    use super::*;

    #[test]
    fn an_inherited_socket_of_ipv4_is_half_of_all_addresses() {
        let listener = ListenSocket::inherited(TcpListener::bind("0.0.0.0:0").unwrap().into()).unwrap();
        let port = listener.address().tcp().unwrap().port();
        for (wanted, half) in [("[::]", true), ("0.0.0.0", false), ("[::1]", false)] {
            let wanted: SocketAddr = format!("{wanted}:{port}").parse().unwrap();
            assert_eq!(is_half_of(&listener, &ListenAddress::Tcp(wanted)), half, "{wanted}");
        }
    }
}
