//! Where a backend's name leads.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use parking_lot::RwLock;

/// The addresses that a backend's name stands for now; shared by whoever looks the name up and whoever
/// connects.
#[derive(Clone)]
pub struct ResolvedAddresses(Arc<RwLock<Arc<[SocketAddr]>>>);

impl Default for ResolvedAddresses {
    fn default() -> Self {
        ResolvedAddresses(Arc::new(RwLock::new(Arc::from([]))))
    }
}

impl ResolvedAddresses {
    /// In the order to try; empty while the name is unknown. Takes a lock.
    pub fn get(&self) -> Arc<[SocketAddr]> {
        Arc::clone(&self.0.read())
    }

    /// Whether the name still leads there; ports do not count. Takes a lock.
    pub fn leads_to(&self, address: IpAddr) -> bool {
        self.0.read().iter().any(|known| known.ip() == address)
    }

    /// Replaces them; says whether they changed. Takes a lock.
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
