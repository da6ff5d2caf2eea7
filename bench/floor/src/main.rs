//! The floor: what the balancer's design costs with nothing in it. tiny_http takes requests in, a
//! bounded channel hands them to a fixed pool of workers, and each worker has one kept connection to
//! one backend, on which it writes a head and reads the answer.
//!
//! No choice of backend, no health, no retries but one after an idle connection that was closed, no
//! forwarding fields, no limits, no logs. Answers need a `Content-Length`. For `bench/run` only.
//!
//! usage: `floor ADDRESS WORKERS BACKEND...`

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use crossbeam_channel::{Receiver, bounded};
use tiny_http::{Request, Server};

const USAGE: &str = "usage: floor ADDRESS WORKERS BACKEND...";
/// As the balancer's `limits.max_queue`.
const MAX_QUEUE: usize = 1024;
/// Most header fields of an answer.
const MAX_FIELDS: usize = 64;
/// Longest head of an answer, and the pieces its body is read in.
const BUFFER_BYTES: usize = 64 << 10;

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().ok_or(USAGE)?;
    let workers: usize = arguments.next().ok_or(USAGE)?.parse()?;
    let backends: Vec<String> = arguments.collect();
    if backends.is_empty() {
        return Err(USAGE.into());
    }

    let listener = TcpListener::bind(address)?;
    // Accepted sockets inherit it.
    socket2::SockRef::from(&listener).set_tcp_nodelay(true)?;
    let server = Server::from_listener(listener, None)?;
    let (sender, inbox) = bounded(MAX_QUEUE);
    for backend in backends.into_iter().cycle().take(workers) {
        let inbox = inbox.clone();
        thread::Builder::new().stack_size(256 << 10).spawn(move || work(&inbox, &backend))?;
    }
    while let Ok(request) = server.recv() {
        sender.send(request).map_err(|_| "no worker is left")?;
    }
    Ok(())
}

fn work(inbox: &Receiver<Request>, backend: &str) {
    let mut worker = Worker { backend, kept: None, buffer: vec![0; BUFFER_BYTES], out: Vec::new() };
    for request in inbox {
        if let Err(error) = worker.serve(request) {
            // The client sees a 500 or a break-off, which the benchmark counts.
            eprintln!("floor: {error}");
        }
    }
}

struct Worker<'a> {
    backend: &'a str,
    kept: Option<TcpStream>,
    buffer: Vec<u8>,
    out: Vec<u8>,
}

/// What is known when an answer's head is in.
struct Head {
    bytes: usize,
    /// Head and body that have been read so far.
    read: usize,
    body: usize,
    keep: bool,
}

impl Worker<'_> {
    fn serve(&mut self, mut request: Request) -> io::Result<()> {
        let to_head = request.method().as_str() == "HEAD";
        self.write_request(&mut request)?;
        let (mut stream, head) = self.exchange()?;
        let body = if to_head { 0 } else { head.body };
        self.write_head(&head, &request)?;

        let mut writer = request.into_writer();
        self.out.extend_from_slice(&self.buffer[head.bytes..head.read]);
        writer.write_all(&self.out)?;
        let mut left = body.saturating_sub(head.read - head.bytes);
        while left > 0 {
            let piece = left.min(BUFFER_BYTES);
            let read = stream.read(&mut self.buffer[..piece])?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            writer.write_all(&self.buffer[..read])?;
            left -= read;
        }
        writer.flush()?;
        if head.keep {
            self.kept = Some(stream);
        }
        Ok(())
    }

    /// Puts head and body of the request into `out`.
    fn write_request(&mut self, request: &mut Request) -> io::Result<()> {
        self.out.clear();
        write!(self.out, "{} {} HTTP/1.1\r\n", request.method(), request.url())?;
        for field in request.headers().iter().filter(|field| !field.field.equiv("Connection")) {
            write!(self.out, "{}: {}\r\n", field.field, field.value)?;
        }
        self.out.extend_from_slice(b"\r\n");
        request.as_reader().read_to_end(&mut self.out)?;
        Ok(())
    }

    /// Sends `out` and reads the answer's head, a second time if the kept connection was closed.
    fn exchange(&mut self) -> io::Result<(TcpStream, Head)> {
        if let Some(stream) = self.kept.take()
            && let Ok(head) = self.exchange_on(&stream)
        {
            return Ok((stream, head));
        }
        let stream = TcpStream::connect(self.backend)?;
        stream.set_nodelay(true)?;
        let head = self.exchange_on(&stream)?;
        Ok((stream, head))
    }

    fn exchange_on(&mut self, mut stream: &TcpStream) -> io::Result<Head> {
        stream.write_all(&self.out)?;
        let mut read = 0;
        loop {
            let more = stream.read(&mut self.buffer[read..])?;
            if more == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            read += more;
            if let Some(head) = parse(&self.buffer[..read])? {
                return Ok(head);
            }
        }
    }

    /// Puts the answer's head into `out`, with a `Connection` field of our own.
    fn write_head(&mut self, head: &Head, request: &Request) -> io::Result<()> {
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut answer = httparse::Response::new(&mut fields);
        answer.parse(&self.buffer[..head.bytes]).map_err(io::Error::other)?;
        self.out.clear();
        write!(
            self.out,
            "HTTP/1.1 {} {}\r\n",
            answer.code.unwrap_or_default(),
            answer.reason.unwrap_or_default()
        )?;
        for field in answer.headers.iter().filter(|field| !field.name.eq_ignore_ascii_case("connection")) {
            self.out.extend_from_slice(field.name.as_bytes());
            self.out.extend_from_slice(b": ");
            self.out.extend_from_slice(field.value);
            self.out.extend_from_slice(b"\r\n");
        }
        let is_close = |field: &tiny_http::Header| {
            field.field.equiv("Connection") && field.value.as_str().eq_ignore_ascii_case("close")
        };
        if request.headers().iter().any(is_close) {
            self.out.extend_from_slice(b"Connection: close\r\n");
        }
        self.out.extend_from_slice(b"\r\n");
        Ok(())
    }
}

/// `None` while the head is not whole.
fn parse(read: &[u8]) -> io::Result<Option<Head>> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut answer = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(bytes) = answer.parse(read).map_err(io::Error::other)? else {
        return Ok(None);
    };
    let find = |name: &str| {
        let field = answer.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
        field.and_then(|field| std::str::from_utf8(field.value).ok())
    };
    let length = find("content-length").and_then(|length| length.parse().ok());
    let body = length.ok_or_else(|| io::Error::other("an answer without a Content-Length"))?;
    let keep = !find("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    Ok(Some(Head { bytes, read: read.len(), body, keep }))
}
