//! The addresses of a backend's name.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use parking_lot::RwLock;

/// The addresses that a backend's name currently resolves to; shared by the resolver and the dialer.
#[derive(Clone)]
pub struct ResolvedAddresses(Arc<RwLock<Arc<[SocketAddr]>>>);

impl Default for ResolvedAddresses {
    fn default() -> Self {
        ResolvedAddresses(Arc::new(RwLock::new(Arc::from([]))))
    }
}

impl ResolvedAddresses {
    /// The addresses in the order to try; empty while the name is not resolved. Takes a lock.
    pub fn get(&self) -> Arc<[SocketAddr]> {
        Arc::clone(&self.0.read())
    }

    /// Whether `address` is one of them; ports are ignored. Takes a lock.
    pub fn leads_to(&self, address: IpAddr) -> bool {
        self.0.read().iter().any(|known| known.ip() == address)
    }

    /// Replaces the addresses; returns whether they changed. Takes a lock.
    pub fn set(&self, addresses: &[SocketAddr]) -> bool {
        let mut current = self.0.write();
        if **current == *addresses {
            return false;
        }
        *current = Arc::from(addresses);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_whether_it_changed() {
        let book = ResolvedAddresses::default();
        let address: SocketAddr = "127.0.0.1:1".parse().unwrap();
        assert!(book.set(&[address]));
        assert!(!book.set(&[address]));
        assert_eq!(*book.get(), [address]);
        assert!(book.leads_to(address.ip()));
        assert!(!book.leads_to("127.0.0.2".parse().unwrap()));
    }
}
