//! The way of a request to a backend and back; start reading at [`Proxy::handle`].
//!
//! Helpers compute; [`Proxy::handle`] and `forward` branch. Decisions without I/O are in pure files:
//! `client_address`, `forwarded`, `retry`, `refusal`. This layer names no socket type and no library: the
//! client is a [`ClientRequest`], the backends are behind a [`Transport`].

pub mod client_address;
pub mod client_key;
mod compress;
pub mod forwarded;
pub mod outcome;
pub mod refusal;
pub mod retry;

mod attempt;
mod blame;
mod body;
mod budget;
mod place;
mod relay;
mod tunnel;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use log::Level::Warn;

pub use outcome::{End, Outcome};
pub use refusal::Refusal;

use crate::explain::{AttemptResult, Trace};
use crate::frontend::ClientRequest;
use crate::http::{BodyLength, Headers, request_id, upgrade};
use crate::logging::event;
use crate::pool::{ClientKey, Lease, Live, Policy, Pool, Tried, Undecided};
use crate::rules::{self, Rules};
use crate::shutdown::ShutdownSignal;
use crate::transport::{AttemptError, BackendReply, Stage, Transport};
use crate::watch::Wait;
use attempt::Prepared;
use blame::{Blame, note_breaker, request_id_of};
use budget::{Account, Budget};
use retry::{RequestFacts, RetryDecision};

/// A request waits about a second in all for the retry budget.
const BUDGET_TURNS: u32 = 50;
const BUDGET_TURN: Duration = Duration::from_millis(20);

/// A backend's answer, its body still unread.
struct Answer {
    reply: BackendReply,
    lease: Lease,
}

/// The rules for a request and the pool it goes to.
struct Way<'a> {
    live: &'a Live,
    rules: &'a Rules,
    pool: &'a Pool,
    policy: Option<&'a Arc<Policy>>,
}

/// Forwards requests.
pub struct Proxy {
    transport: Arc<dyn Transport>,
    budget: Budget,
    /// Our name in `Via` or the field used instead; detects forwarding loops.
    name: String,
    /// Interrupts the waits between attempts when the process stops.
    shutdown: ShutdownSignal,
}

impl Proxy {
    /// Creates a proxy with a random name.
    pub fn new(transport: Arc<dyn Transport>, shutdown: ShutdownSignal) -> Proxy {
        Proxy {
            transport,
            budget: Budget::default(),
            name: format!("lb-{:08x}", fastrand::u32(..)),
            shutdown,
        }
    }

    /// Determines the client's address and the request id. Must run before logging and rate limits.
    pub fn identify(request: &mut ClientRequest, live: &Live) {
        let trusted = &live.config.trusted_proxies;
        request.client = client_address::client_address(request.peer.ip(), &request.head.headers, trusted);
        request.peer_is_trusted = client_address::is_trusted(request.peer.ip(), trusted);
        request.is_https =
            forwarded::is_https(&request.head.headers, request.peer_is_trusted, request.secure);
        let sent = request.head.headers.get("x-request-id").filter(|_| request.peer_is_trusted);
        request.id = sent.and_then(request_id::kept).map_or_else(request_id::new, str::to_owned);
        let (response_headers, error_pages) = live.book().top();
        request.response_headers.clone_from(response_headers);
        request.error_pages.clone_from(error_pages);
    }

    /// Forwards the request to a backend and relays its answer; sends a refusal if no backend answers.
    pub fn handle(&self, request: &mut ClientRequest, live: &Live) -> Outcome {
        if forwarded::has_passed(&request.head, &self.name) {
            return Outcome::refused(request, Refusal::Loop);
        }
        let number = request.rules.unwrap_or_default();
        let rules = live.book().get(number);
        if declares_too_much(request, rules) {
            return Outcome::refused(request, Refusal::BodyTooLarge);
        }
        let mut trace = std::mem::take(&mut request.trace);
        let way = Way { live, rules, pool: &live.pools()[rules.pool], policy: live.policy(number) };
        let outcome = self.forward(request, &way, &mut trace);
        request.trace = trace;
        Outcome { pool: Some(rules.pool), ..outcome }
    }

