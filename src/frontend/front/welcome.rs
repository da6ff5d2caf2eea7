//! Admits a new connection.

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::time::Instant;

use super::conn::{Conn, Gone, Stage};
use super::core::Core;
use super::registration::{Registration, Registry};
use super::table::Holder;
use crate::frontend::listen_socket::NO_PORT;

impl Core {
    /// Gives the connection a slot, unless a limit forbids it. Takes locks, one after the other.
    pub fn welcome(self: &Arc<Self>, client: TcpStream, peer: SocketAddr, now: Instant) -> Result<(), Gone> {
        if self.proxy_protocol && !(self.may_send_proxy_header)(peer.ip().to_canonical()) {
            self.strangers.lock().closed(1, &*self.dispatch, now);
            return Err(Gone);
        }
        let tls = self.tls.as_ref().map(|tls| tls.read().session()).transpose().map_err(|_| Gone)?;
        let has_address = peer.port() != NO_PORT;
        if has_address {
            client.set_nodelay(true).map_err(|_| Gone)?;
        }
        let secure = tls.is_some();
        let stage = match (self.proxy_protocol, secure) {
            (true, _) => Stage::Proxy,
            (false, true) => Stage::Handshake,
            (false, false) => Stage::Idle,
        };
        let turn = self.turn.fetch_add(1, Relaxed);
        let home = match secure {
            true => self.client_loops + turn % (self.polls.len() - self.client_loops),
            false => turn % self.client_loops,
        };
        let index = self.table.claim().ok_or(Gone)?;
        let registry: Weak<dyn Registry> = Arc::<Core>::downgrade(self);
        let registration = Registration { registry, key: index, network: None };
        let mut conn = Box::new(Conn {
            client,
            peer,
            tls: tls.map(Box::new),
            secure,
            stage,
            since: now,
            home,
            requests: 0,
            input: Default::default(),
            searched: 0,
            output: Default::default(),
            progress: now,
            readable: false,
            is_end_told: false,
            has_ended: false,
            is_shut: false,
            traffic: Arc::clone(&self.traffic),
            registration,
        });
        // Peers on a Unix socket have no address to count by.
        if !self.proxy_protocol && has_address {
            self.count_network(&mut conn)?;
        }
        let Some(slot) = self.table.slot(index) else { return Err(Gone) };
        let mut slot = slot.lock();
        match self.polls[home].add(&conn.client, index) {
            Ok(()) => slot.holder = Holder::Slot(conn),
            // Dropping the connection takes the slot's lock.
            Err(_) => {
                drop(slot);
                drop(conn);
            }
        }
        Ok(())
    }
}
