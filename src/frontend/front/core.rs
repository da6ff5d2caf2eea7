//! What the front's threads and the workers share: the connections, and what is to be done with one when
//! something has come or it is brought back. Nothing here waits, so any thread may do it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use parking_lot::{Mutex, RwLock};

use super::conn::{Conn, Gone, Stage};
use super::head::{self, Parsed};
use super::lent::Lent;
use super::mode::Modes;
use super::poll::{Poll, Ready};
use super::table::{Holder, Slot, Table};
use crate::frontend::limits::ClientLimits;
use crate::frontend::refused_head::refusal;
use crate::frontend::surplus::Surplus;
use crate::frontend::{ClientRequest, Ending, Sink};
use crate::http::address::network_of;
use crate::http::{RequestHead, framing};
use crate::tls::ServerSettings;
use crate::watch::Watch;

/// See the module.
pub(super) struct Core {
    pub table: Table,
    /// One for each thread: first those that look after clients, then those that make handshakes.
    pub polls: Vec<Poll>,
    /// How many look after clients.
    pub client_loops: usize,
    pub modes: Modes,
    pub sink: Arc<dyn Sink>,
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
    /// Whose turn it is to take the next connection.
    pub turn: AtomicUsize,
}

thread_local! {
    /// Connections that have come back while the sink was still taking their request, because it was answered
    /// at once: looked at one by one afterwards, or a client that pipelines would fill the stack.
    static RETURNED: RefCell<Option<Returned>> = const { RefCell::new(None) };
}

/// Connections and their keys.
type Returned = Vec<(Box<Conn>, usize)>;

/// Requests of one client that are answered at once, before others have their turn.
const MAX_IN_A_ROW: usize = 32;
/// Reads of what a client still sends though its connection is over, likewise.
const MAX_THROWN_AWAY: usize = 32;

fn next_returned() -> Option<(Box<Conn>, usize)> {
    RETURNED.with_borrow_mut(|all| all.as_mut().and_then(Vec::pop))
}

/// Nothing is collected any more once this is dropped, even by a panic.
struct NoneReturned;

impl Drop for NoneReturned {
    fn drop(&mut self) {
        RETURNED.set(None);
    }
}

/// What becomes of a connection that was looked at.
enum Next {
    /// It stays with the front.
    Stays,
    /// A request has come on it.
    Lends(RequestHead),
}

impl Core {
    /// A client has connected. Takes locks, one after the other.
    pub fn welcome(self: &Arc<Self>, client: TcpStream, peer: SocketAddr, now: Instant) -> Result<(), Gone> {
        if self.proxy_protocol && !(self.may_send_proxy_header)(peer.ip().to_canonical()) {
            self.strangers.lock().closed(1, &*self.sink, now);
            return Err(Gone);
        }
        let tls = self.tls.as_ref().map(|tls| tls.read().session()).transpose().map_err(|_| Gone)?;
        client.set_nodelay(true).map_err(|_| Gone)?;
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
        let mut conn = Box::new(Conn {
            client,
            peer,
            network: None,
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
        });
        if !self.proxy_protocol {
            self.count_network(&mut conn)?;
        }
        let Some(index) = self.table.claim() else {
            self.uncount(conn.network);
            return Err(Gone);
        };
        let Some(slot) = self.table.slot(index) else { return Err(Gone) };
        let mut slot = slot.lock();
        match self.polls[home].add(&conn.client, index) {
            Ok(()) => slot.holder = Holder::Slot(conn),
            Err(_) => {
                drop(slot);
                self.let_go(conn, index);
            }
        }
        Ok(())
    }

    /// From now on it counts for its client. Takes a lock.
    fn count_network(&self, conn: &mut Conn) -> Result<(), Gone> {
        let (network, most) = (network_of(conn.peer.ip()), (self.limits)().max_connections_per_ip);
        let mut counts = self.per_network.lock();
        let count = counts.entry(network).or_default();
        if most.is_some_and(|most| *count >= most) {
            drop(counts);
            self.surplus.lock().closed(1, &*self.sink, Instant::now());
            return Err(Gone);
        }
        *count += 1;
        conn.network = Some(network);
        Ok(())
    }

