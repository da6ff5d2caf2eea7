//! Why an attempt failed: three facts, from which pure tables elsewhere tell whether to try again,
//! which status the client gets, and whose fault it was.

use std::fmt;

/// A failed attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptError {
    /// How far it came.
    pub stage: Stage,
    /// Why it went no further.
    pub cause: Cause,
    /// Whether the connection had served before; such a one may have been closed by the backend at
    /// the very moment it was used.
    pub reused: bool,
}

impl AttemptError {
    /// Whether the backend was connected to and did not answer in time.
    pub fn was_too_slow(&self) -> bool {
        self.cause == Cause::TimedOut && self.stage > Stage::Connect
    }
}

/// How far an attempt came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// No connection: the backend knows nothing of the request.
    Connect,
    /// Some of the head may have gone out.
    SendHead,
    /// The head and perhaps some of the body went out.
    SendBody,
    /// All went out, and no whole head came back.
    AwaitHead,
}

/// Why an attempt went no further.
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
    /// What came back is not HTTP/1.1.
    NotHttp(String),
    /// What came back is HTTP, and more than we take: the answer's fault, not the backend's.
    Unacceptable(String),
    /// The client broke off its request body, or sent one that is no valid chunked body.
    Client,
    /// Anything else that the operating system or a library said.
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
