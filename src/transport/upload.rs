//! Sends the request's body to the backend. The upload never delays the answer: every wait for the client or
//! for room also listens to the backend, which may answer before it has received the whole body.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::Limits;
use super::connection::Connection;
use crate::client_side::ClientSide;
use crate::http::BodyLength;
use crate::readiness::{self, Interest, is_moment};

/// The size of one read of the client's body.
const PIECE_BYTES: usize = 16 << 10;
/// The hexadecimal size of a chunk and two line ends.
const CHUNK_OVERHEAD: usize = 16 + 4;

/// See the module.
pub struct Upload {
    /// Bytes still to come from the client; `None` for a chunked body.
    left: Option<u64>,
    /// The client has sent everything.
    is_whole: bool,
    /// Taken from the client, to be sent to the backend.
    pending: Vec<u8>,
    /// How much of `pending` has been sent.
    sent: usize,
    /// When bytes last moved.
    progress: Instant,
    /// Steps since the backend was last checked for an answer.
    unheard: u8,
}

/// If client and backend are so fast that no step waits, the backend is still checked for an answer once in
/// this many steps.
const MAX_UNHEARD: u8 = 8;

/// Who has broken off an upload.
#[derive(Debug)]
pub enum Broken {
    /// The client: it is gone, too slow, or sends malformed data.
    Client,
    /// The backend's connection.
    Backend(io::Error),
}

/// The result of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The backend may have sent something.
    BackendSpeaks,
    /// Bytes moved; there may be more.
    Moved,
    /// Everything has been sent.
    Over,
}

impl Upload {
    /// An upload of this length; `None` without a body.
    pub fn of(length: BodyLength) -> Option<Upload> {
        let left = match length {
            BodyLength::None | BodyLength::Known(0) => return None,
            BodyLength::Known(length) => Some(length),
            BodyLength::Chunked => None,
        };
        Some(Upload {
            left,
            is_whole: false,
            pending: Vec::new(),
            sent: 0,
            progress: Instant::now(),
            unheard: 0,
        })
    }

    /// The head, followed by the part of the body that has already arrived, to be sent in one write.
    ///
    /// # Errors
    /// See [`Broken`].
    pub fn head_start(&mut self, head: Vec<u8>, client: &mut dyn ClientSide) -> Result<Vec<u8>, Broken> {
        self.pending = head;
        if client.readiness().is_some() {
            self.take(client)?;
        }
        Ok(std::mem::take(&mut self.pending))
    }

    /// Whether everything has been sent.
    pub fn is_over(&self) -> bool {
        self.is_whole && self.pending.is_empty()
    }

    /// Does what is possible without waiting; if that is nothing, waits for the client or for room, and for
    /// the backend.
    ///
    /// # Errors
    /// See [`Broken`]; the backend's is `TimedOut` if it took nothing for `timeouts.request`.
    pub fn step(
        &mut self,
        connection: &Connection,
        client: &mut dyn ClientSide,
        limits: &Limits,
    ) -> Result<Step, Broken> {
        let has_moved = self.send(connection)? | (self.pending.is_empty() && self.take(client)?);
        if self.is_over() && !connection.has_unsent() {
            return Ok(Step::Over);
        }
        if has_moved {
            self.progress = Instant::now();
            self.unheard += 1;
            if self.unheard < MAX_UNHEARD {
                return Ok(Step::Moved);
            }
            self.unheard = 0;
            return Ok(Step::BackendSpeaks);
        }
        self.wait(connection, client, limits)
    }

    /// Sends to the backend; returns whether anything moved.
    fn send(&mut self, connection: &Connection) -> Result<bool, Broken> {
        if self.pending.is_empty() && !connection.has_unsent() {
            return Ok(false);
        }
        match connection.try_write(&self.pending[self.sent..]) {
            Ok(amount) => self.sent += amount,
            Err(error) if is_moment(&error) => return Ok(false),
            Err(error) => return Err(Broken::Backend(error)),
        }
        if self.sent == self.pending.len() {
            self.pending.clear();
            self.sent = 0;
        }
        Ok(true)
    }

    /// Takes from the client; returns whether anything arrived.
    fn take(&mut self, client: &mut dyn ClientSide) -> Result<bool, Broken> {
        if self.is_whole {
            return Ok(false);
        }
        let mut piece = [0; PIECE_BYTES];
        let most = self
            .left
            .map_or(PIECE_BYTES, |left| PIECE_BYTES.min(usize::try_from(left).unwrap_or(PIECE_BYTES)));
        let result = match client.readiness() {
            Some(_) => client.try_read(&mut piece[..most]),
            None => client.read(&mut piece[..most]),
        };
        match result {
            Ok(amount) => self.push(&piece[..amount], client),
            Err(error) if is_moment(&error) => Ok(false),
            Err(_) => Err(Broken::Client),
        }
    }

    fn push(&mut self, data: &[u8], client: &mut dyn ClientSide) -> Result<bool, Broken> {
        match &mut self.left {
            Some(_) if data.is_empty() => return Err(Broken::Client),
            Some(left) => {
                *left -= data.len() as u64;
                self.is_whole = *left == 0;
                self.pending.extend_from_slice(data);
            }
            None if data.is_empty() => {
                self.is_whole = true;
                self.pending.extend_from_slice(b"0\r\n");
                for (name, value) in client.trailers().iter() {
                    self.pending.extend_from_slice(name.as_bytes());
                    self.pending.extend_from_slice(b": ");
                    self.pending.extend_from_slice(value);
                    self.pending.extend_from_slice(b"\r\n");
                }
                self.pending.extend_from_slice(b"\r\n");
            }
            None => {
                self.pending.reserve(data.len() + CHUNK_OVERHEAD);
                // Writing to a Vec can't fail.
                let _ = write!(self.pending, "{:x}\r\n", data.len());
                self.pending.extend_from_slice(data);
                self.pending.extend_from_slice(b"\r\n");
            }
        }
        Ok(true)
    }

    fn wait(
        &mut self,
        connection: &Connection,
        client: &mut dyn ClientSide,
        limits: &Limits,
    ) -> Result<Step, Broken> {
        let has_pending = !self.pending.is_empty() || connection.has_unsent();
        let limit = if has_pending { limits.request } else { limits.client_body };
        let left = limit.saturating_sub(self.progress.elapsed());
        let backend = (connection.as_fd(), Interest { read: true, write: has_pending });
        let ready = match client.readiness().filter(|_| !has_pending) {
            Some(body) => {
                let waiting = Instant::now();
                let [backend, client] = wait([backend, (body, Interest::READ)], left)?;
                connection.has_waited_for_client(waiting.elapsed());
                (backend.read, backend.write || client.read)
            }
            None => {
                let [backend] = wait([backend], left)?;
                (backend.read, backend.write)
            }
        };
        match ready {
            (true, _) => Ok(Step::BackendSpeaks),
            (_, true) => Ok(Step::Moved),
            _ if self.progress.elapsed() < limit => Ok(Step::Moved),
            _ if has_pending => Err(Broken::Backend(io::ErrorKind::TimedOut.into())),
            _ => {
                client.give_up();
                Err(Broken::Client)
            }
        }
    }
}

fn wait<const N: usize>(
    sockets: [(std::os::fd::BorrowedFd<'_>, Interest); N],
    limit: Duration,
) -> Result<[readiness::Ready; N], Broken> {
    readiness::wait(sockets, Some(limit)).map_err(Broken::Backend)
}
