//! How a mock backend does what its behaviour says.

use std::collections::HashMap;
use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

use super::{Answer, Behaviour, Framing, Health};
use crate::support::wire::{self, Head};

/// How much more a body that is broken off has promised.
const MISSING_BYTES: usize = 100;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The body, its framing removed.
    pub body: Vec<u8>,
    /// All of it as it came.
    pub raw: Vec<u8>,
    head: Head,
}

impl Deref for Asked {
    type Target = Head;
    fn deref(&self) -> &Head {
        &self.head
    }
}

/// What all connections of a backend share with the test.
pub struct Shared {
    behaviour: Behaviour,
    pub(super) asked: Mutex<Vec<Asked>>,
    pub(super) heads: AtomicUsize,
    pub(super) health: Mutex<Health>,
    pub(super) probes: AtomicUsize,
    pub(super) probed_at: Mutex<Vec<Instant>>,
    pub(super) failing: AtomicBool,
    open: Mutex<HashMap<usize, TcpStream>>,
    holder: Mutex<Option<Sender<()>>>,
    held: Receiver<()>,
}

impl Shared {
    pub(super) fn new(behaviour: Behaviour) -> Shared {
        let (holder, held) = bounded(0);
        Shared {
            behaviour,
            asked: Mutex::default(),
            heads: AtomicUsize::new(0),
            health: Mutex::new(Health::Passes),
            probes: AtomicUsize::new(0),
            probed_at: Mutex::default(),
            failing: AtomicBool::new(false),
            open: Mutex::default(),
            holder: Mutex::new(Some(holder)),
            held,
        }
    }

    pub(super) fn release(&self) {
        self.holder.lock().take();
    }

    pub(super) fn close_all(&self) {
        for (_, stream) in self.open.lock().drain() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn wait_for_release(&self) {
        let _ = self.held.recv();
    }
}

/// Serves on this listener until it is shut down.
pub fn start(listener: &TcpListener, shared: &Arc<Shared>) -> JoinHandle<()> {
    let (listener, shared) = (listener.try_clone().unwrap(), Arc::clone(shared));
    thread::spawn(move || {
        for number in 0.. {
            let Ok((stream, _)) = listener.accept() else { return };
            shared.open.lock().insert(number, stream.try_clone().unwrap());
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                // A peer that goes away is part of many a test.
                let _ = serve(&stream, &shared);
                let _ = stream.shutdown(Shutdown::Both);
                shared.open.lock().remove(&number);
            });
        }
    })
}

fn serve(stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(asked) = read_request(&mut reader, shared)? {
        if asked.start.contains(" /health ") {
            answer_probe(stream, shared)?;
            continue;
        }
        shared.asked.lock().push(asked.clone());
        if shared.failing.load(SeqCst) || !behave(stream, shared, asked.start.starts_with("HEAD"))? {
            return Ok(());
        }
    }
    Ok(())
}

fn read_request(reader: &mut BufReader<&TcpStream>, shared: &Shared) -> io::Result<Option<Asked>> {
    let mut raw = Vec::new();
    let Some(head) = wire::read_head(reader, &mut raw)? else { return Ok(None) };
    if !head.start.contains(" /health ") {
        shared.heads.fetch_add(1, SeqCst);
    }
    let body = if head.is_chunked() {
        wire::read_chunked(reader, &mut raw)?
    } else {
        wire::read_length(reader, &mut raw, head.content_length().unwrap_or(0))?
    };
    Ok(Some(Asked { body, raw, head }))
}

fn answer_probe(mut stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    let health = shared.health.lock().clone();
    let passes = match health {
        Health::Passes => true,
        Health::Fails => false,
        Health::Hangs => return until_closed(stream),
        Health::Script(script) => {
            let at = shared.probes.load(SeqCst).min(script.len() - 1);
            script.as_bytes()[at] == b'+'
        }
    };
    let status = if passes { "200 OK" } else { "503 Service Unavailable" };
    stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes())?;
    shared.probed_at.lock().push(Instant::now());
    shared.probes.fetch_add(1, SeqCst);
    Ok(())
}

/// Whether the connection stays open.
fn behave(mut stream: &TcpStream, shared: &Shared, is_head: bool) -> io::Result<bool> {
    match &shared.behaviour {
        Behaviour::Answers(answer) => return give(stream, answer, is_head),
        Behaviour::Holds(answer) => {
            shared.wait_for_release();
            return give(stream, answer, is_head);
        }
        Behaviour::HoldsHalfWay(answer) => {
            let half = answer.body.len() / 2;
            stream.write_all(&head(answer, answer.body.len()))?;
            stream.write_all(&framed(&answer.body[..half], answer.framing))?;
            shared.wait_for_release();
            stream.write_all(&framed(&answer.body[half..], answer.framing))?;
            stream.write_all(end(answer.framing))?;
        }
        Behaviour::Hangs => until_closed(stream)?,
        Behaviour::BreaksOffAfter(bytes, framing) => {
            let answer = Answer { framing: *framing, ..Answer::ok(vec![b'x'; *bytes]) };
            stream.write_all(&head(&answer, bytes + MISSING_BYTES))?;
            stream.write_all(&framed(&answer.body, *framing))?;
            if *framing == Framing::UntilClose {
                reset(stream)?;
            }
        }
        Behaviour::ResetsBeforeHead => reset(stream)?,
        Behaviour::NotHttp => stream.write_all(b"220 mail.example.com ESMTP ready\r\n")?,
        Behaviour::ClosesBeforeHead | Behaviour::Refuses | Behaviour::Echo(_) => {}
    }
    Ok(false)
}

fn give(mut stream: &TcpStream, answer: &Answer, is_head: bool) -> io::Result<bool> {
    let mut bytes = head(answer, answer.body.len());
    if !is_head {
        bytes.extend(framed(&answer.body, answer.framing));
        bytes.extend(end(answer.framing));
    }
    stream.write_all(&bytes)?;
    Ok(answer.framing != Framing::UntilClose)
}

fn head(answer: &Answer, length: usize) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {} Whatever\r\n", answer.status);
    for (name, value) in &answer.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    match answer.framing {
        Framing::Length if answer.status == 204 || answer.status == 304 => {}
        Framing::Length => text.push_str(&format!("Content-Length: {length}\r\n")),
        Framing::Chunked => text.push_str("Transfer-Encoding: chunked\r\n"),
        Framing::UntilClose => {}
    }
    text.push_str("\r\n");
    text.into_bytes()
}

fn framed(body: &[u8], framing: Framing) -> Vec<u8> {
    if framing != Framing::Chunked || body.is_empty() {
        return body.to_vec();
    }
    [format!("{:x}\r\n", body.len()).as_bytes(), body, b"\r\n"].concat()
}

fn end(framing: Framing) -> &'static [u8] {
    if framing == Framing::Chunked { b"0\r\n\r\n" } else { b"" }
}

fn until_closed(mut stream: &TcpStream) -> io::Result<()> {
    while stream.read(&mut [0; 1024])? > 0 {}
    Err(ErrorKind::UnexpectedEof.into())
}

/// Disconnecting resets, whatever other handles of the socket there are.
fn reset(stream: &TcpStream) -> io::Result<()> {
    Ok(rustix::net::connect_unspec(stream)?)
}
