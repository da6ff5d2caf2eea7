//! The addresses of a backend's name.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use parking_lot::RwLock;

/// The addresses that a backend's name currently resolves to; shared by the resolver and the dialer.
#[derive(Clone)]
pub struct ResolvedAddresses {
    addresses: Arc<RwLock<Arc<[SocketAddr]>>>,
    /// Whether the last look-up failed.
    is_failing: Arc<AtomicBool>,
}

impl Default for ResolvedAddresses {
    fn default() -> Self {
        ResolvedAddresses { addresses: Arc::new(RwLock::new(Arc::from([]))), is_failing: Arc::default() }
    }
}

impl ResolvedAddresses {
    /// The addresses in the order to try; empty while the name is not resolved. Takes a lock.
    pub fn get(&self) -> Arc<[SocketAddr]> {
        Arc::clone(&self.addresses.read())
    }

    /// Whether `address` is one of them; ports are ignored. Takes a lock.
    pub fn leads_to(&self, address: IpAddr) -> bool {
        self.addresses.read().iter().any(|known| known.ip() == address)
    }

    /// Replaces the addresses; returns whether they changed. Takes a lock.
    pub fn set(&self, addresses: &[SocketAddr]) -> bool {
        let mut current = self.addresses.write();
        if **current == *addresses {
            return false;
        }
        *current = Arc::from(addresses);
        true
    }

    /// Notes the result of a look-up; returns whether the one before had the other result. A first success is
    /// no change.
    pub fn looked_up(&self, failed: bool) -> bool {
        self.is_failing.swap(failed, Relaxed) != failed
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

    #[test]
    fn only_the_first_of_several_failures_is_a_change() {
        let book = ResolvedAddresses::default();
        let changes = [false, true, true, false, false, true].map(|failed| book.looked_up(failed));
        assert_eq!(changes, [false, true, false, true, false, true]);
    }
}
