//! Relays a backend's answer piece by piece as it arrives. If the backend breaks it off, it is broken off
//! towards the client, too.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::blame::note_breaker;
use super::body::{Rest, RestOfBody};
use super::compress::{self, Body, Facts};
use super::{End, Outcome, forwarded, tunnel};
use crate::config::CompressConfig;
use crate::frontend::{ClientRequest, Framing};
use crate::http::{Headers, status};
use crate::pool::Lease;
use crate::transport::{BackendReply, ReplyLength};

/// Size of the read buffer if the answer's length is unknown or larger than this.
const PIECE_BYTES: u64 = 32 << 10;

/// The side that ended an answer too early.
enum Broken {
    Backend,
    Client,
}

/// Relays the answer, adding the sticky cookie if there is one. Keeps the lease until the last byte is sent.
/// The rest of the request's body may still be on its way. `stream` is how long a stream may be silent.
pub fn relay(
    request: &mut ClientRequest,
    mut reply: BackendReply,
    lease: Lease,
    cookie: Option<String>,
    (rest, (compress, stream)): (Rest, (Option<&CompressConfig>, Duration)),
) -> Outcome {
    let mut headers = forwarded::to_client(reply.status, &reply.headers, &request.id);
    if let Some(cookie) = cookie {
        headers.push("Set-Cookie", cookie.as_bytes());
    }
    request.apply_rules(&mut headers, lease.backend().name());
    if let Some(tunnel) = reply.tunnel.take() {
        let protocol = reply.headers.get("upgrade").unwrap_or_default();
        forwarded::add_upgrade(&mut headers, protocol);
        return tunnel::relay(request, &headers, tunnel, lease);
    }
    let backend = Some(lease.backend().name().to_owned());
    let code = reply.status;
    let framing = framing(&request.head.method, &reply);
    let facts = Facts { request: &request.head.headers, status: code, answer: &headers, framing };
    let decision = compress::decide(compress, &facts);
    let framing = compress::rewrite(decision, &mut headers, framing);
    request.responder.start_as(code, &reply.reason, &headers, framing);
    let end = match relay_body(request, reply, (rest, stream), Body::new(decision)) {
        Ok(()) => End::Relayed,
        Err(Broken::Client) => End::ClientGone,
        Err(Broken::Backend) => {
            let backend = Arc::clone(lease.backend());
            note_breaker(lease.failed(Instant::now()), &backend);
            End::BackendBrokeOff
        }
    };
    if end != End::Relayed {
        request.responder.break_off();
    }
    Outcome { status: code, backend, pool: None, attempts: 1, end }
}

fn framing(method: &str, reply: &BackendReply) -> Framing {
    match reply.length {
        // RFC 9110 section 8.6: never in a 1xx or 204.
        _ if reply.status == 204 || reply.status < 200 => Framing::NoBody,
        ReplyLength::Known(length) => Framing::Length(length),
        ReplyLength::Unknown if status::has_no_body(method, reply.status) => Framing::NoBody,
        ReplyLength::Unknown => Framing::Unknown,
    }
}

/// Whether the answer is an event stream, which certainly takes long.
fn is_event_stream(headers: &Headers) -> bool {
    headers
        .get("content-type")
        .is_some_and(|kind| kind.to_ascii_lowercase().starts_with(b"text/event-stream"))
}

fn relay_body(
    request: &mut ClientRequest,
    mut reply: BackendReply,
    (mut rest, stream): (Rest, Duration),
    mut body: Body,
) -> Result<(), Broken> {
    let is_event_stream = is_event_stream(&reply.headers);
    let responder = &mut request.responder;
    if status::has_no_body(&request.head.method, reply.status) {
        return responder.finish().map_err(|_| Broken::Client);
    }
    if let Some(place) = &request.place {
        place.relaying();
        if is_event_stream {
            place.leave();
        }
    }
    let mut is_stream = is_event_stream;
    if is_stream {
        reply.body.wait_at_most(stream);
    }
    // A small answer has already arrived and goes out with its head in one write. Otherwise the head is sent
    // at once, since the body may take its time.
    if !reply.body_is_here {
        responder.flush().map_err(|_| Broken::Client)?;
    }
    let most = match reply.length {
        ReplyLength::Known(length) => length.clamp(1, PIECE_BYTES),
        ReplyLength::Unknown => PIECE_BYTES,
    };
    let mut piece = vec![0; most as usize];
    loop {
        if !is_stream && request.place.as_ref().is_some_and(|place| place.has_left()) {
            is_stream = true;
            reply.body.wait_at_most(stream);
        }
        let read = reply.body.read(&mut piece, &mut RestOfBody::new(responder, &mut rest));
        match read {
            Ok(0) => {
                let trailers = body.trailers(reply.body.trailers());
                body.finish(responder).map_err(|_| Broken::Client)?;
                return responder.finish_with(&trailers).map_err(|_| Broken::Client);
            }
            Ok(amount) => body.write(&piece[..amount], responder).map_err(|_| Broken::Client)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // The client has left, or does not send the body that the backend waits for; the backend is not to
            // blame.
            Err(_) if request.watch.is_client_gone() || rest.is_broken() => return Err(Broken::Client),
            Err(_) => return Err(Broken::Backend),
        }
    }
}
