//! Passes bytes in both directions once a backend has granted an upgrade (WebSocket, mostly).
//!
//! The worker leaves the pool and serves both directions. Bytes that the receiving side has no room for stay
//! pending, and no more are read until they are sent. The tunnel ends when the backend ends its side. When
//! the client ends its side, that end is passed on to the backend, whose last bytes are still relayed.

use std::io;
use std::time::Duration;

use super::{End, Outcome, Refusal};
use crate::duplex::Duplex;
use crate::frontend::ClientRequest;
use crate::http::Headers;
use crate::pool::Lease;
use crate::readiness::{self, Interest, is_moment};

/// Buffer for one read; most frames are small.
const PIECE_BYTES: usize = 16 << 10;
/// How long the backend may be silent after the client's end was passed on to it.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Sends the answer's head with these fields and runs the tunnel to its end.
pub fn relay(
    request: &mut ClientRequest,
    headers: &Headers,
    mut backend: Box<dyn Duplex>,
    lease: Lease,
) -> Outcome {
    if !request.place.as_ref().is_some_and(|place| place.leave()) {
        return Outcome::refused(request, Refusal::TooManyStreams);
    }
    let name = Some(lease.backend().name().to_owned());
    let end = match request.responder.start_tunnel(headers) {
        Ok(mut client) => {
            let bytes = carry(&mut *client, &mut *backend);
            request.responder.add_bytes(bytes);
            End::Relayed
        }
        Err(_) => End::ClientGone,
    };
    request.responder.break_off();
    Outcome { status: 101, backend: name, pool: None, attempts: 1, end }
}

/// One direction of the tunnel.
#[derive(Default)]
struct Flow {
    /// Bytes read and not completely written.
    pending: Vec<u8>,
    /// How many bytes of `pending` are written.
    written: usize,
    /// The sending side has ended.
    has_ended: bool,
    bytes: u64,
}

/// Runs until the backend ends or either side fails; returns the number of bytes sent to the client.
fn carry(client: &mut dyn Duplex, backend: &mut dyn Duplex) -> u64 {
    let (mut up, mut down) = (Flow::default(), Flow::default());
    let mut is_told = false;
    loop {
        let (Ok(up_moved), Ok(down_moved)) = (up.pass(client, backend), down.pass(backend, client)) else {
            return down.bytes;
        };
        if up.has_ended && up.is_empty() && !backend.has_unsent() && !is_told {
            is_told = true;
            backend.end_sending();
        }
        if down.has_ended && down.is_empty() && !client.has_unsent() {
            client.end_sending();
            return down.bytes;
        }
        if up_moved || down_moved {
            continue;
        }
        let limit = is_told.then_some(LAST_WORDS);
        let ready = readiness::wait(
            [
                (
                    client.readiness(),
                    Interest { read: up.wants(), write: !down.is_empty() || client.has_unsent() },
                ),
                (
                    backend.readiness(),
                    Interest { read: down.wants(), write: !up.is_empty() || backend.has_unsent() },
                ),
            ],
            limit,
        );
        let is_silent = |ready: &readiness::Ready| !ready.read && !ready.write;
        match ready {
            Ok(ready) if limit.is_some() && ready.iter().all(is_silent) => return down.bytes,
            Ok(_) => {}
            Err(_) => return down.bytes,
        }
    }
}

impl Flow {
    fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    fn wants(&self) -> bool {
        self.pending.is_empty() && !self.has_ended
    }

    /// Moves bytes from one side to the other; returns whether any progress was made.
    fn pass(&mut self, from: &mut dyn Duplex, to: &mut dyn Duplex) -> io::Result<bool> {
        let mut has_moved = false;
        if self.wants() {
            let mut piece = [0; PIECE_BYTES];
            match from.try_read(&mut piece) {
                Ok(0) => self.has_ended = true,
                Ok(amount) => self.pending.extend_from_slice(&piece[..amount]),
                Err(error) if is_moment(&error) => {}
                Err(error) => return Err(error),
            }
            has_moved = self.has_ended || !self.is_empty();
        }
        if self.is_empty() && !to.has_unsent() {
            return Ok(has_moved);
        }
        match to.try_write(&self.pending[self.written..]) {
            Ok(amount) => {
                self.written += amount;
                self.bytes += amount as u64;
                has_moved |= amount > 0;
            }
            Err(error) if is_moment(&error) => {}
            Err(error) => return Err(error),
        }
        if self.written == self.pending.len() {
            self.pending.clear();
            self.written = 0;
        }
        Ok(has_moved)
    }
}
