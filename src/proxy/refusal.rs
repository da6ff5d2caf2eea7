//! The balancer's own answers. One `match` has the status, the word and the text of each.
//!
//! The words are a closed list, the same in `X-LB-Reason`, in the log and in the metrics.

use std::io;
use std::time::Duration;

use crate::frontend::ClientRequest;
use crate::http::framing::FramingError;
use crate::http::{Headers, status};
use crate::transport::{AttemptError, Cause, Stage};

/// Why the balancer answers a request itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The request is malformed or ambiguous, or has too many fields.
    Flawed(FramingError),
    /// The client broke off its body, or the chunked coding is malformed.
    BodyIncomplete,
    /// The client stopped in the middle of its body.
    BodyTimeout,
    /// The body is over `limits.max_body_bytes`.
    BodyTooLarge,
    /// The head is over `limits.max_header_bytes`.
    HeadTooLarge,
    /// The client is over its rate limit.
    RateLimited {
        /// Time until a token is available.
        retry_after: Duration,
    },
    /// The request has passed this balancer before.
    Loop,
    /// The client's address may not have what it asks for.
    ForbiddenAddress,
    /// A login is required, and the request has none or an unknown one.
    Unauthorized,
    /// Too many passwords are being checked, which costs processor time.
    TooManyLogins,
    /// The `forward_auth` service could not be asked.
    AuthUnavailable,
    /// No route matches, and the configuration refuses such requests.
    NoRoute {
        /// 404 or 421.
        status: u16,
    },
    /// A method that the balancer's own endpoint does not support.
    MethodNotAllowed,
    /// The balancer panicked.
    Internal,
    /// The last backend tried closed the connection before the end of its answer's head.
    BackendClosed,
    /// The last backend tried answered with something that is not HTTP.
    BackendNotHttp,
    /// No backend could be used or connected to.
    NoBackend,
    /// A backend granted an upgrade, and there are too many streams and tunnels already.
    TooManyStreams,
    /// The queue for workers or for backends is full.
    QueueFull,
    /// The request has waited too long for a worker or a backend.
    QueueTimeout,
    /// The last backend tried did not answer in time.
    BackendTimeout,
}

/// How a refusal looks to the client.
struct Look {
    status: u16,
    word: &'static str,
    text: &'static str,
}

const fn look(status: u16, word: &'static str, text: &'static str) -> Look {
    Look { status, word, text }
}

impl Refusal {
    fn look(self) -> Look {
        match self {
            Refusal::Flawed(FramingError::TooManyFields) | Refusal::HeadTooLarge => {
                look(431, "head_too_large", "Request Header Fields Too Large")
            }
            Refusal::Flawed(flaw) => look(400, flaw.word(), "Bad Request: malformed or ambiguous"),
            Refusal::BodyIncomplete => {
                look(400, "body_incomplete", "Bad Request: the body is malformed or broke off")
            }
            Refusal::BodyTimeout => look(408, "body_timeout", "Request Timeout: the body stopped coming"),
            Refusal::BodyTooLarge => {
                look(413, "body_too_large", "Content Too Large: over the limit for bodies")
            }
            Refusal::RateLimited { .. } => {
                look(429, "rate_limited", "Too Many Requests: rate limit exceeded")
            }
            Refusal::Loop => look(508, "loop_detected", "Loop Detected: this request has passed here before"),
            Refusal::ForbiddenAddress => {
                look(403, "forbidden_address", "Forbidden: not for clients with this address")
            }
            Refusal::Unauthorized => {
                look(401, "unauthorized", "Unauthorized: a name and a password are needed")
            }
            Refusal::TooManyLogins => {
                look(503, "too_many_logins", "Service Unavailable: too many passwords are being checked")
            }
            Refusal::AuthUnavailable => {
                look(503, "auth_unavailable", "Service Unavailable: who may pass can't be asked")
            }
            Refusal::NoRoute { status: 421 } => {
                look(421, "no_route", "Misdirected Request: no route is for this host and path")
            }
            Refusal::NoRoute { status } => {
                look(status, "no_route", "Not Found: no route is for this host and path")
            }
            Refusal::MethodNotAllowed => look(405, "method_not_allowed", "Method Not Allowed"),
            Refusal::Internal => look(500, "internal_error", "Internal Server Error"),
            Refusal::BackendClosed => {
                look(502, "backend_closed", "Bad Gateway: the backend closed the connection")
            }
            Refusal::BackendNotHttp => {
                look(502, "backend_not_http", "Bad Gateway: the backend did not answer with HTTP")
            }
            Refusal::NoBackend => {
                look(503, "no_healthy_backend", "Service Unavailable: all backends are down")
            }
            Refusal::TooManyStreams => {
                look(503, "too_many_streams", "Service Unavailable: too many streams and tunnels")
            }
            Refusal::QueueFull => {
                look(503, "queue_full", "Service Unavailable: too many requests are waiting")
            }
            Refusal::QueueTimeout => {
                look(503, "queue_timeout", "Service Unavailable: waited too long for a worker")
            }
            Refusal::BackendTimeout => {
                look(504, "backend_timeout", "Gateway Timeout: the backend did not answer in time")
            }
        }
    }

