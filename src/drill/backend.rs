//! A backend that misbehaves on demand and counts the requests that it got.

use std::collections::HashMap;
use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use socket2::{Domain, Socket, Type};

use super::client;
use super::plan::HEALTH_PATH;
use crate::demo::requests::{self, Request};
use crate::shutdown::{ShutdownSignal, ShutdownTrigger, shutdown_pair};

/// Pause that lets half an answer, or a head, arrive before the connection is closed or reset.
const MOMENT: Duration = Duration::from_millis(20);
/// Limit of connections waiting to be accepted.
const BACKLOG: i32 = 128;
/// Stack of a connection's thread.
const STACK_BYTES: usize = 256 << 10;

/// The behaviour for all requests but probes, which always pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Answers after this delay.
    Answers(Duration),
    /// Reads the request, then resets the connection.
    ResetsBeforeHead,
    /// Sends the answer's head, then resets the connection.
    ResetsAfterHead,
    /// Sends half of the answer, then closes the connection.
    BreaksOffHalfWay,
    /// Reads the request and never answers.
    Stalls,
}

/// How often each POST has reached a backend, by request id; shared by all backends.
pub type Posts = Arc<Mutex<HashMap<String, u32>>>;

/// A running backend; stops when dropped.
pub struct Backend {
    address: SocketAddr,
    shared: Arc<Shared>,
    listener: Mutex<Option<(TcpListener, ShutdownTrigger)>>,
    /// Bound without listening, so that no other process gets the port while this backend refuses
    /// connections.
    _reservation: Socket,
}

struct Shared {
    mode: Mutex<Mode>,
    posts: Posts,
    answered: AtomicU64,
    misbehaved: AtomicU64,
    misbehaved_posts: AtomicU64,
    next: AtomicU64,
    open: Mutex<HashMap<u64, TcpStream>>,
}

impl Backend {
    /// Starts a backend on a free port.
    ///
    /// # Errors
    /// The operating system's.
    pub fn start(posts: Posts) -> io::Result<Backend> {
        let reservation = bound(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let address = reservation.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
        let shared = Arc::new(Shared {
            mode: Mutex::new(Mode::Answers(Duration::ZERO)),
            posts,
            answered: AtomicU64::new(0),
            misbehaved: AtomicU64::new(0),
            misbehaved_posts: AtomicU64::new(0),
            next: AtomicU64::new(0),
            open: Mutex::default(),
        });
        let backend = Backend { address, shared, listener: Mutex::new(None), _reservation: reservation };
        backend.listen()?;
        Ok(backend)
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets the behaviour from now on.
    pub fn set(&self, mode: Mode) {
        *self.shared.mode.lock() = mode;
    }

    /// Number of requests answered, without probes.
    pub fn answered(&self) -> u64 {
        self.shared.answered.load(SeqCst)
    }

    /// Number of requests with which it has misbehaved.
    pub fn misbehaved(&self) -> u64 {
        self.shared.misbehaved.load(SeqCst)
    }

    /// Number of POSTs with which it has misbehaved.
    pub fn misbehaved_posts(&self) -> u64 {
        self.shared.misbehaved_posts.load(SeqCst)
    }

    /// Listens again after [`Backend::refuse`].
    ///
    /// # Errors
    /// The operating system's.
    pub fn listen(&self) -> io::Result<()> {
        let socket = bound(self.address)?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from(socket);
        let (trigger, shutdown) = shutdown_pair();
        let (accepting, shared) = (listener.try_clone()?, Arc::clone(&self.shared));
        let work = move || accept(&accepting, &shared, &shutdown);
        thread::Builder::new().name("drill-backend".into()).stack_size(STACK_BYTES).spawn(work)?;
        *self.listener.lock() = Some((listener, trigger));
        Ok(())
    }

    /// Closes the port and all connections, like a process that dies.
    pub fn refuse(&self) {
        if let Some((listener, trigger)) = self.listener.lock().take() {
            drop(trigger);
            let _ = rustix::net::shutdown(&listener, rustix::net::Shutdown::Read);
        }
        for (_, stream) in self.shared.open.lock().drain() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.refuse();
    }
}

fn bound(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>, shutdown: &ShutdownSignal) {
    while let Ok((stream, _)) = listener.accept() {
        if shutdown.has_ended() {
            return;
        }
        let Ok(held) = stream.try_clone() else { continue };
        let number = shared.next.fetch_add(1, SeqCst);
        shared.open.lock().insert(number, held);
        let (theirs, shutdown) = (Arc::clone(shared), shutdown.clone());
        let work = move || {
            // The balancer closing a connection is part of every scenario.
            let _ = serve(&stream, &theirs, &shutdown);
            let _ = stream.shutdown(Shutdown::Both);
            theirs.open.lock().remove(&number);
        };
        if thread::Builder::new().name("drill-exchange".into()).stack_size(STACK_BYTES).spawn(work).is_err() {
            shared.open.lock().remove(&number);
        }
    }
}

fn serve(stream: &TcpStream, shared: &Shared, shutdown: &ShutdownSignal) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = requests::read_head(&mut reader)? {
        // The connection was accepted just as the port was closed.
        if shutdown.has_ended() {
            return Ok(());
        }
        if request.target == HEALTH_PATH {
            (&*stream).write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
            continue;
        }
        let id =
            String::from_utf8_lossy(request.headers.get("x-request-id").unwrap_or_default()).into_owned();
        if request.method == "POST" {
            *shared.posts.lock().entry(id.clone()).or_default() += 1;
        }
        requests::skip_body(&mut reader, &request)?;
        if !behave(stream, shared, &request, &id, shutdown)? {
            return Ok(());
        }
    }
    Ok(())
}

/// Returns whether the connection stays open.
fn behave(
    mut stream: &TcpStream,
    shared: &Shared,
    request: &Request,
    id: &str,
    shutdown: &ShutdownSignal,
) -> io::Result<bool> {
    let mode = *shared.mode.lock();
    let (head, body) = answer(id, shared.next.fetch_add(1, SeqCst).is_multiple_of(2));
    if !matches!(mode, Mode::Answers(_)) {
        shared.misbehaved.fetch_add(1, SeqCst);
        shared.misbehaved_posts.fetch_add(u64::from(request.method == "POST"), SeqCst);
    }
    match mode {
        Mode::Answers(latency) => {
            if shutdown.wait(latency) {
                return Ok(false);
            }
            stream.write_all(&[head, body].concat())?;
            shared.answered.fetch_add(1, SeqCst);
            return Ok(request.keep_alive());
        }
        Mode::ResetsBeforeHead => reset(stream)?,
        Mode::ResetsAfterHead => {
            stream.write_all(&head)?;
            shutdown.wait(MOMENT);
            reset(stream)?;
        }
        Mode::BreaksOffHalfWay => {
            stream.write_all(&[&head, &body[..body.len() / 2]].concat())?;
            shutdown.wait(MOMENT);
        }
        // Until the balancer's timeout, or until the backend is stopped.
        Mode::Stalls => while stream.read(&mut [0; 512])? > 0 {},
    }
    Ok(false)
}

/// Head and body, with a length or chunked: a broken-off answer looks different in each case.
fn answer(id: &str, is_chunked: bool) -> (Vec<u8>, Vec<u8>) {
    let body = client::body_of(id);
    if !is_chunked {
        return (format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into(), body.into());
    }
    let (one, two) = body.split_at(body.len() / 3);
    let chunks = format!("{:x}\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n", one.len(), two.len());
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(), chunks.into())
}

