//! The floor: what the balancer's design costs with nothing in it. One thread waits for all clients (epoll) and
//! reads their heads, a channel hands each request to a fixed pool of workers, and a worker sends it on the one
//! connection that it keeps to one backend, waits for the answer, writes that to the client, gives the client back.
//!
//! No choice of backend, no health, no retries but one after an idle connection that was closed, no forwarding
//! fields, no limits, no timeouts, no logs, no rule which worker is woken. A request is at most 64 KiB, an answer
//! needs a `Content-Length`, and a HEAD would break a connection. For `bench/run` only.

use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use std::thread;

use crossbeam_channel::{Receiver, Sender, unbounded};
use parking_lot::{Mutex, MutexGuard};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, poll};

const USAGE: &str = "usage: floor ADDRESS WORKERS BACKEND...";
const MAX_FIELDS: usize = 64;
/// Longest request, longest head of an answer, and the pieces a body is read in.
const BUFFER_BYTES: usize = 64 << 10;
/// What is read of a client at once.
const PIECE_BYTES: usize = 8 << 10;
const MAX_DESCRIPTORS: usize = 32 << 10;

/// Nobody has the client; what it sends wakes the loop.
const IDLE: u8 = 0;
/// The loop or a worker has it.
const TAKEN: u8 = 1;
/// The same, and more has come meanwhile.
const TOLD: u8 = 2;

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut arguments = std::env::args().skip(1);
    let listener = TcpListener::bind(arguments.next().ok_or(USAGE)?)?;
    let workers: usize = arguments.next().ok_or(USAGE)?.parse()?;
    let backends: Vec<String> = arguments.collect();
    listener.set_nonblocking(true)?;
    // Accepted sockets inherit it.
    rustix::net::sockopt::set_tcp_nodelay(&listener, true)?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    let number = listener.as_raw_fd() as u64;
    epoll::add(&epoll, &listener, EventData::new_u64(number), EventFlags::IN)?;
    let (jobs, inbox) = unbounded();
    let slots = (0..MAX_DESCRIPTORS).map(|_| Slot::default()).collect();
    let clients = Arc::new(Clients { slots, epoll, jobs });
    for backend in backends.into_iter().cycle().take(workers) {
        let (inbox, clients) = (inbox.clone(), Arc::clone(&clients));
        let mut worker = Worker { backend, kept: None, buffer: vec![0; BUFFER_BYTES], out: Vec::new() };
        thread::Builder::new().stack_size(256 << 10).spawn(move || worker.run(&inbox, &clients))?;
    }
    let mut events = Vec::with_capacity(256);
    loop {
        events.clear();
        epoll::wait(&clients.epoll, rustix::buffer::spare_capacity(&mut events), None)?;
        for event in &events {
            let key = event.data.u64();
            if key == number { clients.accept(&listener) } else { clients.told(key as usize) }
        }
    }
}

struct Job {
    index: usize,
    request: Vec<u8>,
    /// The client's last.
    is_last: bool,
}

/// A client's place; its descriptor is the index.
#[derive(Default)]
struct Slot {
    state: AtomicU8,
    client: Mutex<Option<(TcpStream, Vec<u8>)>>,
}

struct Clients {
    slots: Vec<Slot>,
    epoll: OwnedFd,
    jobs: Sender<Job>,
}

impl Clients {
    fn accept(&self, listener: &TcpListener) {
        while let Ok((stream, _)) = listener.accept() {
            let (index, _) = (stream.as_raw_fd() as usize, stream.set_nonblocking(true));
            let mut place = self.place(index);
            self.slots[index].state.store(IDLE, SeqCst);
            let (stream, _) = place.insert((stream, Vec::new()));
            // Told of each change, so a request costs no call of this kind.
            let flags = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
            let _ = epoll::add(&self.epoll, &stream, EventData::new_u64(index as u64), flags);
        }
    }

    fn place(&self, index: usize) -> MutexGuard<'_, Option<(TcpStream, Vec<u8>)>> {
        self.slots[index].client.lock()
    }

    /// Something has come from this client.
    fn told(&self, index: usize) {
        let state = &self.slots[index].state;
        if state.swap(TOLD, SeqCst) == IDLE {
            // Only this thread tells, so nothing has come in between.
            state.store(TAKEN, SeqCst);
            self.look(index);
        }
    }

    /// Reads what is there. A whole request goes to the workers; the caller has the client no more.
    fn look(&self, index: usize) {
        loop {
            let mut place = self.place(index);
            let next = place.as_mut().map_or(Ok(None), |(stream, input)| next(index, stream, input));
            if next.is_err() {
                return *place = None;
            }
            drop(place);
            match next {
                Ok(Some(job)) => return self.jobs.send(job).unwrap_or_default(),
                _ if self.is_given_up(index) => return,
                _ => {}
            }
        }
    }

    /// Whether the loop is told of this client again; if not, more has come.
    fn is_given_up(&self, index: usize) -> bool {
        let state = &self.slots[index].state;
        let is_up = state.compare_exchange(TAKEN, IDLE, SeqCst, SeqCst).is_ok();
        if !is_up {
            state.store(TAKEN, SeqCst);
        }
        is_up
    }
}

