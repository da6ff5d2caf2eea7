//! A request's way to a backend and back: [`Proxy::handle`] is the line to read first.
//!
//! Helpers compute, [`Proxy::handle`] branches. What can be decided without I/O is decided in pure
//! files: `client_address`, `forwarded`, `retry`, `refusal`. No socket type and no library is named
//! here; the client is a [`ClientRequest`], the backend's side a [`Transport`].

pub mod client_address;
pub mod forwarded;
pub mod outcome;
pub mod refusal;
pub mod retry;

mod attempt;
mod body;
mod budget;
mod relay;
mod tunnel;

use std::sync::Arc;
use std::time::Duration;

use log::Level::{Debug, Warn};

pub use outcome::{End, Outcome};
pub use refusal::Refusal;

use crate::frontend::{ClientRequest, MAX_ANNOUNCED_BODY};
use crate::http::{BodyLength, Headers, request_id};
use crate::logging::event;
use crate::pool::{Backend, ClientKey, Live, Tried};
use crate::shutdown::Running;
use crate::transport::{AttemptError, Stage, Transport};
use attempt::Prepared;
use budget::{Account, Budget};
use retry::{RequestFacts, Verdict};

/// A request waits a second in all for a place in the retry budget.
const BUDGET_TURNS: u32 = 50;
const BUDGET_TURN: Duration = Duration::from_millis(20);

/// Forwards requests.
pub struct Proxy {
    transport: Arc<dyn Transport>,
    budget: Budget,
    /// Our name in `Via`: by it we know a request that comes round again.
    via: String,
    /// Waits between attempts end when the process does.
    running: Running,
}

impl Proxy {
    /// A proxy with a name of its own.
    pub fn new(transport: Arc<dyn Transport>, running: Running) -> Proxy {
        Proxy { transport, budget: Budget::default(), via: format!("lb-{:08x}", fastrand::u32(..)), running }
    }

    /// Says who the client is and gives the request its id. Before anything is logged or limited.
    pub fn identify(request: &mut ClientRequest, live: &Live) {
        let trusted = &live.config.trusted_proxies;
        request.client = client_address::client_address(request.peer.ip(), &request.head.headers, trusted);
        let believed = client_address::is_trusted(request.peer.ip(), trusted);
        let sent = request.head.headers.get("x-request-id").filter(|_| believed);
        request.id = sent.and_then(request_id::kept).map_or_else(request_id::new, str::to_owned);
    }

    /// Brings the request to a backend and the answer back; answers for the backends where none can.
    pub fn handle(&self, request: &mut ClientRequest, live: &Live) -> Outcome {
        if forwarded::has_passed(&request.head, &self.via) {
            return Outcome::refused(request, Refusal::Loop);
        }
        if declares_too_much(request, live) {
            return Outcome::refused(request, Refusal::BodyTooLarge);
        }
        let mut account = self.budget.enter();
        let mut client = ClientKey { address: request.client, is_retry: false };
        let headers = self.headers_for_backend(request, live);
        let mut prepared = Prepared::new(request, headers, &live.config);
        let mut tried = Tried::default();
        let mut last_error: Option<AttemptError> = None;
        let mut attempts = 0;
        loop {
            let Some(lease) = live.pool.lease(&client, &tried) else { break };
            attempts += 1;
            tried.add(lease.backend());
            client.is_retry = true;
            let error = match prepared.attempt(&*self.transport, lease.backend(), &live.config) {
                Ok(reply) => {
                    drop(prepared);
                    return relay::relay(request, reply, lease).after(attempts);
                }
                Err(error) => error,
            };
            if prepared.client_is_gone() {
                return Outcome::client_gone().after(attempts);
            }
            log_failure(lease.backend(), &error, request_id_of(&prepared));
            if error.cause == crate::transport::Cause::Client {
                drop(lease);
            } else {
                lease.failed();
            }
            let facts = RequestFacts { attempts, ..prepared.facts() };
            let verdict = retry::decide(&error, facts, &live.config.retry);
            // Such a retry is no load on anybody, so the budget does not count it.
            let never_arrived = error.stage == Stage::Connect;
            last_error = Some(error);
            match verdict {
                Verdict::Retry { after } if never_arrived || self.wait_for_budget(&mut account, live) => {
                    self.running.wait(after);
                }
                _ => break,
            }
        }
        let refusal = match &last_error {
            _ if prepared.body_is_too_large() => Refusal::BodyTooLarge,
            _ if prepared.body_timed_out() => Refusal::BodyTimeout,
            Some(error) => Refusal::after(error),
            None => Refusal::NoBackend,
        };
        drop(prepared);
        Outcome::refused(request, refusal).after(attempts)
    }

    /// A place in the retry budget, or none within a moment. When a backend dies, all that it had comes
    /// back at once: in turns, most of it can be had elsewhere.
    fn wait_for_budget(&self, account: &mut Account<'_>, live: &Live) -> bool {
        let percent = live.config.retry.budget_percent;
        (0..BUDGET_TURNS).any(|turn| {
            if turn > 0 {
                self.running.wait(BUDGET_TURN);
            }
            account.may_retry(percent)
        })
    }

    fn headers_for_backend(&self, request: &ClientRequest, live: &Live) -> Headers {
        let forwarding = forwarded::Forwarding {
            peer: request.peer.ip(),
            peer_is_trusted: client_address::is_trusted(request.peer.ip(), &live.config.trusted_proxies),
            client: request.client,
            secure: request.secure,
            request_id: &request.id,
            via: &self.via,
        };
        let mut headers = forwarded::to_backend(&request.head, &forwarding);
        if let (true, Some(protocol)) = (request.responder.can_tunnel(), request.head.headers.get("upgrade"))
        {
            forwarded::add_upgrade(&mut headers, protocol);
        }
        headers
    }
}

fn declares_too_much(request: &ClientRequest, live: &Live) -> bool {
    let limit = live.config.limits.max_body_bytes.unwrap_or(u64::MAX).min(MAX_ANNOUNCED_BODY);
    matches!(request.screened, Ok(BodyLength::Known(length)) if length > limit)
}

fn request_id_of(prepared: &Prepared<'_>) -> String {
    let id = prepared.headers().get("x-request-id").unwrap_or_default();
    String::from_utf8_lossy(id).into_owned()
}

/// The client's fault is not worth a warning.
fn log_failure(backend: &Backend, error: &AttemptError, id: String) {
    let level = if error.cause == crate::transport::Cause::Client { Debug } else { Warn };
    let fields: [(&str, &dyn std::fmt::Display); 3] =
        [("backend", &backend.name()), ("error", error), ("request_id", &id)];
    event(level, "proxy", "attempt failed", &fields);
}

#[cfg(test)]
pub(crate) mod fakes;
#[cfg(test)]
mod tests;
