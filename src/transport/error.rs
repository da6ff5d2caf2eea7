//! Why an attempt failed: three facts, from which pure tables elsewhere derive whether to retry, which status
//! the client gets, and whose fault it was.

use std::fmt;

/// A failed attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptError {
    /// How far the attempt got.
    pub stage: Stage,
    /// Why it failed.
    pub cause: Cause,
    /// Whether the connection had carried an exchange before; the backend may have closed such a connection
    /// at the moment it was used.
    pub reused: bool,
}

impl AttemptError {
    /// Whether a connection was made and the backend did not answer in time.
    pub fn was_too_slow(&self) -> bool {
        self.cause == Cause::TimedOut && self.stage > Stage::Connect
    }
}

/// How far an attempt got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// No connection: the backend has not seen the request.
    Connect,
    /// Part of the head may have been sent.
    SendHead,
    /// The head and perhaps part of the body have been sent.
    SendBody,
    /// Everything has been sent; no complete head has arrived.
    AwaitHead,
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The connection was refused.
    Refused,
    /// The backend's name has no address.
    Unresolved,
    /// A time limit passed.
    TimedOut,
    /// The backend closed or reset the connection.
    Closed,
    /// The answer is not HTTP/1.1.
    NotHttp(String),
    /// The answer is HTTP but exceeds a limit: the answer's fault, not the backend's.
    Unacceptable(String),
    /// The client broke off its request body, or sent malformed chunks.
    Client,
    /// Any other error of the operating system or a library.
    Other(String),
}

impl fmt::Display for AttemptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::Connect => "connecting",
            Stage::SendHead => "sending the head",
            Stage::SendBody => "sending the body",
            Stage::AwaitHead => "waiting for the answer",
        };
        write!(f, "{} while {stage}", self.cause)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Refused => f.write_str("connection refused"),
            Cause::Unresolved => f.write_str("name not resolved"),
            Cause::TimedOut => f.write_str("timed out"),
            Cause::Closed => f.write_str("connection closed"),
            Cause::NotHttp(what) => write!(f, "not an HTTP answer ({what})"),
            Cause::Unacceptable(what) => write!(f, "an answer that is not taken ({what})"),
            Cause::Client => f.write_str("the client broke off"),
            Cause::Other(what) => f.write_str(what),
        }
    }
}
