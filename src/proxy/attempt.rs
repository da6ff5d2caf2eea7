//! One try: what all attempts share is prepared once, then each is aimed at its backend.

use std::sync::Arc;

use super::body::{ReplayBody, Rest};
use super::forwarded;
use super::retry::RequestFacts;
use crate::config::{Config, HostHeader, RetryConfig};
use crate::frontend::ClientRequest;
use crate::http::{BodyLength, Headers, RequestHead};
use crate::pool::Backend;
use crate::transport::{AttemptError, BackendReply, Cause, Limits, Outgoing, Transport};
use crate::watch::Watch;

/// A request ready to be sent, as often as need be.
pub struct Prepared<'a> {
    head: Arc<RequestHead>,
    headers: Headers,
    length: BodyLength,
    body: ReplayBody<'a>,
    keep_host: bool,
    watch: Arc<Watch>,
    upgrade: bool,
}

impl<'a> Prepared<'a> {
    /// Takes the request's body; its answer can be written when this is dropped.
    pub fn new(request: &'a mut ClientRequest, headers: Headers, config: &Config) -> Prepared<'a> {
        let (head, watch) = (Arc::clone(&request.head), Arc::clone(&request.watch));
        let upgrade = forwarded::upgrade(&headers).is_some();
        let length = request.screened.unwrap_or(BodyLength::None);
        let keep_host = config.host_header == HostHeader::Preserve && !head.host().is_empty();
        let place = request.place.clone();
        let body = ReplayBody::new(
            &mut request.responder,
            config.retry.buffer_body_bytes,
            config.limits.max_body_bytes,
        )
        .at(place, length);
        Prepared { head, headers, length, body, keep_host, watch, upgrade }
    }

    /// Sends it to this backend. A connection that had been idle and died before a byte of an answer
    /// was most likely closed by the backend at that very moment: what may arrive twice is sent once
    /// more, on a fresh one, and that is nobody's failure.
    pub fn attempt(
        &mut self,
        transport: &dyn Transport,
        backend: &Backend,
        config: &Config,
    ) -> Result<BackendReply, AttemptError> {
        let result = self.send(transport, backend, config, false);
        match &result {
            Err(error) if self.met_a_stale_connection(error, &config.retry) => {
                self.send(transport, backend, config, true)
            }
            _ => result,
        }
    }

    fn met_a_stale_connection(&self, error: &AttemptError, config: &RetryConfig) -> bool {
        let died = error.reused && error.cause == Cause::Closed;
        died && self.may_repeat(config) && self.body.is_replayable() && !self.client_is_gone()
    }

    fn may_repeat(&self, config: &RetryConfig) -> bool {
        self.head.is_idempotent() || config.non_idempotent
    }

    /// Touches the `Host` and nothing else of what was prepared.
    fn send(
        &mut self,
        transport: &dyn Transport,
        backend: &Backend,
        config: &Config,
        fresh: bool,
    ) -> Result<BackendReply, AttemptError> {
        self.body.rewind();
        if !self.keep_host {
            self.headers.set("Host", backend.authority().as_bytes());
        }
        let repeatable = self.may_repeat(&config.retry);
        let limits = Limits {
            // An attempt is over after `request`, whatever it has come to.
            connect: config.timeouts.connect.min(config.timeouts.request),
            request: config.timeouts.request,
            client_body: config.timeouts.client_body,
            idle: config.timeouts.backend_idle,
            max_idle: config.limits.max_idle_per_backend,
        };
        let request = Outgoing {
            method: &self.head.method,
            target: &self.head.origin_target(),
            headers: &self.headers,
            length: self.length,
            client: &mut self.body,
            limits,
            fresh,
            repeatable,
            upgrade: self.upgrade,
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

    /// What the attempt that was answered has not taken of the body.
    pub fn rest_of_body(mut self) -> Rest {
        self.body.rest()
    }

    /// Whether an attempt failed because the body is over its limit.
    pub fn body_is_too_large(&self) -> bool {
        self.body.is_too_large()
    }
}
