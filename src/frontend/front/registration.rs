//! A connection's entry in the table and in the counts of its client's network. It ends when the connection
//! is dropped, whoever drops it: a panic in the middle leaves neither a slot nor a count behind.

use std::net::IpAddr;
use std::sync::Weak;

/// Where connections are registered.
pub(super) trait Registry: Send + Sync {
    /// Frees the connection's slot and stops counting it for its network. May take locks.
    fn forget(&self, key: usize, network: Option<IpAddr>);
}

/// See the module.
pub(super) struct Registration {
    pub registry: Weak<dyn Registry>,
    /// The key of the connection's slot.
    pub key: usize,
    /// The network it counts for in `max_connections_per_ip`; `None` while it is not counted.
    pub network: Option<IpAddr>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Some(registry) = self.registry.upgrade() {
            registry.forget(self.key, self.network);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::time::{Duration, Instant};

    use crate::config::ListenAddress;
    use crate::frontend::{
        ClientLimits, ClientRequest, Dispatch, Front, FrontSettings, ListenSocket, Listener,
    };

    /// Panics over the first requests, and closes the connections of the others.
    struct Panics(AtomicUsize);

    impl Dispatch for Panics {
        fn take(&self, _: ClientRequest) {
            assert!(self.0.fetch_add(1, SeqCst) >= 3, "the panic of this test");
        }
    }

    fn limits() -> ClientLimits {
        let time = Duration::from_secs(60);
        ClientLimits {
            client_header: time,
            client_idle: time,
            client_body: time,
            client_write: time,
            max_header_bytes: 1024,
            max_connections: 10,
            max_connections_per_ip: Some(1),
        }
    }

    #[test]
    fn a_panic_over_a_connection_leaves_neither_a_slot_nor_a_count() {
        let socket = ListenSocket::bind(&ListenAddress::Tcp("127.0.0.1:0".parse().unwrap())).unwrap();
        let address = socket.address().tcp().unwrap();
        let how = FrontSettings {
            tls: None,
            proxy_protocol: false,
            may_send_proxy_header: Box::new(|_| true),
            traffic: Arc::default(),
        };
        let dispatch = Arc::new(Panics(AtomicUsize::new(0)));
        let front = Front::start(socket, how, limits, Arc::clone(&dispatch) as Arc<dyn Dispatch>).unwrap();
        let began = Instant::now();
        // One connection at a time is allowed, so each has to be forgotten before the next is served.
        for served in 1..=6 {
            while dispatch.0.load(SeqCst) < served {
                let mut client = TcpStream::connect(address).unwrap();
                // Closed or reset, by the panic or because the one before is not forgotten yet.
                let _ = client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
                let _ = client.read_to_end(&mut Vec::new());
                assert!(began.elapsed() < Duration::from_secs(60), "{served} connections were served");
            }
        }
        while front.counts().client_connections > 0 {
            std::thread::yield_now();
            assert!(began.elapsed() < Duration::from_secs(60), "slots stay");
        }
    }
}