/// Disconnecting the socket resets the connection, even if there are other handles of it.
fn reset(stream: &TcpStream) -> io::Result<()> {
    Ok(rustix::net::connect_unspec(stream)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::client::{Answer, Connection, Request};

    fn ask(backend: &Backend, method: &'static str, id: &str) -> io::Result<Answer> {
        let mut connection = Connection::open(backend.address(), Duration::from_secs(10))?;
        let request = Request::new(method, id.to_owned());
        Ok(connection.exchange(&request))
    }

    fn backend() -> (Backend, Posts) {
        let posts = Posts::default();
        (Backend::start(Arc::clone(&posts)).unwrap(), posts)
    }

    #[test]
    fn each_mode_is_seen_as_what_it_is() {
        let (backend, posts) = backend();
        for id in ["1", "2"] {
            let Answer::Whole(whole) = ask(&backend, "POST", id).unwrap() else { panic!("not whole") };
            assert_eq!((whole.status, whole.body), (200, client::body_of(id).into_bytes()));
        }
        for (mode, is_begun) in
            [(Mode::ResetsBeforeHead, false), (Mode::ResetsAfterHead, true), (Mode::BreaksOffHalfWay, true)]
        {
            backend.set(mode);
            for _ in 0..4 {
                match ask(&backend, "PUT", "3").unwrap() {
                    Answer::Cut => assert!(is_begun, "{mode:?}"),
                    Answer::Nothing(_) => assert!(!is_begun, "{mode:?}"),
                    Answer::Whole(_) => panic!("{mode:?} looks whole"),
                }
            }
        }
        assert_eq!((backend.answered(), backend.misbehaved()), (2, 12));
        assert_eq!(posts.lock().len(), 2);
    }

    #[test]
    fn it_refuses_and_listens_again_on_the_same_port() {
        let (backend, _) = backend();
        for round in 0..3 {
            backend.refuse();
            assert!(ask(&backend, "GET", "1").is_err(), "round {round}");
            backend.listen().unwrap();
            assert!(matches!(ask(&backend, "GET", "1"), Ok(Answer::Whole(_))), "round {round}");
        }
    }
}
