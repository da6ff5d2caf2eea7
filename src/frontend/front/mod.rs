//! The checking front before tiny_http: it owns the clients' sockets, speaks TLS with them, sees and
//! checks every head on its bytes, and hands tiny_http one request at a time, as a stand-in that can't
//! hurt it. What tiny_http would do to a hostile head or an idle connection can't happen behind it.
//!
//! One thread (`event_loop`) holds all connections (`conn`) with one poll; a request under way
//! (`exchange`) has a connection to a tiny_http of its own on loopback, the bridge, which is kept for the
//! next request. Who a request is from, and its real head, go beside the bridge (`handed`).

mod buffer;
mod conn;
mod event_loop;
mod exchange;
pub(super) mod handed;
mod head;
mod poll;
mod shared;
mod steps;
mod sweep;

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::connections::Counts;
use super::door::Door;
use super::guard::GuardSettings;
use super::listener::{Frontend, set_socket_options};
use super::sink::Sink;
use crate::shutdown::Running;
use crate::tls::ServerSettings;
use event_loop::EventLoop;
use handed::{HandedTable, Inbox};
use poll::Poll;
use shared::{Mode, Shared};

/// The stack of a thread whose buffers are on the heap; a handshake takes some.
const STACK_BYTES: usize = 512 << 10;
/// What never comes: the front sees to the limits of connections itself.
const NEVER: Duration = Duration::from_secs(u64::MAX / 4);

/// A listener with the front before it.
pub struct Front {
    listener: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
    behind: Frontend,
}

/// How a listener is served.
pub struct FrontSettings {
    /// Certificates, for a TLS listener.
    pub tls: Option<ServerSettings>,
    /// Whether each connection begins with a PROXY header.
    pub proxy_protocol: bool,
}

impl Front {
    /// Starts to accept. `settings` is asked now and then, so a reload takes effect.
    ///
    /// # Errors
    /// The operating system's, for sockets and threads.
    pub fn start(
        listener: TcpListener,
        how: FrontSettings,
        settings: impl Fn() -> GuardSettings + Clone + Send + 'static,
        sink: Arc<dyn Sink>,
        running: Running,
    ) -> io::Result<Front> {
        let address = listener.local_addr()?;
        set_socket_options(&listener, &settings())?;
        listener.set_nonblocking(true)?;
        let table = Arc::new(HandedTable::default());
        let bridges = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let of_bridges = settings.clone();
        let bridge_settings = move || GuardSettings {
            client_header: NEVER,
            client_idle: NEVER,
            drain_idle: NEVER,
            max_header_bytes: u64::MAX,
            max_connections: usize::MAX,
            max_connections_per_ip: None,
            ..of_bridges()
        };
        let behind =
            Frontend::start_behind(bridges, bridge_settings, Arc::clone(&sink), Arc::clone(&table), running)?;
        let poll = Arc::new(Poll::new()?);
        let shared = Arc::new(Shared::new(Arc::clone(&poll), how.tls, how.proxy_protocol));
        let event_loop = EventLoop {
            inbox: Arc::new(Inbox::new(Arc::clone(&poll))),
            poll,
            listener: listener.try_clone()?,
            shared: Arc::clone(&shared),
            table,
            sink,
            surplus: Default::default(),
            behind: behind.address(),
            settings: Box::new(settings),
            conns: Vec::new(),
            free: Vec::new(),
            per_network: HashMap::new(),
            bridges: Vec::new(),
            accepting: (false, false),
            accept_again: Instant::now(),
        };
        thread::Builder::new()
            .name("front".into())
            .stack_size(STACK_BYTES)
            .spawn(move || event_loop.run())?;
        Ok(Front { listener, address, shared, behind })
    }

    /// New connections get these certificates.
    pub fn set_tls(&self, settings: ServerSettings) {
        self.shared.set_tls(settings);
    }
}

impl Door for Front {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn drain(&self) {
        self.drain_after_pause();
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Read);
    }

    fn pause(&self) -> io::Result<()> {
        self.shared.set_mode(Mode::Paused)?;
        // The next process may want it so.
        self.listener.set_nonblocking(false)
    }

    fn resume(&self) -> io::Result<()> {
        self.listener.set_nonblocking(true)?;
        self.shared.set_mode(Mode::Accepting)
    }

    fn drain_after_pause(&self) {
        // It hears it or is gone.
        let _ = self.shared.set_mode(Mode::Draining);
        self.behind.drain_after_pause();
    }

    fn end(&self) {
        // It hears it or is gone.
        let _ = self.shared.set_mode(Mode::Ending);
    }

    fn listener(&self) -> &TcpListener {
        &self.listener
    }

    fn counts(&self) -> Counts {
        self.shared.counts(self.behind.counts().leaked_connections)
    }
}
