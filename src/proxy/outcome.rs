//! How a request ended. The outcome is returned by value; the access log and the metrics each read it in one
//! place, so that every request counts exactly once.

use super::Refusal;
use crate::frontend::ClientRequest;

/// How a request ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The status sent to the client; 499 if the client left before an answer.
    pub status: u16,
    /// The backend that answered.
    pub backend: Option<String>,
    /// Index of the pool that the request was for; `None` if it was for none.
    pub pool: Option<usize>,
    /// Attempts made.
    pub attempts: u32,
    /// The way in which it ended.
    pub end: End,
}

/// The ways in which a request ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// A backend's answer was relayed completely.
    Relayed,
    /// The backend broke its answer off.
    BackendBrokeOff,
    /// The client left before or during the answer.
    ClientGone,
    /// The balancer refused the request.
    Refused(Refusal),
    /// One of the balancer's own endpoints answered.
    Own,
    /// The client was sent to the TLS listener.
    Redirected,
    /// A route answered itself, with a redirect or a fixed response.
    Answered,
    /// The `forward_auth` service denied the request, and the client got its answer.
    NotLetPass,
}

impl Outcome {
    /// Sends the refusal and returns its outcome.
    pub fn refused(request: &mut ClientRequest, refusal: Refusal) -> Outcome {
        // A client that has left does not get it; the outcome is the same.
        let _ = refusal.send(request);
        Outcome::of_refusal(refusal)
    }

    /// The outcome of a refusal that was already sent.
    pub fn of_refusal(refusal: Refusal) -> Outcome {
        Outcome {
            status: refusal.status(),
            backend: None,
            pool: None,
            attempts: 0,
            end: End::Refused(refusal),
        }
    }

    /// The client left before there was an answer. The status is only logged; nginx logs the same one.
    pub fn client_gone() -> Outcome {
        Outcome { status: 499, backend: None, pool: None, attempts: 0, end: End::ClientGone }
    }

    /// The same outcome with this number of attempts.
    pub fn after(self, attempts: u32) -> Outcome {
        Outcome { attempts, ..self }
    }

    /// `Some` if the request counts as a proxied one, with whether a backend's answer was relayed. `None` for
    /// own answers, and for refusals of requests that were not meant for a backend.
    pub fn counts(&self) -> Option<bool> {
        match self.end {
            End::Relayed => Some(true),
            End::ClientGone => Some(self.backend.is_some()),
            End::BackendBrokeOff => Some(false),
            End::Own | End::Redirected | End::Answered | End::NotLetPass => None,
            End::Refused(refusal) => match refusal {
                Refusal::Flawed(_)
                | Refusal::HeadTooLarge
                | Refusal::RateLimited { .. }
                | Refusal::ForbiddenAddress
                | Refusal::Unauthorized
                | Refusal::TooManyLogins
                | Refusal::NoRoute { .. }
                | Refusal::MethodNotAllowed => None,
                Refusal::BodyIncomplete
                | Refusal::BodyTimeout
                | Refusal::BodyTooLarge
                | Refusal::Loop
                | Refusal::AuthUnavailable
                | Refusal::Internal
                | Refusal::BackendClosed
                | Refusal::BackendNotHttp
                | Refusal::NoBackend
                | Refusal::TooManyStreams
                | Refusal::QueueFull
                | Refusal::QueueTimeout
                | Refusal::BackendTimeout => Some(false),
            },
        }
    }

    /// The reason, for the log and the metrics; `None` if the request ended normally.
    pub fn reason(&self) -> Option<&'static str> {
        match self.end {
            End::Refused(refusal) => Some(refusal.word()),
            End::BackendBrokeOff => Some("backend_broke_off"),
            End::ClientGone => Some("client_gone"),
            End::Redirected => Some("redirected_to_tls"),
            End::Answered => Some("route_answer"),
            End::NotLetPass => Some("not_let_pass"),
            End::Relayed | End::Own => None,
        }
    }
}
