//! One client's connection, as the front holds it: from its first byte to its last, without ever waiting.

use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Instant;

use proxy_header::{ParseConfig, ProxyHeader};

use super::buffer::Buffer;
use super::exchange::Exchange;
use crate::tls::ServerSession;

/// The longest PROXY header is one of version 2 with its extensions.
const MAX_PROXY_HEADER_BYTES: usize = 4096;

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its PROXY header is to come.
    Proxy,
    /// Its TLS handshake is under way.
    Handshake,
    /// Between requests.
    Idle,
    /// A head is under way.
    Head,
    /// A request is.
    Exchange,
    /// It has had its last answer; what it still sends is thrown away.
    Closing,
}

/// What a client is still to get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owes {
    Nothing,
    /// An answer, whose request is under way.
    Answer,
    /// The rest of an answer whose request has ended.
    Rest,
}

/// Why nothing more can be done with a connection.
#[derive(Debug)]
pub(super) struct Gone;

/// See the module.
pub(super) struct Conn {
    pub client: TcpStream,
    /// Who it is: its own address, or what its PROXY header says.
    pub peer: SocketAddr,
    /// Whom it counts for in the limit of connections.
    pub network: IpAddr,
    pub tls: Option<Box<ServerSession>>,
    pub secure: bool,
    pub stage: Stage,
    /// When the stage began.
    pub since: Instant,
    /// What has come and was not taken yet; ciphertext only while a PROXY header is to come.
    pub input: Buffer,
    pub output: Buffer,
    /// When it last took some of the output.
    pub progress: Instant,
    /// The client has ended its side.
    pub has_ended: bool,
    pub exchange: Option<Exchange>,
    /// What it is counted under.
    pub owes: Owes,
    /// What the poller was asked for last.
    pub interest: (bool, bool),
}

impl Conn {
    pub fn client_ready(&mut self, readable: bool, scratch: &mut [u8]) -> Result<(), Gone> {
        if readable && !self.has_ended { self.receive(scratch) } else { Ok(()) }
    }

    /// A piece of the answer.
    pub fn bridge_ready(&mut self, readable: bool, scratch: &mut [u8], now: Instant) -> Result<(), Gone> {
        let Some(exchange) = self.exchange.as_mut().filter(|_| readable) else { return Ok(()) };
        match (&exchange.bridge.stream).read(scratch) {
            Ok(0) => exchange.bridge_ended = true,
            Ok(amount) => {
                let amount = exchange.note_answer(&scratch[..amount]);
                return self.send(&scratch[..amount], now);
            }
            Err(error) if is_moment(&error) => {}
            Err(_) => exchange.bridge_ended = true,
        }
        Ok(())
    }

    /// What is still to be sent.
    pub fn owing(&self) -> Owes {
        match (&self.exchange, self.stage) {
            (Some(exchange), _) if exchange.handed.told().ending.is_none() => Owes::Answer,
            (Some(_), _) => Owes::Rest,
            (None, Stage::Proxy | Stage::Handshake) => Owes::Nothing,
            (None, _) if self.output.is_empty() => Owes::Nothing,
            (None, _) => Owes::Rest,
        }
    }

    /// Whether something has come that was not read yet.
    pub fn has_unread(&self) -> bool {
        matches!(self.client.peek(&mut [0]), Ok(1..))
    }

    pub fn enter(&mut self, stage: Stage, now: Instant) {
        self.stage = stage;
        self.since = now;
    }

    /// Reads what is there, a piece at most.
    pub fn receive(&mut self, scratch: &mut [u8]) -> Result<(), Gone> {
        match (&self.client).read(scratch) {
            Ok(0) => {
                self.has_ended = true;
                Ok(())
            }
            Ok(amount) => self.take_in(&scratch[..amount]),
            Err(error) if is_moment(&error) => Ok(()),
            Err(_) => Err(Gone),
        }
    }

    fn take_in(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        let Some(tls) = self.tls.as_mut().filter(|_| self.stage != Stage::Proxy) else {
            self.input.push(bytes);
            return Ok(());
        };
        let received = tls.receive(bytes, self.input.end());
        tls.drain(self.output.end()).map_err(|_| Gone)?;
        match received {
            Ok(has_closed) => {
                self.has_ended |= has_closed;
                Ok(())
            }
            Err(_) => {
                // The alert that says why.
                let _ = self.output.write_to(&self.client);
                Err(Gone)
            }
        }
    }

    /// Sends this to the client.
    pub fn send(&mut self, plaintext: &[u8], now: Instant) -> Result<(), Gone> {
        if self.output.is_empty() {
            self.progress = now;
        }
        match &mut self.tls {
            Some(tls) => tls.send(plaintext, self.output.end()).map_err(|_| Gone),
            None => {
                self.output.push(plaintext);
                Ok(())
            }
        }
    }

    /// Writes what the client takes. Its silence begins when it has taken all.
    pub fn flush(&mut self, now: Instant) -> Result<(), Gone> {
        if self.output.write_to(&self.client).map_err(|_| Gone)? > 0 {
            self.progress = now;
            if self.output.is_empty() && matches!(self.stage, Stage::Idle | Stage::Closing) {
                self.since = now;
            }
        }
        Ok(())
    }

    /// Reads the PROXY header, if it is all there: `false` where it is not. Versions 1 and 2 of
    /// <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>.
    pub fn take_proxy_header(&mut self) -> Result<bool, Gone> {
        let config = ParseConfig::default();
        let (source, length) = match ProxyHeader::parse(self.input.bytes(), config) {
            Ok((header, length)) => (header.proxied_address().map(|address| address.source), length),
            Err(proxy_header::Error::BufferTooShort) if self.input.len() < MAX_PROXY_HEADER_BYTES => {
                return Ok(false);
            }
            Err(_) => return Err(Gone),
        };
        // Without an address it is the proxy itself that asks (a health check).
        self.peer = source.unwrap_or(self.peer);
        self.input.consume(length);
        Ok(true)
    }

    /// What stood behind the PROXY header is TLS's.
    pub fn feed_tls(&mut self) -> Result<(), Gone> {
        let bytes = self.input.bytes().to_vec();
        self.input.clear();
        if bytes.is_empty() { Ok(()) } else { self.take_in(&bytes) }
    }
}

pub(super) fn is_moment(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
