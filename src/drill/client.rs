//! The drill's client: sends one request and classifies the answer only by its framing, as any client would.
//! The expected body is known, so an answer that only looks complete is detected.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use crate::http_client::{Whole, read_answer};

/// Length to which bodies are padded, so that half a body is more than one line.
const BODY_BYTES: usize = 2000;
/// The body of PUT and POST.
const REQUEST_BODY: &str = "drill-drill-drill";
/// Start of the network for clients' addresses (reserved for tests by RFC 2544); many addresses let hash
/// algorithms spread the requests.
const FIRST_CLIENT: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
const CLIENT_ADDRESSES: u32 = 1 << 16;

/// A request.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method.
    pub method: &'static str,
    /// The request target.
    pub target: &'static str,
    /// The `X-Request-ID`, by which backends distinguish requests.
    pub id: String,
    /// The client's address in `X-Forwarded-For`.
    pub client: IpAddr,
}

impl Request {
    /// A request for a backend to answer, from a random client.
    pub fn new(method: &'static str, id: String) -> Request {
        let address = FIRST_CLIENT.to_bits() + fastrand::u32(..CLIENT_ADDRESSES);
        Request { method, target: "/drill", id, client: IpAddr::V4(Ipv4Addr::from_bits(address)) }
    }
}

/// The result of a request.
#[derive(Debug)]
pub enum Answer {
    /// An answer that is complete according to its framing.
    Whole(Whole),
    /// The answer began and was broken off.
    Cut,
    /// Nothing arrived, for this reason.
    Nothing(String),
}

/// One connection to the balancer.
pub struct Connection {
    reader: BufReader<TcpStream>,
    /// Whether it has been used for a request.
    pub is_used: bool,
    /// Whether it can be used for another request.
    pub is_open: bool,
}

/// The body of a complete answer to this request.
pub fn body_of(id: &str) -> String {
    let end = format!(" end of {id}\n");
    let mut body = format!("answer to {id} ");
    while body.len() + end.len() < BODY_BYTES {
        body.push('.');
    }
    body + &end
}

impl Connection {
    /// Opens a connection on which no wait may exceed `patience`.
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
