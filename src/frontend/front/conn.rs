//! A client's connection, whoever holds it: socket, TLS session, and buffers. Nothing here waits.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use rustix::net::{RecvFlags, SendFlags};

use super::buffer::Buffer;
use super::registration::Registration;
use super::scratch;
use crate::http::proxy_header::{self, Parsed};
use crate::tls::ServerSession;
use crate::traffic::Traffic;

/// Limit of bytes per [`Conn::receive`]; room for the longest PROXY header.
const MAX_RECEIVED: usize = 2 * proxy_header::MAX_BYTES;

/// The stage of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Waits for the PROXY header.
    Proxy,
    /// In the TLS handshake.
    Handshake,
    /// Between requests; the last answer may still be unsent in part.
    Idle,
    /// Receives a head.
    Head,
    /// Has had its last answer; further input is discarded.
    Closing,
}

/// Nothing more can be done with the connection, so the caller must drop it.
#[derive(Debug)]
pub(super) struct Gone;

/// See the module.
pub(super) struct Conn {
    pub client: TcpStream,
    /// The client's address: the socket's peer, or what the PROXY header says.
    pub peer: SocketAddr,
    pub tls: Option<Box<ServerSession>>,
    pub secure: bool,
    pub stage: Stage,
    /// When the stage began.
    pub since: Instant,
    /// The index of the poll it is in.
    pub home: usize,
    /// Requests so far.
    pub requests: u32,
    /// Received but not consumed; ciphertext only in [`Stage::Proxy`].
    pub input: Buffer,
    /// The input is searched for a head's end up to here.
    pub searched: usize,
    pub output: Buffer,
    /// When the client last took some of the output.
    pub progress: Instant,
    /// Whether there may be more to read.
    pub readable: bool,
    /// The poll has reported the client's FIN; bytes before it may still be unread.
    pub is_end_told: bool,
    /// The client's FIN, or its TLS close, has been read.
    pub has_ended: bool,
    /// We have sent our FIN.
    pub is_shut: bool,
    /// Counts the bytes of all client connections.
    pub traffic: Arc<Traffic>,
    /// The last field, so that the socket is closed first: another connection may take the slot as soon as it
    /// is free.
    pub registration: Registration,
}

impl Conn {
    pub fn enter(&mut self, stage: Stage, now: Instant) {
        self.stage = stage;
        self.since = now;
        self.searched = 0;
    }

    /// Reads what has arrived; returns the number of plaintext bytes added to the input.
    pub fn receive(&mut self) -> Result<usize, Gone> {
        let before = self.input.len();
        while self.readable && !self.has_ended {
            let amount = scratch::with(|scratch| {
                let room = scratch.len();
                let amount = self.read_socket(scratch)?;
                // A short read has emptied the socket, and the poll reports later bytes. Not so if the FIN
                // was already reported together with these bytes: then it must still be read.
                self.readable &= amount == room || self.is_end_told;
                self.take_in(&scratch[..amount]).map(|()| amount)
            })?;
            if amount == 0 || self.input.len() - before >= MAX_RECEIVED {
                break;
            }
        }
        Ok(self.input.len() - before)
    }

    /// Reads from the socket; 0 if nothing has arrived or the client has ended.
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

    /// Adds bytes from the socket to the input, decrypted if need be.
    pub fn take_in(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        // Bytes behind a PROXY header are passed here once more, by `feed_tls`.
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
                // Sends the alert that says why.
                let _ = self.flush(self.since);
                Err(Gone)
            }
        }
    }

    /// Sends as much to the client as it takes; the rest stays in the output.
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

    /// Writes as much of the output as the client takes.
    pub fn flush(&mut self, now: Instant) -> Result<(), Gone> {
        while !self.output.is_empty() {
            let sent = self.write_socket(self.output.bytes())?;
            if sent == 0 {
                break;
            }
            self.output.consume(sent);
            self.progress = now;
            // Idle and linger times count from the moment the client has taken everything.
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

    /// Whether unread bytes are in the socket.
    pub fn has_unread(&self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        matches!(rustix::net::recv(&self.client, &mut [0; 1], flags), Ok((1.., _)))
    }

    /// Ends the connection after the output. `in_order` ends the TLS session, too, which only a complete
    /// answer allows.
    pub fn close(&mut self, in_order: bool, now: Instant) -> Result<(), Gone> {
        if let Some(tls) = self.tls.as_mut().filter(|_| in_order) {
            tls.close();
            tls.drain(self.output.end()).map_err(|_| Gone)?;
        }
        self.enter(Stage::Closing, now);
        self.progress = now;
        self.flush(now)
    }

    /// Sends our FIN, once the output is empty.
    pub fn shut(&mut self) {
        if !self.is_shut {
            self.is_shut = true;
            // An error means that the connection has ended already.
            let _ = self.client.shutdown(Shutdown::Write);
        }
    }

    /// Makes the later close a reset, so that the client knows the answer was cut.
    pub fn reset_at_close(&self) {
        let _ = socket2::SockRef::from(&self.client).set_linger(Some(std::time::Duration::ZERO));
    }

    /// Consumes the PROXY header; `false` if it is not complete yet.
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

    /// Passes the bytes behind the PROXY header to TLS.
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