    /// The status that the client gets.
    pub fn status(self) -> u16 {
        self.look().status
    }

    /// The word for the reason.
    pub fn word(self) -> &'static str {
        self.look().word
    }

    /// The refusal after the last attempt failed with this error.
    pub fn after(error: &AttemptError) -> Refusal {
        match (&error.cause, error.stage) {
            (Cause::Client, _) => Refusal::BodyIncomplete,
            (_, Stage::Connect) => Refusal::NoBackend,
            (Cause::TimedOut, _) => Refusal::BackendTimeout,
            (Cause::NotHttp(_) | Cause::Unacceptable(_), _) => Refusal::BackendNotHttp,
            _ => Refusal::BackendClosed,
        }
    }

    fn retry_after(self) -> Option<u64> {
        match (self, self.status()) {
            (Refusal::RateLimited { retry_after }, _) => {
                Some(retry_after.as_secs_f64().ceil().max(1.0) as u64)
            }
            (_, 503) => Some(status::RETRY_SOON),
            _ => None,
        }
    }

    /// Sends the refusal.
    ///
    /// # Errors
    /// The client is gone.
    pub fn send(self, request: &mut ClientRequest) -> io::Result<()> {
        self.send_with(request, &[])
    }

    /// Sends the refusal with additional fields.
    ///
    /// # Errors
    /// The client is gone.
    pub fn send_with(self, request: &mut ClientRequest, more: &[(&str, &str)]) -> io::Result<()> {
        let look = self.look();
        let mut headers = Headers::with_capacity(6, 256);
        let page = request.error_pages.as_ref().and_then(|pages| {
            pages.iter().find(|(status, _)| *status == look.status).map(|(_, page)| page.clone())
        });
        let kind = page.as_ref().map_or("text/plain; charset=utf-8", |page| page.content_type);
        headers.push("Content-Type", kind.as_bytes());
        headers.push("X-LB-Reason", look.word.as_bytes());
        if self == Refusal::MethodNotAllowed {
            headers.push("Allow", b"GET, HEAD");
        }
        if let Some(seconds) = self.retry_after() {
            headers.push("Retry-After", seconds.to_string().as_bytes());
        }
        if !request.id.is_empty() {
            headers.push("X-Request-ID", request.id.as_bytes());
        }
        more.iter().for_each(|(name, value)| headers.push(name, value.as_bytes()));
        let text = format!("{}\n", look.text);
        let body = page.as_ref().map_or(text.as_bytes(), |page| &page.body);
        request.answer(look.status, headers, body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_error_decides_the_status() {
        use Cause::{Client, Closed, NotHttp, Other, Refused, TimedOut};
        use Stage::{AwaitHead, Connect, SendBody, SendHead};
        let table = [
            (Connect, Refused, 503),
            (Connect, TimedOut, 503),
            (Connect, Cause::Unresolved, 503),
            (SendHead, Closed, 502),
            (SendBody, Client, 400),
            (SendBody, TimedOut, 504),
            (AwaitHead, TimedOut, 504),
            (AwaitHead, Closed, 502),
            (AwaitHead, NotHttp("x".into()), 502),
            (AwaitHead, Cause::Unacceptable("x".into()), 502),
            (AwaitHead, Other("x".into()), 502),
        ];
        for (stage, cause, status) in table {
            let error = AttemptError { stage, cause, reused: false };
            assert_eq!(Refusal::after(&error).status(), status, "{error:?}");
        }
    }

    #[test]
    fn every_word_is_among_those_that_are_counted_from_zero() {
        use crate::metrics::reasons::REASONS;
        let flaws = [
            FramingError::Malformed,
            FramingError::AmbiguousFraming,
            FramingError::BadHost,
            FramingError::TooManyFields,
        ];
        let others = [
            Refusal::BodyIncomplete,
            Refusal::BodyTimeout,
            Refusal::BodyTooLarge,
            Refusal::HeadTooLarge,
            Refusal::RateLimited { retry_after: Duration::ZERO },
            Refusal::Loop,
            Refusal::ForbiddenAddress,
            Refusal::Unauthorized,
            Refusal::TooManyLogins,
            Refusal::AuthUnavailable,
            Refusal::NoRoute { status: 404 },
            Refusal::NoRoute { status: 421 },
            Refusal::MethodNotAllowed,
            Refusal::Internal,
            Refusal::BackendClosed,
            Refusal::BackendNotHttp,
            Refusal::NoBackend,
            Refusal::TooManyStreams,
            Refusal::QueueFull,
            Refusal::QueueTimeout,
            Refusal::BackendTimeout,
        ];
        for refusal in flaws.map(Refusal::Flawed).into_iter().chain(others) {
            assert!(REASONS.contains(&refusal.word()), "{}", refusal.word());
        }
    }

    #[test]
    fn retry_after_is_whole_seconds_and_never_zero() {
        let limited =
            |millis| Refusal::RateLimited { retry_after: Duration::from_millis(millis) }.retry_after();
        assert_eq!([limited(0), limited(1), limited(1001)], [Some(1), Some(1), Some(2)]);
        assert_eq!(Refusal::QueueFull.retry_after(), Some(1));
        assert_eq!(Refusal::BackendClosed.retry_after(), None);
    }
}