/// The next request if all of it is here.
fn next(index: usize, mut stream: &TcpStream, input: &mut Vec<u8>) -> io::Result<Option<Job>> {
    let mut piece = [0; PIECE_BYTES];
    loop {
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut head = httparse::Request::new(&mut fields);
        if let httparse::Status::Complete(bytes) = head.parse(input).map_err(io::Error::other)? {
            let (method, target) = (head.method.unwrap_or_default(), head.path.unwrap_or_default());
            let mut request = format!("{method} {target} HTTP/1.1\r\n").into_bytes();
            let (length, is_last) = copy(head.headers, &mut request);
            let end = bytes + length.unwrap_or(0);
            if let Some(body) = input.get(bytes..end) {
                request.extend_from_slice(b"\r\n");
                request.extend_from_slice(body);
                input.drain(..end);
                return Ok(Some(Job { index, request, is_last }));
            }
        }
        match stream.read(&mut piece) {
            Ok(read) if read > 0 && input.len() + read <= BUFFER_BYTES => input.extend(&piece[..read]),
            Ok(_) => return Err(ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}

/// Copies all fields but `Connection`. Gives the `Content-Length`, and whether the connection ends.
fn copy(fields: &[httparse::Header<'_>], out: &mut Vec<u8>) -> (Option<usize>, bool) {
    let (mut length, mut is_last) = (None, false);
    for field in fields {
        if field.name.eq_ignore_ascii_case("connection") {
            is_last = field.value.eq_ignore_ascii_case(b"close");
            continue;
        }
        if field.name.eq_ignore_ascii_case("content-length") {
            length = std::str::from_utf8(field.value).ok().and_then(|length| length.parse().ok());
        }
        for piece in [field.name.as_bytes(), b": ", field.value, b"\r\n"] {
            out.extend_from_slice(piece);
        }
    }
    (length, is_last)
}

struct Worker {
    backend: String,
    kept: Option<TcpStream>,
    buffer: Vec<u8>,
    out: Vec<u8>,
}

impl Worker {
    fn run(&mut self, inbox: &Receiver<Job>, clients: &Clients) {
        for job in inbox {
            let mut place = clients.place(job.index);
            let Some((stream, input)) = place.as_mut() else { continue };
            let is_kept = self.serve(&job, stream).is_ok() && !job.is_last;
            let is_more = !input.is_empty();
            if !is_kept {
                *place = None;
                continue;
            }
            drop(place);
            if is_more || !clients.is_given_up(job.index) {
                clients.look(job.index);
            }
        }
    }

    fn serve(&mut self, job: &Job, client: &TcpStream) -> io::Result<()> {
        let kept = self.kept.take().and_then(|stream| self.exchange(stream, job).ok());
        let (mut stream, mut left, is_last) = match kept {
            Some(done) => done,
            None => {
                let stream = TcpStream::connect(&self.backend)?;
                stream.set_nodelay(true)?;
                self.exchange(stream, job)?
            }
        };
        send(client, &self.out)?;
        while left > 0 {
            let piece = left.min(BUFFER_BYTES);
            let read = stream.read(&mut self.buffer[..piece])?;
            send(client, &self.buffer[..read])?;
            left = if read == 0 { return Err(ErrorKind::UnexpectedEof.into()) } else { left - read };
        }
        self.kept = Some(stream).filter(|_| !is_last);
        Ok(())
    }

    /// Sends the request and reads the answer until its head is in, with what has come of the body. Gives how
    /// much of that is to come, and whether the connection ends then.
    fn exchange(&mut self, mut stream: TcpStream, job: &Job) -> io::Result<(TcpStream, usize, bool)> {
        stream.write_all(&job.request)?;
        let mut read = 0;
        loop {
            let more = stream.read(&mut self.buffer[read..])?;
            read += if more == 0 { return Err(ErrorKind::UnexpectedEof.into()) } else { more };
            let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
            let mut head = httparse::Response::new(&mut fields);
            let parsed = head.parse(&self.buffer[..read]).map_err(io::Error::other)?;
            let httparse::Status::Complete(bytes) = parsed else { continue };
            self.out.clear();
            write!(self.out, "HTTP/1.1 {} OK\r\n", head.code.unwrap_or_default())?;
            let (length, is_last) = copy(head.headers, &mut self.out);
            let length = length.ok_or_else(|| io::Error::other("an answer without a Content-Length"))?;
            self.out.extend_from_slice(if job.is_last { b"Connection: close\r\n\r\n" } else { b"\r\n" });
            self.out.extend_from_slice(&self.buffer[bytes..read]);
            return Ok((stream, length.saturating_sub(read - bytes), is_last));
        }
    }
}

/// Writes all of it; where the client's socket is full, waits until it is not.
fn send(mut client: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match client.write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                poll(&mut [PollFd::new(client, PollFlags::OUT)], None)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
