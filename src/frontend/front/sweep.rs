//! Enforces timeouts on a front's connections.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::conn::{Conn, Gone, Stage};
use super::core::Core;
use super::mode::Mode;
use super::poll::Ready;
use super::table::Holder;
use crate::frontend::limits::ClientLimits;
use crate::frontend::refused_head::RefusedHead;

/// A client that ends its side may be gone, or may have sent its last request and wait for the answer; only
/// sending to it would tell. So a request that still waits for a worker is dropped after this time, ...
const NOT_WORTH_A_WORKER: Duration = Duration::from_millis(500);
/// ... and a request that a worker handles is cancelled after this time. nginx cancels at once, HAProxy never
/// by default. A client that resets its connection is certainly gone, and frees its worker at once.
const GONE: Duration = Duration::from_secs(3);
/// How long a client may be silent after its last answer before the connection is closed (nginx: 5 s). Closing
/// while it still sends would reset the connection and could lose the answer (RFC 9112 section 9.6).
const LINGER: Duration = Duration::from_secs(1);
/// The same limit for a client that keeps sending (nginx: 30 s).
const MAX_LINGER: Duration = Duration::from_secs(5);
/// In a drain, connections silent for this long are closed. A connection in use sends its next request
/// sooner, and learns from the answer that it was the last.
pub(super) const DRAIN_IDLE: Duration = Duration::from_secs(1);
/// In a drain, the time for the rest of a head.
const DRAIN_HEAD: Duration = Duration::from_secs(3);

impl Core {
    /// Ends connections of one thread that exceed a timeout. Takes locks, one after the other.
    pub fn sweep(self: &Arc<Self>, home: usize, now: Instant) {
        let limits = self.limits_in(self.modes.told());
        for index in self.table.indices() {
            let Some(slot) = self.table.slot(index) else { continue };
            let mut slot = slot.lock();
            if let (Some(since), Holder::Worker(watch)) = (slot.ended_since, &slot.holder) {
                let (watch, ended_for) = (Arc::clone(watch), now.saturating_duration_since(since));
                drop(slot);
                if ended_for >= GONE {
                    watch.client_has_gone();
                } else if ended_for >= NOT_WORTH_A_WORKER {
                    watch.client_has_ended();
                }
                continue;
            }
            let expiry = match &slot.holder {
                Holder::Slot(conn) if conn.home == home => expiry(conn, &limits, now),
                _ => Expiry::Stays,
            };
            if expiry == Expiry::Stays {
                continue;
            }
            if let Holder::Slot(conn) = std::mem::replace(&mut slot.holder, Holder::Front) {
                let key = slot.key;
                drop(slot);
                self.end(conn, key, expiry, now);
            }
        }
    }

    fn limits_in(&self, mode: Mode) -> ClientLimits {
        let limits = (self.limits)();
        match mode {
            Mode::Accepting | Mode::Paused => limits,
            Mode::Draining => ClientLimits {
                client_idle: limits.client_idle.min(DRAIN_IDLE),
                client_header: limits.client_header.min(DRAIN_HEAD),
                ..limits
            },
            Mode::Ending => ClientLimits { client_idle: Duration::ZERO, ..limits },
        }
    }

    fn end(self: &Arc<Self>, mut conn: Box<Conn>, index: usize, expiry: Expiry, now: Instant) {
        let ended = match expiry {
            Expiry::Stays => Ok(()),
            Expiry::Cut => Err(Gone),
            Expiry::Farewell => conn.close(true, now),
            Expiry::TooSlow => self.refuse(&mut conn, RefusedHead::TooSlow, now).map(|_| ()),
        };
        match ended {
            Ok(()) => self.work(conn, index, Ready::default(), now),
            Err(Gone) => drop(conn),
        }
    }
}

/// What a timeout does to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expiry {
    Stays,
    Cut,
    /// Closed with TLS's close_notify, which tells the client that the connection was not cut (RFC 8446
    /// section 6.1).
    Farewell,
    /// The head took too long: refused with 408.
    TooSlow,
}

fn expiry(conn: &Conn, limits: &ClientLimits, now: Instant) -> Expiry {
    let age = now.saturating_duration_since(conn.since);
    let has_output = !conn.output.is_empty();
    let is_stalled = has_output && now.saturating_duration_since(conn.progress) >= limits.client_write;
    // In `Stage::Closing`, `progress` is when closing began or when the client took the last of its answer.
    let has_lingered = now.saturating_duration_since(conn.progress) >= MAX_LINGER;
    match conn.stage {
        Stage::Proxy | Stage::Handshake if age >= limits.client_header => Expiry::Cut,
        Stage::Proxy | Stage::Handshake => Expiry::Stays,
        _ if is_stalled => Expiry::Cut,
        Stage::Head if age >= limits.client_header => Expiry::TooSlow,
        Stage::Closing if !has_output && (age >= LINGER || has_lingered) => Expiry::Cut,
        // A connection with bytes still to be read is not idle.
        Stage::Idle if !has_output && age >= limits.client_idle && !conn.has_unread() => match conn.tls {
            Some(_) => Expiry::Farewell,
            None => Expiry::Cut,
        },
        Stage::Head | Stage::Closing | Stage::Idle => Expiry::Stays,
    }
}
