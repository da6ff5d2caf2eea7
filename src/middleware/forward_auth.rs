//! `forward_auth` of a route: a service (for example single sign-on) is asked whether each request may pass.
//! A 2xx lets the request pass, with some fields of the service's answer; any other answer is sent to the
//! client.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::link::{Middleware, Next};
use crate::client_side::NoClient;
use crate::config::ForwardAuth;
use crate::frontend::ClientRequest;
use crate::http::headers::looks_like;
use crate::http::{BodyLength, Headers};
use crate::pool::{Backend, Live};
use crate::proxy::{End, Outcome, Refusal, forwarded};
use crate::transport::{AttemptError, BackendReply, Cause, Limits, Outgoing, ReplyLength, Transport};

/// Longest answer of the service that is passed on to a client, in bytes: usually a login page.
const MOST_BYTES: usize = 256 << 10;
/// Size of the read buffer, and of an answer that is read for the sake of its connection alone.
const PIECE_BYTES: usize = 16 << 10;
/// How long the rest of such an answer is waited for.
const MOMENT: Duration = Duration::from_millis(100);

/// Asks the `forward_auth` service.
pub struct AskService(pub Arc<dyn Transport>);

impl Middleware for AskService {
    fn handle(&self, request: &mut ClientRequest, live: &Live, next: Next<'_>) -> Outcome {
        let number = request.rules.unwrap_or_default();
        let auth = live.book().get(number).access.forward_auth.as_ref();
        let Some((auth, service)) = auth.zip(live.auth_service(number)) else {
            return next.run(request, live);
        };
        let ends = Instant::now() + auth.timeout;
        match self.ask(request, live, (auth, ends), service) {
            Ok(reply) if (200..300).contains(&reply.status) => {
                pass(request, auth, &reply.headers);
                // Read to its end, or its connection could not be kept. It says nothing that matters.
                let _ = read_to_end(reply, PIECE_BYTES, ends.min(Instant::now() + MOMENT));
                next.run(request, live)
            }
            Ok(reply) => answer(request, reply, ends),
            Err(_) if request.watch.is_client_gone() => Outcome::client_gone(),
            Err(_) => Outcome::refused(request, Refusal::AuthUnavailable),
        }
    }
}

impl AskService {
    /// Asks once, and once more if a kept connection was closed at the very moment of its use.
    fn ask(
        &self,
        request: &ClientRequest,
        live: &Live,
        auth: (&ForwardAuth, Instant),
        service: &Backend,
    ) -> Result<BackendReply, AttemptError> {
        match self.ask_by(false, request, live, auth, service) {
            Err(error) if error.reused && error.cause == Cause::Closed && !request.watch.is_client_gone() => {
                self.ask_by(true, request, live, auth, service)
            }
            result => result,
        }
    }

    fn ask_by(
        &self,
        fresh: bool,
        request: &ClientRequest,
        live: &Live,
        (auth, ends): (&ForwardAuth, Instant),
        service: &Backend,
    ) -> Result<BackendReply, AttemptError> {
        let left = ends.saturating_duration_since(Instant::now());
        let headers = fields(request, service);
        let target = auth.url.splitn(4, '/').nth(3).map_or("/".to_owned(), |path| format!("/{path}"));
        let limits = Limits {
            connect: live.config.timeouts.connect.min(left),
            request: left,
            client_body: auth.timeout,
            idle: live.config.timeouts.backend_idle,
            max_idle: live.config.limits.max_idle_per_backend,
        };
        self.0.send(
            service,
            Outgoing {
                method: "GET",
                target: &target,
                headers: &headers,
                length: BodyLength::None,
                client: &mut NoClient,
                limits,
                fresh,
                repeatable: true,
                upgrade: false,
                watch: Some(Arc::clone(&request.watch)),
            },
        )
    }
}

/// The client's own fields, and fields that describe its request.
fn fields(request: &ClientRequest, service: &Backend) -> Headers {
    let head = &request.head;
    let mut headers = forwarded::asked(&head.headers);
    headers.set("Host", service.authority().as_bytes());
    headers.push("X-Forwarded-Method", head.method.as_bytes());
    forwarded::push_origin(&mut headers, head, request.peer_is_trusted, request.is_https);
    headers.push("X-Forwarded-Uri", head.path_and_query().as_bytes());
    headers.push_shown("X-Forwarded-For", request.client);
    headers.push("X-Request-ID", request.id.as_bytes());
    headers
}

/// Replaces the listed fields by those of the service's answer, so that a client can't set them itself, nor under a
/// name that backends with CGI variable names take for the same.
fn pass(request: &mut ClientRequest, auth: &ForwardAuth, said: &Headers) {
    let head = Arc::make_mut(&mut request.head);
    for name in &auth.pass {
        head.headers.retain(|found, _| !looks_like(found, name));
        let values: Vec<Vec<u8>> = said.get_all(name).map(<[u8]>::to_vec).collect();
        for value in values {
            head.headers.push(name, &value);
            request.passed.push(name, &value);
        }
    }
}

/// The whole body, which must not be longer than `most`.
fn read_to_end(mut reply: BackendReply, most: usize, ends: Instant) -> io::Result<Vec<u8>> {
    let (mut body, mut piece) = (Vec::new(), vec![0; PIECE_BYTES]);
    if matches!(reply.length, ReplyLength::Known(length) if length > most as u64) {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    while body.len() <= most {
        reply.body.wait_at_most(ends.saturating_duration_since(Instant::now()));
        match reply.body.read(&mut piece, &mut NoClient)? {
            0 => return Ok(body),
            amount => body.extend_from_slice(&piece[..amount]),
        }
    }
    Err(io::ErrorKind::FileTooLarge.into())
}

/// Sends the service's answer to the client.
fn answer(request: &mut ClientRequest, reply: BackendReply, ends: Instant) -> Outcome {
    let code = reply.status;
    let mut headers = forwarded::to_client(code, &reply.headers, &request.id);
    let reason = reply.reason.clone();
    let body = match read_to_end(reply, MOST_BYTES, ends) {
        Ok(body) => body,
        Err(_) if request.watch.is_client_gone() => return Outcome::client_gone(),
        Err(_) => return Outcome::refused(request, Refusal::AuthUnavailable),
    };
    headers.remove("Content-Length");
    headers.push("X-LB-Reason", b"not_let_pass");
    // A client that has left does not get it.
    let _ = request.answer_as((code, &reason), headers, &body);
    Outcome { status: code, backend: None, pool: None, attempts: 0, end: End::NotLetPass }
}
