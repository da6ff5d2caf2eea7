//! What has taken too long on the front's connections.

use std::time::{Duration, Instant};

use super::conn::{Gone, Stage};
use super::event_loop::EventLoop;
use super::shared::Mode;

/// How long a client that is still sending gets to take notice of its last answer.
const LINGER: Duration = Duration::from_secs(1);
/// How long an idle bridge is kept.
const BRIDGE_IDLE: Duration = Duration::from_secs(2);

impl EventLoop {
    /// Ends what has taken too long, and counts.
    pub fn sweep(&mut self, now: Instant) {
        let settings = (self.settings)();
        let idle = match self.shared.mode() {
            Mode::Accepting | Mode::Paused => settings.client_idle,
            Mode::Draining => settings.client_idle.min(settings.drain_idle),
            Mode::Ending => Duration::ZERO,
        };
        for slot in 0..self.conns.len() {
            let Some(conn) = &self.conns[slot] else { continue };
            let age = now.saturating_duration_since(conn.since);
            let stalled = !conn.output.is_empty()
                && now.saturating_duration_since(conn.progress) >= settings.client_write;
            let is_over = match conn.stage {
                Stage::Proxy | Stage::Handshake => age >= settings.client_header,
                // What has come and was not looked at yet is not silence.
                Stage::Idle if conn.output.is_empty() => age >= idle && !conn.has_unread(),
                Stage::Closing if conn.output.is_empty() => age >= LINGER,
                Stage::Idle | Stage::Closing => stalled,
                Stage::Head | Stage::Exchange => stalled,
            };
            let is_slow = conn.stage == Stage::Head && age >= settings.client_header;
            let says_so = conn.stage == Stage::Idle && conn.tls.is_some() && !stalled;
            if is_over && !says_so {
                self.step(slot, now, |_| Err(Gone));
            } else if is_over || is_slow {
                let Some(mut conn) = self.conns[slot].take() else { continue };
                let closed = match is_slow {
                    true => self.refuse(&mut conn, 408, "header_timeout", now),
                    // TLS tells an end from a connection that was cut (RFC 8446 section 6.1).
                    false => self.close(&mut conn, true, now),
                };
                self.conns[slot] = Some(conn);
                self.step(slot, now, |_| closed);
            }
        }
        self.bridges.retain(|(_, since)| now.saturating_duration_since(*since) < BRIDGE_IDLE);
        self.shared.counted(self.conns.len() - self.free.len());
    }
}
