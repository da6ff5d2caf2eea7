//! The front: accepts clients, speaks TLS, reads and checks every head, and lends the connection to the
//! worker that handles the request. Idle connections, incomplete heads, unsent ends of answers and refused
//! heads stay with the front and cost no worker.
//!
//! `event_loop` is a thread with its `poll`: usually one thread for clients, and on TLS listeners one per
//! processor for handshakes, which may take milliseconds. `table` records who holds each connection (`conn`).
//! `welcome` admits a new connection, `advance` does what is possible with one, `turns` lends it and takes it
//! back, `lent` and `tunnel` are connections held by a worker, `sweep` enforces timeouts, and `room` closes
//! silent connections when the limit is reached.

mod advance;
mod buffer;
mod conn;
mod core;
mod event_loop;
mod head;
mod lent;
mod mode;
mod poll;
mod registration;
mod room;
mod scratch;
mod sweep;
mod table;
mod tunnel;
mod turns;
mod welcome;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use log::Level::Debug;
use parking_lot::{Mutex, RwLock};

use super::dispatch::Dispatch;
use super::limits::ClientLimits;
use super::listen_socket::ListenSocket;
use super::listener::{Counts, Listener};
use super::socket_options::{admit_newcomers, refuse_newcomers, set_socket_options};
use super::surplus::Surplus;
use crate::logging::event;
use crate::supervised;
use crate::tls::ServerSettings;
use crate::traffic::Traffic;
use core::Core;
use event_loop::EventLoop;
use lent::Lent;
use mode::{Mode, Modes};
use poll::Poll;
use room::Room;
use table::{Holder, Table};

/// The stack of a thread; buffers are on the heap, TLS handshakes need some stack.
const STACK_BYTES: usize = 512 << 10;
/// Most clients complete TCP's handshake within this time.
const HANDSHAKE: Duration = Duration::from_millis(50);
/// One client loop serves the workers of this many processors; measured with two.
const PROCESSORS_PER_LOOP: usize = 4;

/// A listener whose clients the front serves.
pub struct Front {
    listener: ListenSocket,
    core: Arc<Core>,
}

/// How to serve a listener.
pub struct FrontSettings {
    /// Certificates, for a TLS listener.
    pub tls: Option<ServerSettings>,
    /// Whether each connection begins with a PROXY header.
    pub proxy_protocol: bool,
    /// Which peers may send one. Called for each connection, so a reload takes effect.
    pub may_send_proxy_header: Box<dyn Fn(IpAddr) -> bool + Send + Sync>,
    /// Counts bytes.
    pub traffic: Arc<Traffic>,
}

impl Front {
    /// Starts accepting. `limits` is called for each use, so a reload takes effect.
    ///
    /// # Errors
    /// The operating system's, for sockets and threads.
    pub fn start(
        listener: ListenSocket,
        how: FrontSettings,
        limits: impl Fn() -> ClientLimits + Send + Sync + 'static,
        dispatch: Arc<dyn Dispatch>,
    ) -> io::Result<Front> {
        set_socket_options(&listener, limits().max_connections)?;
        listener.set_nonblocking(true)?;
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let client_loops = processors.div_ceil(PROCESSORS_PER_LOOP);
        let handshake_loops = if how.tls.is_some() { processors } else { 0 };
        let polls =
            (0..client_loops + handshake_loops).map(|_| Poll::new()).collect::<io::Result<Vec<_>>>()?;
        let core = Arc::new(Core {
            table: Table::new(),
            rounds: polls.iter().map(|_| AtomicU64::new(0)).collect(),
            polls,
            client_loops,
            modes: Modes::new(),
            dispatch,
            limits: Box::new(limits),
            tls: how.tls.map(RwLock::new),
            proxy_protocol: how.proxy_protocol,
            may_send_proxy_header: how.may_send_proxy_header,
            ends: AtomicBool::new(false),
            per_network: Default::default(),
            surplus: Mutex::new(Surplus::of("too_many_connections", "closed connections over their limit")),
            strangers: Mutex::new(Surplus::of(
                "forbidden_proxy",
                "closed connections of peers that may send no PROXY header",
            )),
            stream_of: |loan, head| Box::new(Lent::new(loan, head)),
            turn: AtomicUsize::new(0),
            traffic: how.traffic,
        });
        for number in 0..core.polls.len() {
            let event_loop = EventLoop {
                core: Arc::clone(&core),
                number,
                listener: if number == 0 { Some(listener.try_clone()?) } else { None },
                is_accepting: false,
                accept_again: Instant::now(),
                room: Room::new(),
            };
            let name = if number < client_loops { "front" } else { "handshake" };
            supervised::start(name, STACK_BYTES, move || event_loop.run())?;
        }
        Ok(Front { listener, core })
    }

    /// Replaces the certificates for new connections.
    pub fn set_tls(&self, settings: ServerSettings) {
        if let Some(tls) = &self.core.tls {
            *tls.write() = settings;
        }
    }

    fn tell(&self, mode: Mode) -> io::Result<()> {
        self.core.modes.tell(mode, || self.core.polls[0].ring())
    }
}

impl Listener for Front {
    fn announce_end(&self) {
        self.core.ends.store(true, Relaxed);
    }

    /// Closing the socket would reset connections that are established but not accepted yet. So new
    /// handshakes are blocked first, those already begun are accepted, and then listening ends.
    fn drain(&self) {
        self.announce_end();
        self.listener.remove_file();
        match refuse_newcomers(&self.listener) {
            Ok(()) => thread::park_timeout(HANDSHAKE),
            Err(error) => event(Debug, "front", "new clients can't be refused early", &[("error", &error)]),
        }
        self.drain_after_pause();
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Read);
        // Another process that shares the socket may listen on it again.
        admit_newcomers(&self.listener);
    }

    fn pause(&self) -> io::Result<()> {
        self.tell(Mode::Paused)?;
        // The next process may expect a blocking socket.
        self.listener.set_nonblocking(false)
    }

    fn resume(&self) -> io::Result<()> {
        self.listener.set_nonblocking(true)?;
        self.tell(Mode::Accepting)
    }

    fn drain_after_pause(&self) {
        self.announce_end();
        // An error means that the front's thread is gone.
        let _ = self.tell(Mode::Draining);
    }

    fn end(&self) {
        // An error means that the front's thread is gone.
        let _ = self.tell(Mode::Ending);
    }

    fn rounds(&self) -> Vec<u64> {
        self.core.rounds.iter().map(|rounds| rounds.load(Relaxed)).collect()
    }

    fn listener(&self) -> &ListenSocket {
        &self.listener
    }

    fn counts(&self) -> Counts {
        let table = &self.core.table;
        let mut counts = Counts { client_connections: table.open() as u64, ..Counts::default() };
        for index in table.indices() {
            let Some(slot) = table.slot(index) else { continue };
            match &slot.lock().holder {
                Holder::Slot(conn) if !conn.output.is_empty() => {
                    counts.unsent += u64::from(conn.requests > 0)
                }
                Holder::Slot(conn) => counts.may_hear_more |= conn.stage != conn::Stage::Closing,
                Holder::Front => counts.may_hear_more = true,
                Holder::Nobody | Holder::Worker(_) | Holder::Tunnel => {}
            }
        }
        counts
    }
}
