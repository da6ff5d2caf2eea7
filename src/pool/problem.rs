//! Why a probe failed: a sentence for people, and one of a closed list of words for programs.

/// The kinds of problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// No connection could be opened.
    Unreachable,
    /// No answer arrived in time.
    TimedOut,
    /// The connection was closed before an answer.
    Closed,
    /// The answer is not HTTP.
    NotHttp,
    /// The answer's status is not an expected one.
    Status,
    /// The answer's body does not contain the expected text.
    Body,
    /// Anything else.
    Other,
}

impl ProblemKind {
    /// The word in the metrics.
    pub fn word(self) -> &'static str {
        match self {
            ProblemKind::Unreachable => "unreachable",
            ProblemKind::TimedOut => "timeout",
            ProblemKind::Closed => "closed",
            ProblemKind::NotHttp => "not_http",
            ProblemKind::Status => "status",
            ProblemKind::Body => "body",
            ProblemKind::Other => "other",
        }
    }
}

/// Why a probe failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// For programs.
    pub kind: ProblemKind,
    /// For people: `GET /health: 404, and 200-399 is expected`.
    pub text: String,
}

impl Problem {
    /// A problem of this kind.
    pub fn new(kind: ProblemKind, text: impl Into<String>) -> Problem {
        Problem { kind, text: text.into() }
    }
}
