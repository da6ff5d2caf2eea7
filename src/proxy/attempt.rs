//! One try: what all attempts share is prepared once, then each is aimed at its backend.

use std::net::IpAddr;
use std::sync::Arc;

use super::body::{ReplayBody, Rest};
use super::forwarded;
use super::retry::RequestFacts;
use crate::config::{Config, HostHeader, RetryConfig};
use crate::frontend::ClientRequest;
use crate::http::{BodyLength, Headers, RequestHead};
use crate::pool::Backend;
use crate::rules::headers::{Context, Op};
use crate::rules::{self, Rules};
use crate::transport::{AttemptError, BackendReply, Cause, Limits, Outgoing, Transport};
use crate::watch::Watch;

/// A request ready to be sent, as often as need be.
pub struct Prepared<'a> {
    head: Arc<RequestHead>,
    headers: Headers,
    length: BodyLength,
    body: ReplayBody<'a>,
    /// What the backend is to see as `Host`; `None` is its own name.
    host: Option<String>,
    /// What the backend is asked for.
    target: String,
    /// Rules about fields that depend on the backend, and what else they depend on.
    of_backend: Option<OfBackend<'a>>,
    watch: Arc<Watch>,
    upgrade: bool,
}

/// See [`Prepared::of_backend`].
struct OfBackend<'a> {
    rules: &'a Rules,
    client: IpAddr,
    is_secure: bool,
    request_id: String,
}

impl<'a> Prepared<'a> {
    /// Takes the request's body; its answer can be written when this is dropped.
    pub fn new(request: &'a mut ClientRequest, headers: Headers, rules: &'a Rules) -> Prepared<'a> {
        let (head, watch) = (Arc::clone(&request.head), Arc::clone(&request.watch));
        let upgrade = forwarded::upgrade(&headers).is_some();
        let length = request.body_length.unwrap_or(BodyLength::None);
        let host = match &rules.host_header {
            HostHeader::Preserve => Some(head.host().to_owned()).filter(|host| !host.is_empty()),
            HostHeader::Fixed(host) => Some(host.clone()),
            HostHeader::Backend => None,
        };
        let target = rules.rewrite.apply(head.origin_target()).into_owned();
        let depends = rules.request_headers.iter().any(Op::names_backend);
        let of_backend = depends.then(|| OfBackend {
            rules,
            client: request.client,
            is_secure: request.secure,
            request_id: request.id.clone(),
        });
        let place = request.place.clone();
        let body =
            ReplayBody::new(&mut request.responder, rules.retry.buffer_body_bytes, rules.max_body_bytes)
                .at(place, length);
        Prepared { head, headers, length, body, host, target, of_backend, watch, upgrade }
    }

    /// Sends it to this backend. A connection that had been idle and died before a byte of an answer
    /// was most likely closed by the backend at that very moment: what may arrive twice is sent once
    /// more, on a fresh one, and that is nobody's failure.
    pub fn attempt(
        &mut self,
        transport: &dyn Transport,
        backend: &Backend,
        settings: (&Config, &Rules),
    ) -> Result<BackendReply, AttemptError> {
        let result = self.send(transport, backend, settings, false);
        match &result {
            Err(error) if self.met_a_stale_connection(error, &settings.1.retry) => {
                self.send(transport, backend, settings, true)
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
        (config, rules): (&Config, &Rules),
        fresh: bool,
    ) -> Result<BackendReply, AttemptError> {
        self.body.rewind();
        match &self.host {
            None => self.headers.set("Host", backend.authority().as_bytes()),
            Some(host) if self.headers.get("host") != Some(host.as_bytes()) => {
                self.headers.set("Host", host.as_bytes());
            }
            Some(_) => {}
        }
        let own = self.of_backend.as_ref().map(|it| it.applied(&self.headers, &self.head, backend));
        let repeatable = self.may_repeat(&rules.retry);
        let limits = Limits {
            // An attempt is over after `request`, whatever it has come to.
            connect: config.timeouts.connect.min(rules.request_timeout),
            request: rules.request_timeout,
            client_body: config.timeouts.client_body,
            idle: config.timeouts.backend_idle,
            max_idle: config.limits.max_idle_per_backend,
        };
        let request = Outgoing {
            method: &self.head.method,
            target: &self.target,
            headers: own.as_ref().unwrap_or(&self.headers),
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

impl OfBackend<'_> {
    /// The fields for this backend.
    fn applied(&self, headers: &Headers, head: &RequestHead, backend: &Backend) -> Headers {
        let (mut headers, path) = (headers.clone(), head.path_and_query());
        let context = Context {
            client: self.client,
            host: head.host(),
            is_secure: self.is_secure,
            path: &path,
            request_id: &self.request_id,
            backend: backend.name(),
        };
        let ops = self.rules.request_headers.iter().filter(|op| op.names_backend());
        rules::headers::apply(ops, &mut headers, &context);
        headers
    }
}
