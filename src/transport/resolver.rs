//! Looks up backends' names, never while a request waits for it.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use crate::config::BackendUrl;

/// Most addresses of one name that are used.
const MAX_ADDRESSES: usize = 256;

/// The addresses of a backend, sorted so that the same addresses in another order are not a change. Asks the
/// operating system, which may take seconds; literal addresses take no time.
///
/// # Errors
/// The operating system's, if the name has no address or can't be looked up now.
pub fn look_up(url: &BackendUrl) -> io::Result<Vec<SocketAddr>> {
    let (BackendUrl::Http { host, port } | BackendUrl::Https { host, port }) = url else {
        return Ok(Vec::new());
    };
    let mut addresses: Vec<SocketAddr> = (host.as_str(), *port).to_socket_addrs()?.collect();
    // IPv4 first: `localhost` has addresses of both families, and most backends listen on IPv4.
    addresses.sort_by_key(|address| (address.is_ipv6(), *address));
    addresses.dedup();
    addresses.truncate(MAX_ADDRESSES);
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn localhost_and_literals_resolve_and_nonsense_does_not() {
        let url = |host: &str| BackendUrl::Http { host: host.into(), port: 3001 };
        let localhost = look_up(&url("localhost")).unwrap();
        assert!(localhost.contains(&"127.0.0.1:3001".parse().unwrap()));
        assert_eq!(look_up(&url("::1")).unwrap(), ["[::1]:3001".parse().unwrap()]);
        assert!(look_up(&url("no-such-name.invalid")).is_err());
    }
}
