//! Opens connections to a backend.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use super::limits::Limits;
use super::wire::Wire;
use crate::config::BackendUrl;
use crate::pool::Backend;
use crate::tls::ClientSettings;

/// The function that opens connections to this backend; `port` replaces the configured port.
pub fn dialer(backend: &Backend, port: Option<u16>) -> impl Fn(&Limits) -> io::Result<Wire> + use<> {
    let (url, book) = (backend.url().clone(), backend.resolved_addresses());
    let ca = backend.ca().map(str::to_owned);
    let connections = AtomicUsize::new(0);
    let addresses = move || {
        let mut addresses = book.get().to_vec();
        for address in &mut addresses {
            address.set_port(port.unwrap_or(address.port()));
        }
        take_turns(&mut addresses, connections.fetch_add(1, Relaxed));
        addresses
    };
    move |limits| match &url {
        BackendUrl::Http { .. } => Wire::tcp(&addresses(), limits.connect),
        BackendUrl::Https { .. } => {
            // Looked up for each connection, since a reload may have renewed the roots.
            let tls = ClientSettings::of(&url, ca.as_deref()).map_err(io::Error::other)?;
            let begun = Instant::now();
            let wire = Wire::tcp(&addresses(), limits.connect)?;
            wire.with_tls(&tls, limits.connect.saturating_sub(begun.elapsed()))
        }
        BackendUrl::Unix { path } => Wire::unix(path, limits.connect),
    }
}

/// Rotates the addresses, so that connections are spread over all addresses of a name. Only within the family
/// of the first address: `localhost` has addresses of both families, and often nothing listens on one of
/// them.
fn take_turns(addresses: &mut [SocketAddr], turn: usize) {
    let is_ipv6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let alike = addresses.iter().take_while(|address| address.is_ipv6() == is_ipv6).count();
    if alike > 1 {
        addresses[..alike].rotate_left(turn % alike);
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Duration;

    use super::*;
    use crate::pool::backend::tests::backends;

    #[test]
    fn addresses_of_a_family_take_turns_and_the_other_one_stays_behind() {
        let address = |text: &str| -> SocketAddr { format!("{text}:80").parse().unwrap() };
        let all = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "[::1]"].map(address);
        let first = |turn| {
            let mut addresses = all;
            take_turns(&mut addresses, turn);
            assert_eq!(addresses[3], all[3]);
            addresses[0]
        };
        assert_eq!([0, 1, 2, 3].map(first), [all[0], all[1], all[2], all[0]]);
        take_turns(&mut [], 5);
    }

    #[test]
    fn connections_are_shared_out_among_the_addresses_of_a_name() {
        let one = TcpListener::bind("127.0.0.1:0").unwrap();
        let other = TcpListener::bind(("127.0.0.2", one.local_addr().unwrap().port())).unwrap();
        let backend = &backends(1)[0];
        backend.resolved_addresses().set(&[one.local_addr().unwrap(), other.local_addr().unwrap()]);
        let (open, limit) = (dialer(backend, None), Duration::from_secs(5));
        let limits = Limits { connect: limit, request: limit, client_body: limit, idle: limit, max_idle: 1 };
        let connections: Vec<_> = (0..4).map(|_| open(&limits).unwrap()).collect();
        for listener in [one, other] {
            listener.set_nonblocking(true).unwrap();
            assert_eq!((0..4).filter(|_| listener.accept().is_ok()).count(), 2);
        }
        drop(connections);
    }
}
