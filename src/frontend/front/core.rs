//! State that the front's threads and the workers share.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use parking_lot::{Mutex, RwLock};

use super::conn::{Conn, Gone};
use super::mode::Modes;
use super::poll::Poll;
use super::registration::Registry;
use super::table::Table;
use crate::frontend::limits::ClientLimits;
use crate::frontend::surplus::Surplus;
use crate::frontend::{ClientStream, Dispatch};
use crate::http::address::network_of;
use crate::http::framing::FramingError;
use crate::http::{BodyLength, RequestHead};
use crate::tls::ServerSettings;
use crate::traffic::Traffic;
use crate::watch::Watch;

/// A connection with a complete head, handed to a worker.
pub(super) struct Loan {
    pub core: Arc<Core>,
    pub index: usize,
    pub conn: Box<Conn>,
    pub body_length: Result<BodyLength, FramingError>,
    pub watch: Arc<Watch>,
}

/// See the module.
pub(super) struct Core {
    pub table: Table,
    /// One per thread: first the client loops, then the handshake loops.
    pub polls: Vec<Poll>,
    /// Iterations of each thread's loop, for the watchdog.
    pub rounds: Vec<AtomicU64>,
    /// How many of the polls belong to client loops.
    pub client_loops: usize,
    pub modes: Modes,
    pub dispatch: Arc<dyn Dispatch>,
    pub limits: Box<dyn Fn() -> ClientLimits + Send + Sync>,
    pub tls: Option<RwLock<ServerSettings>>,
    /// Whether each connection begins with a PROXY header.
    pub proxy_protocol: bool,
    pub may_send_proxy_header: Box<dyn Fn(IpAddr) -> bool + Send + Sync>,
    /// Every answer announces the end of its connection (`Connection: close`).
    pub ends: AtomicBool,
    pub per_network: Mutex<HashMap<IpAddr, usize>>,
    /// Connections closed because of a limit ...
    pub surplus: Mutex<Surplus>,
    /// ... and those of peers that may not send a PROXY header.
    pub strangers: Mutex<Surplus>,
    /// Makes the stream for a worker from a loan.
    pub stream_of: fn(Loan, &RequestHead) -> Box<dyn ClientStream>,
    /// Counts connections, to spread them over the loops.
    pub turn: AtomicUsize,
    pub traffic: Arc<Traffic>,
}

impl Core {
    /// Counts the connection for its client's network. Takes a lock.
    pub fn count_network(&self, conn: &mut Conn) -> Result<(), Gone> {
        let (network, most) = (network_of(conn.peer.ip()), (self.limits)().max_connections_per_ip);
        let mut counts = self.per_network.lock();
        let count = counts.entry(network).or_default();
        if most.is_some_and(|most| *count >= most) {
            drop(counts);
            self.surplus.lock().closed(1, &*self.dispatch, Instant::now());
            return Err(Gone);
        }
        *count += 1;
        conn.registration.network = Some(network);
        Ok(())
    }

    /// Whether another request may follow on a connection.
    pub fn keeps_alive(&self) -> bool {
        !self.ends.load(Relaxed)
    }
}

impl Registry for Core {
    fn forget(&self, key: usize, network: Option<IpAddr>) {
        self.table.forget(key);
        if let Some(network) = network {
            let mut counts = self.per_network.lock();
            if let Some(count) = counts.get_mut(&network) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(&network);
                }
            }
        }
    }
}
