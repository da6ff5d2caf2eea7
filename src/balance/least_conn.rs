//! `least_conn`: the fewest active requests; ties rotate, so that an idle pool is not always answered
//! by its first backend.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use super::next_turn;
use crate::pool::{Backend, Balancer, ClientKey};

/// Looks at every candidate once, starting one further each time.
#[derive(Default)]
pub struct LeastConn {
    start: AtomicUsize,
}

impl Balancer for LeastConn {
    fn pick(&self, candidates: &[&Arc<Backend>], client: &ClientKey) -> usize {
        let start = next_turn(&self.start, client) % candidates.len();
        let in_turn = (start..candidates.len()).chain(0..start);
        in_turn.min_by_key(|index| candidates[*index].active()).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::pool::backend::tests::backends;
    use crate::pool::{Pool, Tried};

    #[test]
    fn the_backend_with_fewer_active_requests_wins() {
        let pool = Pool::new(backends(3), Box::new(LeastConn::default()));
        let client = ClientKey { address: IpAddr::V4(Ipv4Addr::LOCALHOST), is_retry: false };
        let mut held: Vec<_> = (0..3).filter_map(|_| pool.lease(&client, &Tried::default())).collect();
        assert!(pool.backends().iter().all(|backend| backend.active() == 1));
        let freed = held.remove(1).backend().id();
        for _ in 0..5 {
            let lease = pool.lease(&client, &Tried::default()).unwrap();
            assert_eq!(lease.backend().id(), freed);
        }
    }
}
