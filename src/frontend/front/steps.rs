//! What the front does with a connection when something has come or can go: heads are taken and checked,
//! bodies passed on, exchanges ended.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::conn::{Conn, Gone, Stage};
use super::event_loop::EventLoop;
use super::exchange::{Bridge, Exchange};
use super::handed::Handed;
use super::head::{self, Parsed};
use crate::frontend::GuardSettings;
use crate::frontend::refused_head::refusal;
use crate::frontend::stream::Ending;
use crate::http::{BodyLength, Version, framing};

/// Idle bridges that are kept.
const MAX_BRIDGES: usize = 256;
/// To reach tiny_http in this very process.
const BRIDGE_LIMIT: Duration = Duration::from_secs(1);

impl EventLoop {
    /// Everything that can be done now.
    pub(super) fn advance(
        &mut self,
        conn: &mut Conn,
        slot: usize,
        settings: &GuardSettings,
        now: Instant,
    ) -> Result<(), Gone> {
        loop {
            let stage = conn.stage;
            match stage {
                Stage::Proxy => {
                    if conn.take_proxy_header()? {
                        conn.enter(if conn.secure { Stage::Handshake } else { Stage::Idle }, now);
                        conn.feed_tls()?;
                    }
                }
                Stage::Handshake => {
                    if conn.tls.as_ref().is_none_or(|tls| !tls.is_handshaking()) {
                        conn.enter(Stage::Idle, now);
                    }
                }
                Stage::Idle if !conn.input.is_empty() => conn.enter(Stage::Head, now),
                Stage::Idle => {}
                Stage::Head => self.take_head(conn, slot, settings, now)?,
                Stage::Exchange => self.carry(conn, now)?,
                Stage::Closing => conn.input.clear(),
            }
            if conn.stage == stage {
                break;
            }
        }
        conn.flush(now)?;
        if conn.stage == Stage::Closing && conn.output.is_empty() {
            // Nothing more will be said; it may still have to be heard.
            let _ = conn.client.shutdown(std::net::Shutdown::Write);
        }
        let waits_for_more = !matches!(conn.stage, Stage::Exchange);
        if conn.has_ended && waits_for_more && conn.output.is_empty() {
            return Err(Gone);
        }
        Ok(())
    }

    fn take_head(
        &mut self,
        conn: &mut Conn,
        slot: usize,
        settings: &GuardSettings,
        now: Instant,
    ) -> Result<(), Gone> {
        let limit = settings.max_header_bytes as usize;
        match head::parse(conn.input.bytes()) {
            Parsed::Whole(_, length) if length > limit => self.refuse(conn, 431, "head_too_large", now),
            Parsed::TooManyFields => self.refuse(conn, 431, "head_too_large", now),
            Parsed::Partial if conn.input.len() > limit => self.refuse(conn, 431, "head_too_large", now),
            Parsed::Partial => Ok(()),
            Parsed::Malformed => self.refuse(conn, 400, "malformed_request", now),
            Parsed::Whole(head, length) => {
                conn.input.consume(length);
                let screened = framing::check(&head);
                let has_body = !matches!(screened, Ok(BodyLength::None | BodyLength::Known(0)));
                let asks =
                    head.headers.has_token("connection", "upgrade") && head.headers.get("upgrade").is_some();
                let upgrade = asks && !has_body && head.version == Version::Http11;
                let expects = head.version == Version::Http11
                    && head
                        .headers
                        .get("expect")
                        .is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue"));
                let identity = (conn.peer, conn.secure);
                let handed = Arc::new(Handed::new(identity, head, (screened, upgrade), slot, &self.inbox));
                let Some(bridge) = self.bridge() else {
                    return self.refuse(conn, 503, "queue_full", now);
                };
                self.table.insert(bridge.address, Arc::clone(&handed));
                conn.exchange = Some(Exchange::start(bridge, handed, expects));
                conn.enter(Stage::Exchange, now);
                Ok(())
            }
        }
    }

    /// A bridge that is idle, or a new one.
    fn bridge(&mut self) -> Option<Bridge> {
        while let Some((bridge, _)) = self.bridges.pop() {
            // tiny_http may have closed it.
            if matches!(bridge.stream.peek(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
            {
                return Some(bridge);
            }
        }
        let stream = TcpStream::connect_timeout(&self.behind, BRIDGE_LIMIT).ok()?;
        stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true)).ok()?;
        let address = stream.local_addr().ok()?;
        Some(Bridge { stream, address })
    }

    /// Moves what there is of the request's body and sees whether the answer has ended.
    fn carry(&mut self, conn: &mut Conn, now: Instant) -> Result<(), Gone> {
        let Some(exchange) = conn.exchange.as_mut() else { return Err(Gone) };
        let is_body = exchange.take_body(&mut conn.input);
        if exchange.may_continue() {
            conn.send(b"HTTP/1.1 100 Continue\r\n\r\n", now)?;
        }
        let Some(exchange) = conn.exchange.as_mut() else { return Err(Gone) };
        let sent = exchange.upload.write_to(&exchange.bridge.stream);
        if sent.is_err() {
            // It takes no more; its answer may still be there to be read.
            exchange.refuses_body = true;
            exchange.upload.clear();
        }
        if !is_body || (conn.has_ended && conn.input.is_empty()) {
            exchange.end_upload();
        }
        // There is room again for what waits.
        if exchange.wants_input() && !conn.input.is_empty() && exchange.upload.is_empty() && is_body {
            return self.carry(conn, now);
        }
        let ending = exchange.ending();
        match ending {
            Some(ending) => self.finish(conn, ending, now),
            None => Ok(()),
        }
    }

    fn finish(&mut self, conn: &mut Conn, ending: Ending, now: Instant) -> Result<(), Gone> {
        let Some(exchange) = conn.exchange.take() else { return Err(Gone) };
        self.table.remove(exchange.bridge.address);
        if exchange.is_clean() && self.bridges.len() < MAX_BRIDGES {
            let mut interest = exchange.interest;
            let bridge = exchange.bridge;
            if self.poll.set(&bridge.stream, 0, &mut interest, (false, false)).is_ok() {
                self.bridges.push((bridge, now));
            }
        }
        match ending {
            Ending::KeepAlive => conn.enter(Stage::Idle, now),
            Ending::Close => self.close(conn, true, now)?,
            Ending::BrokenOff => self.close(conn, false, now)?,
            Ending::Reset => {
                let _ = socket2::SockRef::from(&conn.client).set_linger(Some(Duration::ZERO));
                return Err(Gone);
            }
        }
        Ok(())
    }

    /// After this nothing more is said. TLS ends in order only where the answer was whole.
    pub(super) fn close(&self, conn: &mut Conn, in_order: bool, now: Instant) -> Result<(), Gone> {
        if let Some(tls) = conn.tls.as_mut().filter(|_| in_order) {
            tls.close();
            tls.drain(conn.output.end()).map_err(|_| Gone)?;
        }
        conn.enter(Stage::Closing, now);
        Ok(())
    }

    pub(super) fn refuse(
        &self,
        conn: &mut Conn,
        code: u16,
        reason: &'static str,
        now: Instant,
    ) -> Result<(), Gone> {
        let answer = refusal("front", (code, reason), conn.peer, &*self.sink);
        conn.send(answer.as_bytes(), now)?;
        self.close(conn, true, now)
    }
}
