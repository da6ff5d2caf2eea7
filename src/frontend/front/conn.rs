//! One client's connection, whoever has it at the moment: socket, TLS session, and what has come or is to
//! go. Nothing here waits.

use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use rustix::net::{RecvFlags, SendFlags};

use super::buffer::Buffer;
use super::scratch;
use crate::http::proxy_header::{self, Parsed};
use crate::tls::ServerSession;
use crate::traffic::Traffic;

/// Read at a time; room for the longest PROXY header.
const MAX_RECEIVED: usize = 2 * proxy_header::MAX_BYTES;

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its PROXY header is to come.
    Proxy,
    /// Its TLS handshake is under way.
    Handshake,
    /// Between requests; or its last answer is still on its way.
    Idle,
    /// A head is under way.
    Head,
    /// It has had its last answer; what it still sends is thrown away.
    Closing,
}

/// Why nothing more can be done with a connection.
#[derive(Debug)]
pub(super) struct Gone;

/// See the module.
pub(super) struct Conn {
    pub client: TcpStream,
    /// Who it is: its own address, or what its PROXY header says.
    pub peer: SocketAddr,
    /// Whom it counts for in the limit of connections; `None` while that is not known.
    pub network: Option<IpAddr>,
    pub tls: Option<Box<ServerSession>>,
    pub secure: bool,
    pub stage: Stage,
    /// When the stage began.
    pub since: Instant,
    /// The poll that tells of it.
    pub home: usize,
    /// Requests that have come on it.
    pub requests: u32,
    /// What has come and was not taken yet; ciphertext only while a PROXY header is to come.
    pub input: Buffer,
    /// Up to here the input was searched for a head's end.
    pub searched: usize,
    pub output: Buffer,
    /// When the client last took some of the output.
    pub progress: Instant,
    /// There may be more to read.
    pub readable: bool,
    /// The system has told that the client ends its side; it may have to be read yet.
    pub is_end_told: bool,
    /// The client has ended its side.
    pub has_ended: bool,
    /// We have ended ours.
    pub is_shut: bool,
    /// What passes on all connections of clients.
    pub traffic: Arc<Traffic>,
}

impl Conn {
    pub fn enter(&mut self, stage: Stage, now: Instant) {
        self.stage = stage;
        self.since = now;
        self.searched = 0;
    }

    /// Reads what is there; how many bytes of plaintext that has brought.
    pub fn receive(&mut self) -> Result<usize, Gone> {
        let before = self.input.len();
        while self.readable && !self.has_ended {
            let amount = scratch::with(|scratch| {
                let room = scratch.len();
                let amount = self.read_socket(scratch)?;
                // A short read has emptied the socket, and what comes later is told of again; but for an end
                // that was told of together with the bytes before it.
                self.readable &= amount == room || self.is_end_told;
                self.take_in(&scratch[..amount]).map(|()| amount)
            })?;
            if amount == 0 || self.input.len() - before >= MAX_RECEIVED {
                break;
            }
        }
        Ok(self.input.len() - before)
    }

    /// What the socket has, and 0 where that is nothing or the end.
    pub fn read_socket(&mut self, buf: &mut [u8]) -> Result<usize, Gone> {
        match rustix::net::recv(&self.client, buf, RecvFlags::DONTWAIT) {
            Ok((0, _)) => {
                self.has_ended = true;
                Ok(0)
            }
            Ok((amount, _)) => Ok(amount),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {
                self.readable = false;
                Ok(0)
            }
            Err(_) => Err(Gone),
        }
    }

    /// Adds what was read from the socket to the input.
    pub fn take_in(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        // What stands behind a PROXY header comes here once more.
        let is_proxy_header = self.stage == Stage::Proxy;
        let Some(tls) = self.tls.as_mut().filter(|_| !is_proxy_header) else {
            self.input.push(bytes);
            if !is_proxy_header {
                self.traffic.has_received(bytes.len());
            }
            return Ok(());
        };
        if bytes.is_empty() {
            return Ok(());
        }
        let before = self.input.len();
        let received = tls.receive(bytes, self.input.end());
        self.traffic.has_received(self.input.len() - before);
        tls.drain(self.output.end()).map_err(|_| Gone)?;
        match received {
            Ok(has_closed) => {
                self.has_ended |= has_closed;
                Ok(())
            }
            Err(_) => {
                // The alert that says why.
                let _ = self.flush(self.since);
                Err(Gone)
            }
        }
    }

    /// Sends this to the client as far as it takes it; the rest stays in the output.
    pub fn send(&mut self, plaintext: &[u8], now: Instant) -> Result<(), Gone> {
        if self.output.is_empty() {
            self.progress = now;
        }
        self.traffic.has_sent(plaintext.len());
        let Some(tls) = &mut self.tls else {
            let sent = if self.output.is_empty() { self.write_socket(plaintext)? } else { 0 };
            self.output.push(&plaintext[sent..]);
            return Ok(());
        };
        tls.send(plaintext, self.output.end()).map_err(|_| Gone)?;
        self.flush(now)
    }

    /// Writes what the client takes of the output.
    pub fn flush(&mut self, now: Instant) -> Result<(), Gone> {
        while !self.output.is_empty() {
            let sent = self.write_socket(self.output.bytes())?;
            if sent == 0 {
                break;
            }
            self.output.consume(sent);
            self.progress = now;
            // Its silence begins when it has taken all.
            if self.output.is_empty() && matches!(self.stage, Stage::Idle | Stage::Closing) {
                self.since = now;
            }
        }
        Ok(())
    }

    fn write_socket(&self, bytes: &[u8]) -> Result<usize, Gone> {
        if bytes.is_empty() {
            return Ok(0);
        }
        match rustix::net::send(&self.client, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(amount) => Ok(amount),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(0),
            Err(_) => Err(Gone),
        }
    }

    /// Whether something has come that was not read yet.
    pub fn has_unread(&self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        matches!(rustix::net::recv(&self.client, &mut [0; 1], flags), Ok((1.., _)))
    }

    /// After what is in the output nothing more is said. TLS ends in order only where the answer was whole.
    pub fn close(&mut self, in_order: bool, now: Instant) -> Result<(), Gone> {
        if let Some(tls) = self.tls.as_mut().filter(|_| in_order) {
            tls.close();
            tls.drain(self.output.end()).map_err(|_| Gone)?;
        }
        self.enter(Stage::Closing, now);
        self.progress = now;
        self.flush(now)
    }

    /// Ends our side, once all has gone.
    pub fn shut(&mut self) {
        if !self.is_shut {
            self.is_shut = true;
            // An error means that it has ended already.
            let _ = self.client.shutdown(Shutdown::Write);
        }
    }

    /// What comes of it when it is let go: the client is told that something was cut.
    pub fn reset_at_close(&self) {
        let _ = socket2::SockRef::from(&self.client).set_linger(Some(std::time::Duration::ZERO));
    }

    /// Reads the PROXY header, if it is all there: `false` where it is not.
    pub fn take_proxy_header(&mut self) -> Result<bool, Gone> {
        match proxy_header::parse(self.input.bytes()) {
            Parsed::Partial => Ok(false),
            Parsed::Malformed => Err(Gone),
            Parsed::Whole(client, length) => {
                self.peer = client.unwrap_or(self.peer);
                self.input.consume(length);
                Ok(true)
            }
        }
    }

    /// What stood behind the PROXY header is TLS's.
    pub fn feed_tls(&mut self) -> Result<(), Gone> {
        let bytes = self.input.bytes().to_vec();
        self.input.clear();
        self.take_in(&bytes)
    }
}

/// An error of the socket.
pub(super) fn broken() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}
