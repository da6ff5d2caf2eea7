//! The front's one thread: accepts, reads and checks heads, hands requests over, brings answers back.
//! Nothing in it waits but the poll, so a client that stalls delays nobody.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::Level::Warn;

use super::conn::{Conn, Gone, Owes, Stage, is_moment};
use super::exchange::Bridge;
use super::handed::{HandedTable, Inbox};
use super::poll::Poll;
use super::shared::{Mode, Shared};
use crate::frontend::surplus::Surplus;
use crate::frontend::{GuardSettings, Sink};
use crate::http::address::network_of;
use crate::logging::event;

/// How often connections are looked through for what has taken too long.
const SWEEP: Duration = Duration::from_millis(100);
/// One read.
const SCRATCH_BYTES: usize = 64 << 10;
/// Bytes of an answer that may wait to be taken by the client.
const MAX_OUTPUT_BYTES: usize = 256 << 10;
/// Bytes of a client that may wait to be taken, besides a head.
const MAX_INPUT_BYTES: usize = 64 << 10;
/// Clients accepted before the others have their turn: who waits to be accepted may have gone already, and
/// must not fill the table while nobody looks at who has.
const MAX_ACCEPTED: usize = 64;
/// After accepting has failed, for want of descriptors mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The listener's key; connections have 2 n and their bridges 2 n + 1.
const LISTENER: u64 = u64::MAX - 1;

/// See the module.
pub(super) struct EventLoop {
    pub poll: Arc<Poll>,
    pub inbox: Arc<Inbox>,
    pub listener: TcpListener,
    pub shared: Arc<Shared>,
    pub table: Arc<HandedTable>,
    /// Hears of heads that are refused.
    pub sink: Arc<dyn Sink>,
    pub surplus: Surplus,
    /// Where tiny_http listens.
    pub behind: SocketAddr,
    pub settings: Box<dyn Fn() -> GuardSettings + Send>,
    pub conns: Vec<Option<Conn>>,
    pub free: Vec<usize>,
    pub per_network: HashMap<IpAddr, usize>,
    pub bridges: Vec<(Bridge, Instant)>,
    pub accepting: (bool, bool),
    pub accept_again: Instant,
}

impl EventLoop {
    /// Until the process ends.
    pub fn run(mut self) {
        let mut scratch = vec![0; SCRATCH_BYTES];
        let mut next_sweep = Instant::now();
        loop {
            self.follow_mode();
            let Ok(ready) = self.poll.wait(SWEEP) else { return };
            let now = Instant::now();
            for ready in ready {
                match ready.key {
                    LISTENER => self.accept(now),
                    key => {
                        let slot = (key / 2) as usize;
                        let is_bridge = key % 2 == 1;
                        self.step(slot, now, |conn| match is_bridge {
                            true => conn.bridge_ready(ready.readable, &mut scratch, now),
                            false => conn.client_ready(ready.readable, &mut scratch),
                        });
                    }
                }
            }
            for slot in self.inbox.take() {
                self.step(slot, now, |_| Ok(()));
            }
            if now >= next_sweep || self.shared.mode() == Mode::Ending {
                next_sweep = now + SWEEP;
                self.sweep(now);
            }
        }
    }

    /// Accepts, or leaves it, as it was told.
    fn follow_mode(&mut self) {
        let accepts = self.shared.mode() == Mode::Accepting && Instant::now() >= self.accept_again;
        let set = self.poll.set(&self.listener, LISTENER, &mut self.accepting, (accepts, false));
        if let Err(error) = set {
            event(Warn, "front", "can't wait for clients", &[("error", &error)]);
        }
        self.shared.has_followed();
    }

    /// Some of those that wait; the poll tells of the rest, after all who are ready by now.
    fn accept(&mut self, now: Instant) {
        for _ in 0..MAX_ACCEPTED {
            match self.listener.accept() {
                Ok((client, peer)) => self.welcome(client, peer, now),
                Err(error) if is_moment(&error) => return,
                // One that has gone already.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    if self.shared.mode() == Mode::Accepting {
                        event(Warn, "front", "accepting failed", &[("error", &error)]);
                    }
                    self.accept_again = now + ACCEPT_PAUSE;
                    return;
                }
            }
        }
    }

    fn welcome(&mut self, client: TcpStream, peer: SocketAddr, now: Instant) {
        let settings = (self.settings)();
        let network = network_of(peer.ip());
        let of_network = self.per_network.get(&network).copied().unwrap_or(0);
        let open = self.conns.len() - self.free.len();
        if open >= settings.max_connections
            || settings.max_connections_per_ip.is_some_and(|most| of_network >= most)
        {
            self.surplus.closed(1, &*self.sink, now);
            return;
        }
        let Ok(session) = self.shared.session() else { return };
        if client.set_nonblocking(true).and_then(|()| client.set_nodelay(true)).is_err() {
            return;
        }
        let secure = session.is_some();
        let stage = match (self.shared.proxy_protocol, secure) {
            (true, _) => Stage::Proxy,
            (false, true) => Stage::Handshake,
            (false, false) => Stage::Idle,
        };
        let conn = Conn {
            client,
            peer,
            network,
            tls: session.map(Box::new),
            secure,
            stage,
            since: now,
            input: Default::default(),
            output: Default::default(),
            progress: now,
            has_ended: false,
            exchange: None,
            owes: Owes::Nothing,
            interest: (false, false),
        };
        *self.per_network.entry(network).or_default() += 1;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.conns.push(None);
            self.conns.len() - 1
        });
        self.conns[slot] = Some(conn);
        self.step(slot, now, |_| Ok(()));
    }

    /// Does this with a connection and then all that follows from it.
    pub(super) fn step(
        &mut self,
        slot: usize,
        now: Instant,
        first: impl FnOnce(&mut Conn) -> Result<(), Gone>,
    ) {
        let Some(mut conn) = self.conns.get_mut(slot).and_then(Option::take) else { return };
        let settings = (self.settings)();
        let result = first(&mut conn)
            .and_then(|()| self.advance(&mut conn, slot, &settings, now))
            .and_then(|()| self.set_interest(&mut conn, slot));
        match result {
            Ok(()) => {
                let owes = conn.owing();
                self.shared.owes(owes, conn.owes);
                conn.owes = owes;
                self.conns[slot] = Some(conn);
            }
            Err(Gone) => self.forget(conn, slot),
        }
    }

    fn forget(&mut self, mut conn: Conn, slot: usize) {
        self.shared.owes(Owes::Nothing, conn.owes);
        if let Some(exchange) = conn.exchange.take() {
            self.table.remove(exchange.bridge.address);
        }
        if let Some(count) = self.per_network.get_mut(&conn.network) {
            *count -= 1;
            if *count == 0 {
                self.per_network.remove(&conn.network);
            }
        }
        self.free.push(slot);
    }

    fn set_interest(&self, conn: &mut Conn, slot: usize) -> Result<(), Gone> {
        let room = conn.input.len() < MAX_INPUT_BYTES || conn.stage != Stage::Exchange;
        let wanted = (room && !conn.has_ended, !conn.output.is_empty());
        let key = slot as u64 * 2;
        self.poll.set(&conn.client, key, &mut conn.interest, wanted).map_err(|_| Gone)?;
        let backlog = conn.output.len() >= MAX_OUTPUT_BYTES;
        if let Some(exchange) = &mut conn.exchange {
            let wanted = (!backlog && !exchange.bridge_ended, !exchange.upload.is_empty());
            let set = self.poll.set(&exchange.bridge.stream, key + 1, &mut exchange.interest, wanted);
            set.map_err(|_| Gone)?;
        }
        Ok(())
    }
}