    fn forward(&self, request: &mut ClientRequest, way: &Way<'_>, trace: &mut Trace) -> Outcome {
        let Way { live, rules, pool, policy } = *way;
        let (head, watch, received) =
            (Arc::clone(&request.head), Arc::clone(&request.watch), request.received);
        let mut client = ClientKey { policy, ..client_key::of(request.client, &head, pool.config()) };
        let mut account = self.budget.enter();
        let headers = self.headers_for_backend(request, live, rules);
        let mut prepared = Prepared::new(request, headers, rules);
        let mut tried = Tried::default();
        let mut attempts = 0;
        // The last failure: an error, or an answer whose status is to be retried.
        let mut last_error: Option<AttemptError> = None;
        let mut held: Option<Answer> = None;
        // Failures of backends that closed the connection without answering, possibly because of this
        // request.
        let mut undecided: Vec<Undecided> = Vec::new();
        let refusal = loop {
            let found = match &held {
                // Rather pass the held answer on than wait for a slot.
                Some(_) => place::at_once(pool, &client, &tried).map_err(|_| Refusal::NoBackend),
                None => place::wait_for(pool, &client, &tried, (live, &watch, &self.shutdown)),
            };
            let chosen = found.as_ref().ok().map(Lease::backend);
            // If no other backend is available, the held answer is passed on and no choice is traced.
            if chosen.is_some() || held.is_none() {
                trace.chose(pool, &client, &tried, chosen, received, || (Instant::now(), SystemTime::now()));
            }
            let mut lease = match found {
                Ok(lease) => lease,
                Err(refusal) => break refusal,
            };
            // A backend that was too slow for this request would be so again.
            if let Some(error) = last_error.as_ref().filter(|error| error.was_too_slow())
                && tried.has(lease.backend())
            {
                break Refusal::after(error);
            }
            if let Some(answer) = held.take() {
                answer.lease.failed_by_status();
            }
            attempts += 1;
            tried.add(lease.backend());
            client.is_retry = true;
            let began = Instant::now();
            let (error, verdict) =
                match prepared.attempt(&*self.transport, lease.backend(), (&live.config, rules)) {
                    Ok(reply) => {
                        trace.ended(began.elapsed(), || AttemptResult::Answered(reply.status));
                        note_breaker(lease.answered(reply.status, began.elapsed()), lease.backend());
                        let facts = RequestFacts { attempts, ..prepared.facts() };
                        let verdict = retry::decide_status(reply.status, facts, &rules.retry);
                        held = Some(Answer { reply, lease });
                        (None, verdict)
                    }
                    Err(error) => {
                        trace.ended(began.elapsed(), || AttemptResult::Failed(error.to_string()));
                        if prepared.client_is_gone() {
                            return Outcome::client_gone().after(attempts);
                        }
                        undecided.extend(blame::failed(lease, &error, &prepared));
                        let facts = RequestFacts { attempts, ..prepared.facts() };
                        let verdict = retry::decide(&error, facts, &rules.retry);
                        (Some(error), verdict)
                    }
                };
            // The retry of a request that never reached a backend adds no load, so it is exempt from the
            // budget.
            let never_arrived = error.as_ref().is_some_and(|error| error.stage == Stage::Connect);
            last_error = error;
            let pausing = Instant::now();
            match verdict {
                RetryDecision::Retry { after }
                    if never_arrived || self.wait_for_budget(&mut account, rules) =>
                {
                    self.shutdown.wait(after);
                    watch.has_waited(Wait::Turn, pausing.elapsed());
                }
                _ => break last_error.as_ref().map_or(Refusal::NoBackend, Refusal::after),
            }
        };
        if let Some(Answer { reply, lease }) = held {
            let rest = prepared.rest_of_body();
            let cookie = client_key::set_cookie(pool.config(), &client, lease.backend(), request.is_https);
            let how = (rules.compress.as_ref(), live.config.timeouts.stream);
            blame::settle(undecided, true);
            return relay::relay(request, reply, lease, cookie, (rest, how)).after(attempts);
        }
        if prepared.client_is_gone() {
            return Outcome::client_gone().after(attempts);
        }
        if blame::settle(undecided, false) == Blame::Request {
            let id = request_id_of(&prepared);
            event(
                Warn,
                "proxy",
                "closed by each backend it was sent to: the request's fault",
                &[("request_id", &id)],
            );
        }
        let refusal = match &last_error {
            _ if prepared.body_is_too_large() => Refusal::BodyTooLarge,
            _ if prepared.body_timed_out() => Refusal::BodyTimeout,
            Some(error) => Refusal::after(error),
            None => refusal,
        };
        drop(prepared);
        Outcome::refused(request, refusal).after(attempts)
    }

    /// Whether the retry budget allows a retry, waiting up to a second for it. When a backend dies, all its
    /// requests want a retry at once: by taking turns, most of them succeed elsewhere.
    fn wait_for_budget(&self, account: &mut Account<'_>, rules: &Rules) -> bool {
        let percent = rules.retry.budget_percent;
        (0..BUDGET_TURNS).any(|turn| {
            if turn > 0 {
                self.shutdown.wait(BUDGET_TURN);
            }
            account.may_retry(percent)
        })
    }

    fn headers_for_backend(&self, request: &ClientRequest, live: &Live, rules: &Rules) -> Headers {
        let forwarding = forwarded::Forwarding {
            peer: request.peer.ip(),
            peer_is_trusted: request.peer_is_trusted,
            client: request.client,
            is_https: request.is_https,
            request_id: &request.id,
            name: &self.name,
            via: live.config.via,
        };
        let mut headers = forwarded::to_backend(&request.head, &forwarding);
        // Set anew, for a client may have named them in `Connection`, or they may be among those that are not
        // believed of a client.
        if !request.passed.is_empty() {
            headers.retain(|found, _| request.passed.get(found).is_none());
            request.passed.iter().for_each(|(name, value)| headers.push(name, value));
        }
        if !rules.request_headers.is_empty() {
            let path = request.head.path_and_query();
            let context = request.context("", &path);
            rules::headers::apply_to_request(&rules.request_headers, &mut headers, &context);
        }
        if let Some(protocols) = upgrade::wanted(&request.head).filter(|_| request.responder.can_tunnel()) {
            forwarded::add_upgrade(&mut headers, &protocols);
        }
        headers
    }
}

fn declares_too_much(request: &ClientRequest, rules: &Rules) -> bool {
    let limit = rules.max_body_bytes.unwrap_or(u64::MAX).min(request.responder.longest_body());
    matches!(request.body_length, Ok(BodyLength::Known(length)) if length > limit)
}

#[cfg(test)]
pub(crate) mod fakes;
#[cfg(test)]
mod tests;
