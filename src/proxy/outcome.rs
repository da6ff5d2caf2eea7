//! How a request ended. Travels back by value; log and metrics read it in one place each, so that a
//! request counts once by construction.

use super::Refusal;
use crate::frontend::ClientRequest;

/// How a request ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The status that the client got; 0 where it got none.
    pub status: u16,
    /// The backend that answered.
    pub backend: Option<String>,
    /// The pool that it was for, by its place among all; `None` where none was asked.
    pub pool: Option<usize>,
    /// Attempts made.
    pub attempts: u32,
    /// How it ended.
    pub end: End,
}

/// The ways to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// A backend's answer was relayed whole.
    Relayed,
    /// A backend's answer was begun, and the backend broke it off.
    BackendBrokeOff,
    /// The client went away, in the middle of a backend's answer or before it.
    ClientGone,
    /// The balancer answered for the backends.
    Refused(Refusal),
    /// One of the balancer's own endpoints answered.
    Own,
    /// The client was sent to the TLS listener.
    Redirected,
    /// A route's own answer: a redirect, or what it has to respond.
    Answered,
    /// Whoever is asked who may pass has not let it pass, and the client got that answer.
    NotLetPass,
}

impl Outcome {
    /// Answers with the refusal and says so.
    pub fn refused(request: &mut ClientRequest, refusal: Refusal) -> Outcome {
        // A client that is gone does not hear it; the outcome is the same.
        let _ = refusal.send(request);
        Outcome::of_refusal(refusal)
    }

    /// It was answered with the refusal.
    pub fn of_refusal(refusal: Refusal) -> Outcome {
        Outcome {
            status: refusal.status(),
            backend: None,
            pool: None,
            attempts: 0,
            end: End::Refused(refusal),
        }
    }

    /// The client went away before there was an answer. Nobody hears the status; nginx logs the same.
    pub fn client_gone() -> Outcome {
        Outcome { status: 499, backend: None, pool: None, attempts: 0, end: End::ClientGone }
    }

    /// The same outcome after that many attempts.
    pub fn after(self, attempts: u32) -> Outcome {
        Outcome { attempts, ..self }
    }

    /// Whether it counts as a proxied request, and if so, whether a backend's answer was relayed.
    /// Refusals that came before any backend could be asked for count in neither.
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
                _ => Some(false),
            },
        }
    }

    /// The word of a refusal, for log and metrics.
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