    /// Something has become possible with a connection. Takes the slot's lock.
    pub fn ready(self: &Arc<Self>, index: usize, ready: Ready, now: Instant) {
        let Some(slot) = self.table.slot(index) else { return };
        let mut slot = slot.lock();
        if slot.key != index {
            // It was told of before, and has gone.
            return;
        }
        match std::mem::replace(&mut slot.holder, Holder::Front) {
            Holder::Slot(conn) => {
                drop(slot);
                self.work(conn, index, ready, now);
            }
            elsewhere => {
                let watch = match &elsewhere {
                    Holder::Worker(watch) if ready.broken => Some(Arc::clone(watch)),
                    _ => None,
                };
                slot.holder = elsewhere;
                slot.missed = slot.missed.and(ready);
                if ready.ended {
                    slot.ended_since.get_or_insert(now);
                }
                drop(slot);
                watch.inspect(|watch| watch.client_has_gone());
            }
        }
    }

    /// A connection whose request has ended comes back. Takes the slot's lock.
    pub fn give_back(self: &Arc<Self>, mut conn: Box<Conn>, index: usize, ending: Ending) {
        let now = Instant::now();
        let closed = match ending {
            Ending::KeepAlive => {
                conn.enter(Stage::Idle, now);
                Ok(())
            }
            Ending::Close => conn.close(true, now),
            Ending::BrokenOff => conn.close(false, now),
            Ending::Reset => {
                conn.reset_at_close();
                Err(Gone)
            }
        };
        if closed.is_err() {
            return self.let_go(conn, index);
        }
        let mut conn = Some(conn);
        RETURNED.with_borrow_mut(|all| {
            if let Some(all) = all {
                all.extend(conn.take().map(|conn| (conn, index)));
            }
        });
        if let Some(conn) = conn {
            self.work(conn, index, Ready::default(), now);
        }
    }

    /// Does all that can be done with it, and puts it where it belongs then. Takes locks, one after the
    /// other.
    pub fn work(self: &Arc<Self>, mut conn: Box<Conn>, index: usize, mut ready: Ready, now: Instant) {
        let Some(slot) = self.table.slot(index) else { return };
        loop {
            match self.advance(&mut conn, index, ready, now) {
                Err(Gone) => return self.let_go(conn, index),
                Ok(Next::Lends(head)) => return self.lend(conn, index, head, slot),
                Ok(Next::Stays) => {}
            }
            let mut slot = slot.lock();
            ready = std::mem::take(&mut slot.missed);
            if !ready.is_any() {
                slot.ended_since = None;
                slot.holder = Holder::Slot(conn);
                return;
            }
        }
    }

    fn lend(self: &Arc<Self>, mut conn: Box<Conn>, index: usize, head: RequestHead, slot: &Mutex<Slot>) {
        let screened = framing::check(&head);
        let (peer, secure, watch) = (conn.peer, conn.secure, Arc::new(Watch::default()));
        conn.requests = conn.requests.saturating_add(1);
        let mut slot = slot.lock();
        slot.holder = Holder::Worker(Arc::clone(&watch));
        if slot.missed.broken {
            // That was told while it was looked at, and is not told again.
            watch.client_has_gone();
        }
        drop(slot);
        let stream = Lent::new(Arc::clone(self), index, conn, &head, screened, Arc::clone(&watch));
        let request = ClientRequest::new(head, screened, peer, secure, watch, Box::new(stream));
        let is_nested = RETURNED.with_borrow(Option::is_some);
        if is_nested {
            return self.sink.take(request);
        }
        RETURNED.set(Some(Vec::new()));
        let _at_the_end = NoneReturned;
        self.sink.take(request);
        for _ in 0..MAX_IN_A_ROW {
            let Some((conn, index)) = next_returned() else { return };
            self.work(conn, index, Ready::default(), Instant::now());
        }
        while let Some((conn, index)) = next_returned() {
            self.look_again(conn, index);
        }
    }

