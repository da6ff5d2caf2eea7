//! One try: what all attempts share is prepared once, then each is aimed at its backend.

use std::sync::Arc;

use super::body::ReplayBody;
use super::retry::RequestFacts;
use crate::config::{Config, HostHeader};
use crate::frontend::ClientRequest;
use crate::http::{BodyLength, Headers, RequestHead};
use crate::pool::Backend;
use crate::transport::{AttemptError, BackendReply, Limits, Outgoing, OutgoingBody, Transport};
use crate::watch::Watch;

/// A request ready to be sent, as often as need be.
pub struct Prepared<'a> {
    head: Arc<RequestHead>,
    headers: Headers,
    length: BodyLength,
    body: ReplayBody<'a>,
    keep_host: bool,
    watch: Arc<Watch>,
}

impl<'a> Prepared<'a> {
    /// Takes the request's body; its answer can be written when this is dropped.
    pub fn new(request: &'a mut ClientRequest, headers: Headers, config: &Config) -> Prepared<'a> {
        let (head, watch) = (Arc::clone(&request.head), Arc::clone(&request.watch));
        let length = request.screened.unwrap_or(BodyLength::None);
        let keep_host = config.host_header == HostHeader::Preserve && !head.host().is_empty();
        let body = ReplayBody::new(
            &mut request.responder,
            config.retry.buffer_body_bytes,
            config.limits.max_body_bytes,
        );
        Prepared { head, headers, length, body, keep_host, watch }
    }

    /// Sends it to this backend. Touches the `Host` and nothing else of what was prepared.
    pub fn attempt(
        &mut self,
        transport: &dyn Transport,
        backend: &Backend,
        config: &Config,
    ) -> Result<BackendReply, AttemptError> {
        self.body.rewind();
        if !self.keep_host {
            self.headers.set("Host", backend.authority().as_bytes());
        }
        let body = match self.length {
            BodyLength::None => OutgoingBody::None,
            BodyLength::Known(length) => OutgoingBody::Known(length, &mut self.body),
            BodyLength::Chunked => OutgoingBody::Chunked(&mut self.body),
        };
        let limits = Limits {
            connect: config.timeouts.connect,
            request: config.timeouts.request,
            idle: config.timeouts.backend_idle,
            max_idle: config.limits.max_idle_per_backend,
        };
        let request = Outgoing {
            method: &self.head.method,
            target: &self.head.target,
            headers: &self.headers,
            body,
            limits,
            watch: Some(Arc::clone(&self.watch)),
        };
        transport.send(backend, request)
    }

    /// What the retry rule asks of the request; the count of attempts is the caller's.
    pub fn facts(&self) -> RequestFacts {
        RequestFacts {
            idempotent: self.head.is_idempotent(),
            replayable: self.body.is_replayable(),
            attempts: 0,
        }
    }

    /// The prepared fields.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// Whether the client has gone, so that nobody wants an answer.
    pub fn client_is_gone(&self) -> bool {
        self.watch.is_client_gone()
    }

    /// Whether an attempt failed because the client stopped sending its body.
    pub fn body_timed_out(&self) -> bool {
        self.watch.is_body_timed_out()
    }

    /// Whether an attempt failed because the body is over its limit.
    pub fn body_is_too_large(&self) -> bool {
        self.body.is_too_large()
    }
}
