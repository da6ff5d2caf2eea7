//! Attempts: what all attempts of a request share is prepared once, then sent to one backend after the other.

use std::net::IpAddr;
use std::sync::Arc;

use super::body::{ReplayBody, Rest};
use super::forwarded;
use super::retry::RequestFacts;
use crate::config::{Config, HostHeader, RetryConfig};
use crate::frontend::ClientRequest;
use crate::http::{BodyLength, Headers, RequestHead};
use crate::pool::Backend;
use crate::rules::headers::Context;
use crate::rules::{self, Rules};
use crate::transport::{AttemptError, BackendReply, Cause, Limits, Outgoing, Transport};
use crate::watch::Watch;

/// A request ready to be sent, any number of times.
pub struct Prepared<'a> {
    head: Arc<RequestHead>,
    headers: Headers,
    length: BodyLength,
    body: ReplayBody<'a>,
    /// The `Host` field for the backend; `None` means the backend's own authority.
    host: Option<String>,
    /// The request target sent to the backend.
    target: String,
    /// Header rules that depend on the backend, with the data they need.
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
    /// Borrows the client's side to read the body from; the answer can be written once this is dropped.
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
        let of_backend = (!rules.backend_headers.is_empty()).then(|| OfBackend {
            rules,
            client: request.client,
            is_secure: request.is_https,
            request_id: request.id.clone(),
        });
        let place = request.place.clone();
        let body =
            ReplayBody::new(&mut request.responder, rules.retry.buffer_body_bytes, rules.max_body_bytes)
                .at(place, length);
        Prepared { head, headers, length, body, host, target, of_backend, watch, upgrade }
    }

    /// Sends the request to this backend. If a reused connection closes before the first byte of the answer,
    /// the backend has most likely just closed it as idle. A request that may be repeated is then sent once
    /// more on a fresh connection, and no failure is counted.
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

    /// Changes only the `Host` field of what was prepared.
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
            // `request` limits the whole attempt, including the time to connect.
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

    /// The facts that the retry decision depends on; the caller sets the number of attempts.
    pub fn facts(&self) -> RequestFacts {
        RequestFacts {
            idempotent: self.head.is_idempotent(),
            replayable: self.body.is_replayable(),
            attempts: 0,
        }
    }

    /// The prepared header fields.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// Whether the client has gone, so that no answer is needed.
    pub fn client_is_gone(&self) -> bool {
        self.watch.is_client_gone()
    }

    /// Whether an attempt failed because the client stopped sending its body.
    pub fn body_timed_out(&self) -> bool {
        self.watch.is_body_timed_out()
    }

    /// The part of the body that the answered attempt has not sent.
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
        rules::headers::apply_to_request(&self.rules.backend_headers, &mut headers, &context);
        headers
    }
}
