//! Backends, one behaviour each; every one keeps what it was asked.

mod serve;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use loadbalancer::demo::echo::{Echo, EchoOptions};
use socket2::{Domain, Socket, Type};

use super::eventually;
pub use serve::Asked;
use serve::Shared;

/// What a backend does with every request but `/health`.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// Gives this answer.
    Answers(Answer),
    /// Gives this answer once [`Backend::release`] was called.
    Holds(Answer),
    /// Sends half of this answer's body, and the rest once [`Backend::release`] was called.
    HoldsHalfWay(Answer),
    /// Says what it was asked: the demo's own backend.
    Echo(EchoOptions),
    /// Nobody listens.
    Refuses,
    /// Reads, and never answers.
    Hangs,
    /// Promises a longer body than these many bytes, and closes after them.
    BreaksOffAfter(usize, Framing),
    /// Reads the whole request, then closes.
    ClosesBeforeHead,
    /// Reads the whole request, then resets the connection.
    ResetsBeforeHead,
    /// Answers with something else than HTTP, and closes.
    NotHttp,
}

/// An answer to give. Its fields are sent as they stand.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The fields besides the framing.
    pub headers: Vec<(&'static str, &'static str)>,
    /// The body.
    pub body: Vec<u8>,
    /// How its end is told.
    pub framing: Framing,
}

/// How the end of a body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// `Content-Length`.
    Length,
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// By closing the connection; a body broken off is a reset.
    UntilClose,
}

impl Answer {
    /// 200 with this body.
    pub fn ok(body: impl Into<Vec<u8>>) -> Answer {
        Answer { status: 200, headers: Vec::new(), body: body.into(), framing: Framing::Length }
    }
}

/// What `/health` says.
#[derive(Debug, Clone)]
pub enum Health {
    /// 200.
    Passes,
    /// 503.
    Fails,
    /// Nothing, ever.
    Hangs,
    /// One probe after the other; `+` passes, `-` fails, the last one repeats.
    Script(&'static str),
}

/// A backend on a port of its own; stops when dropped.
pub struct Backend {
    address: SocketAddr,
    behaviour: Behaviour,
    shared: Arc<Shared>,
    server: Option<Server>,
    /// Bound and never listening, so that nobody else gets the port while the backend is stopped.
    _reservation: Socket,
}

enum Server {
    Mock(TcpListener, Option<JoinHandle<()>>),
    Echo(Echo),
}

impl Backend {
    /// Starts one with this behaviour.
    pub fn that(behaviour: Behaviour) -> Backend {
        let free = "127.0.0.1:0".parse().unwrap();
        Backend::start(bound(free).expect("a free port"), behaviour)
    }

    /// One that answers 200 with its name, on this address; `None` where that is taken, or not ours.
    pub fn on(address: SocketAddr, name: &str) -> Option<Backend> {
        Backend::that_on(address, Behaviour::Answers(Answer::ok(name)))
    }

    /// One with this behaviour on this address; `None` where that is taken, or not ours.
    pub fn that_on(address: SocketAddr, behaviour: Behaviour) -> Option<Backend> {
        Some(Backend::start(bound(address).ok()?, behaviour))
    }

    fn start(reservation: Socket, behaviour: Behaviour) -> Backend {
        let address = reservation.local_addr().unwrap().as_socket().unwrap();
        let shared = Arc::new(Shared::new(behaviour.clone()));
        let mut backend = Backend { address, behaviour, shared, server: None, _reservation: reservation };
        backend.restart();
        backend
    }

    /// One that answers 200 with its name.
    pub fn named(name: &str) -> Backend {
        Backend::that(Behaviour::Answers(Answer::ok(name)))
    }

    /// One that answers with what it was asked, after this time.
    pub fn slow(latency: Duration) -> Backend {
        let options = EchoOptions { name: "slow".into(), latency, ..EchoOptions::default() };
        Backend::that(Behaviour::Echo(options))
    }

    /// As it is configured.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it was asked so far, probes excluded.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().clone()
    }

    /// How many requests have begun to arrive, whole or not, probes excluded.
    pub fn heads(&self) -> usize {
        self.shared.heads.load(SeqCst)
    }

    /// Waits until so many requests have begun to arrive.
    #[track_caller]
    pub fn wait_for_heads(&self, count: usize) {
        eventually(&format!("{count} heads"), || self.heads() >= count);
    }

    /// Waits for the request of this number, from 1.
    #[track_caller]
    pub fn wait_for(&self, count: usize) -> Asked {
        let what = format!("request {count} at {}", self.address);
        eventually(&what, || self.asked().into_iter().nth(count - 1))
    }

    /// How often it was probed so far.
    pub fn probes(&self) -> usize {
        self.shared.probes.load(SeqCst)
    }

    /// When each of its probes was answered.
    pub fn probed_at(&self) -> Vec<Instant> {
        self.shared.probed_at.lock().clone()
    }

    /// Waits until it was probed so often.
    #[track_caller]
    pub fn wait_for_probes(&self, count: usize) {
        eventually(&format!("{count} probes"), || self.probes() >= count);
    }

    /// What `/health` says from now on.
    pub fn set_health(&self, health: Health) {
        *self.shared.health.lock() = health;
    }

    /// Whether `/health` passes from now on.
    pub fn set_healthy(&self, healthy: bool) {
        self.set_health(if healthy { Health::Passes } else { Health::Fails });
    }

    /// Whether every request but `/health` is answered by closing the connection from now on.
    pub fn set_failing(&self, failing: bool) {
        self.shared.failing.store(failing, SeqCst);
    }

    /// Lets those go that [`Behaviour::Holds`] holds, and all to come.
    pub fn release(&self) {
        self.shared.release();
    }

    /// Closes the port and all connections.
    pub fn stop(&mut self) {
        match self.server.take() {
            None => {}
            Some(Server::Echo(mut echo)) => echo.stop(),
            Some(Server::Mock(listener, thread)) => {
                let _ = rustix::net::shutdown(&listener, rustix::net::Shutdown::Read);
                thread.map(JoinHandle::join);
            }
        }
        self.shared.close_all();
    }

    /// Listens on the same port again.
    pub fn restart(&mut self) {
        self.stop();
        if matches!(self.behaviour, Behaviour::Refuses) {
            return;
        }
        let listener = self.listen();
        self.server = Some(match &self.behaviour {
            Behaviour::Echo(options) => Server::Echo(Echo::start(listener, options.clone()).unwrap()),
            _ => {
                let thread = serve::start(&listener, &self.shared);
                Server::Mock(listener, Some(thread))
            }
        });
    }

    fn listen(&self) -> TcpListener {
        eventually("the port is free again", || {
            let socket = bound(self.address).ok()?;
            // Room for a connection from every worker at once, on a machine that is busy.
            socket.listen(1024).ok().map(|()| socket.into())
        })
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.release();
        self.stop();
    }
}

fn bound(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}
