//! What the front's threads and the workers share.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use parking_lot::{Mutex, RwLock};

use super::conn::{Conn, Gone};
use super::mode::Modes;
use super::poll::Poll;
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

/// A connection on which a request has come, on the way to a worker.
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
    /// One for each thread: first those that look after clients, then those that make handshakes.
    pub polls: Vec<Poll>,
    /// How often each of them has been round.
    pub rounds: Vec<AtomicU64>,
    /// How many look after clients.
    pub client_loops: usize,
    pub modes: Modes,
    pub dispatch: Arc<dyn Dispatch>,
    pub limits: Box<dyn Fn() -> ClientLimits + Send + Sync>,
    pub tls: Option<RwLock<ServerSettings>>,
    /// Whether each connection begins with a PROXY header.
    pub proxy_protocol: bool,
    pub may_send_proxy_header: Box<dyn Fn(IpAddr) -> bool + Send + Sync>,
    /// Each answer says that it is its connection's last.
    pub ends: AtomicBool,
    pub per_network: Mutex<HashMap<IpAddr, usize>>,
    /// Connections that were one too many ...
    pub surplus: Mutex<Surplus>,
    /// ... and those of peers that may send no PROXY header.
    pub strangers: Mutex<Surplus>,
    /// Makes of a loan what a worker reads and writes.
    pub stream_of: fn(Loan, &RequestHead) -> Box<dyn ClientStream>,
    /// Whose turn it is to take the next connection.
    pub turn: AtomicUsize,
    pub traffic: Arc<Traffic>,
}

impl Core {
    /// From now on it counts for its client. Takes a lock.
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
        conn.network = Some(network);
        Ok(())
    }

    /// It is gone. Takes locks, one after the other.
    pub fn let_go(&self, conn: Box<Conn>, index: usize) {
        let network = conn.network;
        // Closed first: its number may be given to another one as soon as the slot is free.
        drop(conn);
        self.table.forget(index);
        self.uncount(network);
    }

    /// It counts for its client no more. Takes a lock.
    pub fn uncount(&self, network: Option<IpAddr>) {
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

    /// Whether another request may follow on a connection.
    pub fn keeps_alive(&self) -> bool {
        !self.ends.load(Relaxed)
    }
}
