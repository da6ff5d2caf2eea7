//! What has taken too long on the front's connections.

use std::time::{Duration, Instant};

use super::conn::{Conn, Gone, Stage};
use super::event_loop::EventLoop;
use super::shared::Mode;
use crate::frontend::GuardSettings;

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
            match fate(conn, &settings, idle, now) {
                Fate::Stays => {}
                Fate::Cut => self.step(slot, now, |_| Err(Gone)),
                Fate::Farewell => self.end(slot, now, |this, conn| this.close(conn, true, now)),
                Fate::TooSlow => {
                    self.end(slot, now, |this, conn| this.refuse(conn, 408, "header_timeout", now));
                }
            }
        }
        self.bridges.retain(|(_, since)| now.saturating_duration_since(*since) < BRIDGE_IDLE);
        self.shared.counted(self.conns.len() - self.free.len());
    }
    fn end(
        &mut self,
        slot: usize,
        now: Instant,
        how: impl FnOnce(&EventLoop, &mut Conn) -> Result<(), Gone>,
    ) {
        let Some(mut conn) = self.conns[slot].take() else { return };
        let ended = how(self, &mut conn);
        self.conns[slot] = Some(conn);
        self.step(slot, now, |_| ended);
    }
}

/// What becomes of a connection.
enum Fate {
    Stays,
    Cut,
    /// It is told that it ends: TLS tells that from a connection that was cut (RFC 8446 section 6.1).
    Farewell,
    /// Its head has taken too long.
    TooSlow,
}

fn fate(conn: &Conn, settings: &GuardSettings, idle: Duration, now: Instant) -> Fate {
    let age = now.saturating_duration_since(conn.since);
    let has_output = !conn.output.is_empty();
    let is_stalled = has_output && now.saturating_duration_since(conn.progress) >= settings.client_write;
    match conn.stage {
        Stage::Proxy | Stage::Handshake if age >= settings.client_header => Fate::Cut,
        Stage::Proxy | Stage::Handshake => Fate::Stays,
        _ if is_stalled => Fate::Cut,
        Stage::Head if age >= settings.client_header => Fate::TooSlow,
        Stage::Closing if !has_output && age >= LINGER => Fate::Cut,
        // What has come and was not looked at yet is not silence.
        Stage::Idle if !has_output && age >= idle && !conn.has_unread() => match conn.tls {
            Some(_) => Fate::Farewell,
            None => Fate::Cut,
        },
        Stage::Head | Stage::Closing | Stage::Idle | Stage::Exchange => Fate::Stays,
    }
}