    /// Others have their turn before it is looked at again. Takes a lock.
    fn look_again(&self, conn: Box<Conn>, index: usize) {
        let Some(slot) = self.table.slot(index) else { return };
        let mut slot = slot.lock();
        // Tells of all that is possible once more; what is missed until then comes with it.
        match self.polls[conn.home].hush(&conn.client, index, false) {
            Ok(()) => slot.holder = Holder::Slot(conn),
            Err(_) => {
                drop(slot);
                self.let_go(conn, index);
            }
        }
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
    fn uncount(&self, network: Option<IpAddr>) {
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

    fn advance(&self, conn: &mut Conn, index: usize, ready: Ready, now: Instant) -> Result<Next, Gone> {
        conn.readable |= ready.read;
        conn.is_end_told |= ready.ended;
        if ready.broken && !ready.read {
            return Err(Gone);
        }
        conn.flush(now)?;
        loop {
            let stage = conn.stage;
            match stage {
                // What it has not been sent comes first: nobody may make us keep answers without end.
                Stage::Idle if !conn.output.is_empty() => break,
                Stage::Idle | Stage::Head => {
                    if let Some(head) = self.take_head(conn, now)? {
                        return Ok(Next::Lends(head));
                    }
                }
                Stage::Proxy => {
                    conn.receive()?;
                    if conn.take_proxy_header()? {
                        self.count_network(conn)?;
                        conn.enter(if conn.secure { Stage::Handshake } else { Stage::Idle }, now);
                        conn.feed_tls()?;
                    }
                }
                Stage::Handshake => {
                    conn.receive()?;
                    conn.flush(now)?;
                    if conn.tls.as_ref().is_none_or(|tls| !tls.is_handshaking()) {
                        conn.enter(Stage::Idle, now);
                        self.move_in(conn, index)?;
                    }
                }
                Stage::Closing => {
                    self.throw_away(conn, index, now)?;
                }
            }
            if conn.stage == stage {
                break;
            }
        }
        self.close_if_over(conn)
    }

    /// Reads what a client still sends. Left unread it would turn the end of the connection into a reset,
    /// which may cost the client the answer.
    fn throw_away(&self, conn: &mut Conn, index: usize, now: Instant) -> Result<(), Gone> {
        for _ in 0..MAX_THROWN_AWAY {
            if conn.receive()? > 0 {
                conn.since = now;
            }
            conn.input.clear();
            if !conn.readable || conn.has_ended {
                return Ok(());
            }
        }
        // There is more; others have their turn before.
        self.polls[conn.home].hush(&conn.client, index, false).map_err(|_| Gone)
    }

    /// Its handshake is made: from now on it is looked after with the others.
    fn move_in(&self, conn: &mut Conn, index: usize) -> Result<(), Gone> {
        let home = self.turn.load(Relaxed) % self.client_loops;
        self.polls[conn.home].remove(&conn.client).map_err(|_| Gone)?;
        conn.home = home;
        // What has come by now is told of again.
        self.polls[home].add(&conn.client, index).map_err(|_| Gone)
    }

    fn close_if_over(&self, conn: &mut Conn) -> Result<Next, Gone> {
        if !conn.output.is_empty() {
            return Ok(Next::Stays);
        }
        if conn.has_ended {
            return Err(Gone);
        }
        if conn.stage == Stage::Closing {
            // Nothing more will be said; it may still have to be heard.
            conn.shut();
        }
        Ok(Next::Stays)
    }

    fn take_head(&self, conn: &mut Conn, now: Instant) -> Result<Option<RequestHead>, Gone> {
        let limit = (self.limits)().max_header_bytes;
        loop {
            if !conn.input.is_empty() {
                if conn.stage == Stage::Idle {
                    conn.enter(Stage::Head, now);
                }
                match head::parse(conn.input.bytes(), &mut conn.searched) {
                    Parsed::Whole(_, length) if length > limit => {
                        return self.refuse(conn, 431, "head_too_large", now);
                    }
                    Parsed::Whole(head, length) => {
                        conn.input.consume(length);
                        return Ok(Some(head));
                    }
                    Parsed::TooManyFields => return self.refuse(conn, 431, "head_too_large", now),
                    Parsed::Partial if conn.input.len() > limit => {
                        return self.refuse(conn, 431, "head_too_large", now);
                    }
                    Parsed::Partial => {}
                    Parsed::Malformed => return self.refuse(conn, 400, "malformed_request", now),
                }
            }
            if conn.receive()? == 0 {
                return Ok(None);
            }
        }
    }

    /// Answers what never became a request, and closes.
    pub fn refuse(
        &self,
        conn: &mut Conn,
        code: u16,
        reason: &'static str,
        now: Instant,
    ) -> Result<Option<RequestHead>, Gone> {
        let answer = refusal("front", (code, reason), conn.peer, &*self.sink);
        conn.send(answer.as_bytes(), now)?;
        conn.close(true, now)?;
        Ok(None)
    }

    /// Whether another request may follow on a connection.
    pub fn keeps_alive(&self) -> bool {
        !self.ends.load(Relaxed)
    }
}
