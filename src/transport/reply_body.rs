//! The body of a backend's answer, as it arrives. The connection is returned to the pool when the last byte
//! has been read, before the client has received it.

use std::io;
use std::time::Duration;

use ureq_proto::BodyMode;

use super::connection::Connection;
use super::framing::Framing;
use super::upload::{Broken, Step, Upload};
use super::{Limits, ReplyBody};
use crate::client_side::ClientSide;
use crate::http::Headers;
use crate::http::chunked::Decoder;
use crate::readiness::is_moment;

/// The part of the body that is still to come.
enum Left {
    Nothing,
    Length(u64),
    Chunks(Box<Decoder>),
    /// Everything until the connection is closed.
    UntilClose,
}

/// See the module.
pub struct Incoming {
    /// `None` after the body has ended.
    connection: Option<Connection>,
    left: Left,
    keeps: bool,
    /// The part of the request's body that is still to be sent.
    upload: Option<Upload>,
    limits: Option<Limits>,
    trailers: Headers,
}

impl Incoming {
    /// The body of an answer, to be read from this connection.
    pub fn new(connection: Connection, framing: Framing, upload: Option<Upload>, limits: Limits) -> Incoming {
        let left = match framing.mode {
            BodyMode::NoBody | BodyMode::LengthDelimited(0) => Left::Nothing,
            BodyMode::LengthDelimited(length) => Left::Length(length),
            BodyMode::Chunked => Left::Chunks(Box::default()),
            BodyMode::CloseDelimited => Left::UntilClose,
        };
        let keeps = framing.keeps;
        let (limits, trailers) = (Some(limits), Headers::default());
        let mut body = Incoming { connection: Some(connection), left, keeps, upload, limits, trailers };
        body.release_if_over();
        body
    }

    /// An empty body.
    pub fn none() -> Incoming {
        let (left, trailers) = (Left::Nothing, Headers::default());
        Incoming { connection: None, left, keeps: false, upload: None, limits: None, trailers }
    }

    fn release_if_over(&mut self) {
        if !matches!(self.left, Left::Nothing) {
            return;
        }
        let is_sent = self.upload.as_ref().is_none_or(Upload::is_over);
        if let Some(connection) = self.connection.take().filter(|_| self.keeps && is_sent) {
            connection.keep();
        }
    }

    /// Takes bytes from the input, decoded.
    fn take(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some(connection) = &mut self.connection else { return Ok(0) };
        let here = connection.input.bytes();
        let most = here.len().min(buf.len());
        let (taken, amount) = match &mut self.left {
            Left::Nothing => (0, 0),
            Left::UntilClose => (most, most),
            Left::Length(left) => {
                let amount = most.min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= amount as u64;
                (amount, amount)
            }
            Left::Chunks(decoder) => {
                decoder.take_into(here, buf).map_err(|_| io::Error::other("malformed chunks"))?
            }
        };
        match &self.left {
            Left::Chunks(decoder) if decoder.is_done() => {
                self.trailers = decoder.trailers();
                self.left = Left::Nothing;
            }
            Left::Chunks(_) => {}
            _ => buf[..amount].copy_from_slice(&here[..amount]),
        }
        connection.input.consume(taken);
        if matches!(self.left, Left::Length(0)) {
            self.left = Left::Nothing;
        }
        Ok(amount)
    }

    /// Waits for more of the body, read into the input or, if possible, directly into `buf`.
    fn wait(&mut self, buf: &mut [u8], client: &mut dyn ClientSide) -> io::Result<Waited> {
        let (Some(connection), Some(limits)) = (&mut self.connection, &self.limits) else {
            return Ok(Waited::Ended);
        };
        if let Some(mut upload) = self.upload.take() {
            match upload.step(connection, client, limits) {
                Ok(Step::Over) => return Ok(Waited::Again),
                Ok(Step::Moved) if client.readiness().is_some() => {
                    self.upload = Some(upload);
                    return Ok(Waited::Again);
                }
                Ok(_) => {
                    self.upload = Some(upload);
                    return match connection.try_read_more() {
                        Ok(0) => Ok(Waited::Ended),
                        Ok(_) => Ok(Waited::Again),
                        Err(error) if is_moment(&error) => Ok(Waited::Again),
                        Err(error) => Err(error),
                    };
                }
                // The upload has failed, but the backend may still send its answer, and the client may still
                // wait for it.
                Err(Broken::Client | Broken::Backend(_)) => {
                    self.keeps = false;
                    return Ok(Waited::Again);
                }
            }
        }
        let straight = match self.left {
            Left::Length(left) => usize::try_from(left).unwrap_or(usize::MAX).min(buf.len()),
            Left::UntilClose => buf.len(),
            Left::Nothing | Left::Chunks(_) => 0,
        };
        let amount = match straight {
            0 => connection.read_more(limits.request)?,
            most => connection.read(&mut buf[..most], limits.request)?,
        };
        match amount {
            0 => Ok(Waited::Ended),
            _ if straight == 0 => Ok(Waited::Again),
            _ => Ok(Waited::Read(amount)),
        }
    }

    fn ended(&mut self) -> io::Result<usize> {
        match self.left {
            Left::UntilClose | Left::Nothing => {
                self.left = Left::Nothing;
                self.release_if_over();
                Ok(0)
            }
            Left::Length(_) | Left::Chunks(_) => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// The result of a wait.
enum Waited {
    /// The backend has ended its side.
    Ended,
    /// The input may have more bytes.
    Again,
    /// This many bytes were read directly into the buffer.
    Read(usize),
}

impl ReplyBody for Incoming {
    fn read(&mut self, buf: &mut [u8], client: &mut dyn ClientSide) -> io::Result<usize> {
        loop {
            if matches!(self.left, Left::Nothing) || buf.is_empty() {
                self.release_if_over();
                return Ok(0);
            }
            let amount = self.take(buf)?;
            if amount > 0 {
                self.release_if_over();
                return Ok(amount);
            }
            if matches!(self.left, Left::Nothing) {
                continue;
            }
            match self.wait(buf, client)? {
                Waited::Again => {}
                Waited::Ended => return self.ended(),
                Waited::Read(amount) => {
                    if let Left::Length(left) = &mut self.left {
                        *left -= amount as u64;
                        if *left == 0 {
                            self.left = Left::Nothing;
                            self.release_if_over();
                        }
                    }
                    return Ok(amount);
                }
            }
        }
    }

    fn wait_at_most(&mut self, limit: Duration) {
        if let Some(limits) = &mut self.limits {
            limits.request = limit;
        }
    }

    fn trailers(&mut self) -> Headers {
        std::mem::take(&mut self.trailers)
    }
}
