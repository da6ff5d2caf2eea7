//! The drill's client: one request and what came of it, told by the framing alone, as any client would
//! tell. Whether what looks whole is whole can be told because the body is known beforehand.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use crate::http_client::{Whole, read_answer};

/// What an answer is filled up to, so that half of it is more than one line.
const BODY_BYTES: usize = 2000;
/// What PUT and POST carry.
const REQUEST_BODY: &str = "drill-drill-drill";
/// Clients' addresses are from this network on (RFC 2544 keeps it for tests), so that hashes spread them.
const FIRST_CLIENT: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
const CLIENT_ADDRESSES: u32 = 1 << 16;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its method.
    pub method: &'static str,
    /// What it is for.
    pub target: &'static str,
    /// Its `X-Request-ID`, by which backends tell requests apart.
    pub id: String,
    /// Whose request it is said to be.
    pub client: IpAddr,
}

impl Request {
    /// One that a backend is to answer, of a client of its own.
    pub fn new(method: &'static str, id: String) -> Request {
        let address = FIRST_CLIENT.to_bits() + fastrand::u32(..CLIENT_ADDRESSES);
        Request { method, target: "/drill", id, client: IpAddr::V4(Ipv4Addr::from_bits(address)) }
    }
}

/// What came of it.
#[derive(Debug)]
pub enum Answer {
    /// An answer that is complete as far as its framing tells.
    Whole(Whole),
    /// The answer began and broke off.
    Cut,
    /// Not a byte came; why.
    Nothing(String),
}

/// One connection to the balancer.
pub struct Connection {
    reader: BufReader<TcpStream>,
    /// Whether it has served already.
    pub is_used: bool,
    /// Whether it can serve again.
    pub is_open: bool,
}

/// What a whole answer to this request says.
pub fn body_of(id: &str) -> String {
    let end = format!(" end of {id}\n");
    let mut body = format!("answer to {id} ");
    while body.len() + end.len() < BODY_BYTES {
        body.push('.');
    }
    body + &end
}

impl Connection {
    /// A new one; no wait for the answer may be longer than `patience`.
    ///
    /// # Errors
    /// The operating system's.
    pub fn open(address: SocketAddr, patience: Duration) -> io::Result<Connection> {
        let stream = TcpStream::connect_timeout(&address, patience)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        Ok(Connection { reader: BufReader::new(stream), is_used: false, is_open: true })
    }

    /// Sends the request and reads the answer.
    pub fn exchange(&mut self, request: &Request) -> Answer {
        self.is_open = false;
        self.is_used = true;
        if let Err(error) = self.reader.get_mut().write_all(&written(request)) {
            return Answer::Nothing(error.to_string());
        }
        let begun = match self.reader.fill_buf() {
            Ok([]) => Err("closed without an answer".to_owned()),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err("no answer in time".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(reason) = begun {
            return Answer::Nothing(reason);
        }
        match read_answer(&mut self.reader) {
            Ok(whole) => {
                self.is_open = whole.keeps;
                Answer::Whole(whole)
            }
            Err(_) => Answer::Cut,
        }
    }
}

fn written(request: &Request) -> Vec<u8> {
    let Request { method, target, id, client } = request;
    let mut text = format!(
        "{method} {target} HTTP/1.1\r\nHost: drill\r\nX-Request-ID: {id}\r\nX-Forwarded-For: {client}\r\n"
    );
    if matches!(*method, "PUT" | "POST") {
        text.push_str(&format!("Content-Length: {}\r\n\r\n{REQUEST_BODY}", REQUEST_BODY.len()));
    } else {
        text.push_str("\r\n");
    }
    text.into_bytes()
}
