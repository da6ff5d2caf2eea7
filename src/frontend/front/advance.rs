//! Advances a connection that the front holds: its PROXY header, its TLS handshake, the next head, its end.
//! Nothing here waits.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::conn::{Conn, Gone, Stage};
use super::core::Core;
use super::head::{self, Parsed};
use super::poll::Ready;
use crate::frontend::refused_head::{RefusedHead, refusal};
use crate::http::RequestHead;

/// Reads of discarded input per call, before other connections have their turn.
const MAX_THROWN_AWAY: usize = 32;

/// What follows for a connection that was advanced.
pub(super) enum Next {
    /// The front keeps it.
    Stays,
    /// A request has arrived; the connection is lent to a worker.
    Lends(RequestHead),
}

impl Core {
    /// Does everything that is possible now.
    pub fn advance(&self, conn: &mut Conn, index: usize, ready: Ready, now: Instant) -> Result<Next, Gone> {
        conn.readable |= ready.read;
        conn.is_end_told |= ready.ended;
        if ready.broken && !ready.read {
            return Err(Gone);
        }
        conn.flush(now)?;
        loop {
            let stage = conn.stage;
            match stage {
                // Unsent output first: a client must not make the front buffer answers without end.
                Stage::Idle if !conn.output.is_empty() => break,
                Stage::Idle | Stage::Head => {
                    if let Some(head) = self.take_head(conn, now)? {
                        return Ok(Next::Lends(head));
                    }
                }
                Stage::Proxy => {
                    conn.receive()?;
                    if conn.take_proxy_header()? {
                        self.count_network(conn)?;
                        conn.enter(if conn.secure { Stage::Handshake } else { Stage::Idle }, now);
                        conn.feed_tls()?;
                    }
                }
                Stage::Handshake => {
                    conn.receive()?;
                    conn.flush(now)?;
                    if conn.tls.as_ref().is_none_or(|tls| !tls.is_handshaking()) {
                        conn.enter(Stage::Idle, now);
                        self.move_in(conn, index)?;
                    }
                }
                Stage::Closing => {
                    self.throw_away(conn, index, now)?;
                }
            }
            if conn.stage == stage {
                break;
            }
        }
        self.close_if_over(conn)
    }

    /// Reads and discards what the client still sends. Unread input would turn the close into a reset, which
    /// may cost the client the answer.
    fn throw_away(&self, conn: &mut Conn, index: usize, now: Instant) -> Result<(), Gone> {
        for _ in 0..MAX_THROWN_AWAY {
            if conn.receive()? > 0 {
                conn.since = now;
            }
            conn.input.clear();
            if !conn.readable || conn.has_ended {
                return Ok(());
            }
        }
        // There is more. Re-arming the poll reports it again, after other connections had their turn.
        self.polls[conn.home].hush(&conn.client, index, false).map_err(|_| Gone)
    }

    /// Moves a connection from its handshake loop to a client loop.
    fn move_in(&self, conn: &mut Conn, index: usize) -> Result<(), Gone> {
        let home = self.turn.load(Relaxed) % self.client_loops;
        self.polls[conn.home].remove(&conn.client).map_err(|_| Gone)?;
        conn.home = home;
        // Adding it reports what has arrived by now.
        self.polls[home].add(&conn.client, index).map_err(|_| Gone)
    }

    fn close_if_over(&self, conn: &mut Conn) -> Result<Next, Gone> {
        if !conn.output.is_empty() {
            return Ok(Next::Stays);
        }
        if conn.has_ended {
            return Err(Gone);
        }
        if conn.stage == Stage::Closing {
            // Ends our side; the client may still be sending.
            conn.shut();
        }
        Ok(Next::Stays)
    }

    fn take_head(&self, conn: &mut Conn, now: Instant) -> Result<Option<RequestHead>, Gone> {
        let limit = (self.limits)().max_header_bytes;
        loop {
            if !conn.input.is_empty() {
                if conn.stage == Stage::Idle {
                    conn.enter(Stage::Head, now);
                }
                match head::parse(conn.input.bytes(), &mut conn.searched) {
                    Parsed::Whole(_, length) if length > limit => {
                        return self.refuse(conn, RefusedHead::TooLarge, now);
                    }
                    Parsed::Whole(head, length) => {
                        conn.input.consume(length);
                        return Ok(Some(head));
                    }
                    Parsed::TooManyFields => return self.refuse(conn, RefusedHead::TooLarge, now),
                    Parsed::Partial if conn.input.len() > limit => {
                        return self.refuse(conn, RefusedHead::TooLarge, now);
                    }
                    Parsed::Partial => {}
                    Parsed::Malformed => return self.refuse(conn, RefusedHead::Malformed, now),
                }
            }
            if conn.receive()? == 0 {
                return Ok(None);
            }
        }
    }

    /// Answers a head that is not accepted, and closes.
    pub fn refuse(
        &self,
        conn: &mut Conn,
        why: RefusedHead,
        now: Instant,
    ) -> Result<Option<RequestHead>, Gone> {
        let answer = refusal(why, conn.peer, &*self.dispatch);
        conn.send(answer.as_bytes(), now)?;
        conn.close(true, now)?;
        Ok(None)
    }
}
