//! The facts of one request's way, recorded while it is handled.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::config::Algorithm;
use crate::http::RequestHead;
use crate::logging::line::shown;
use crate::pool::{Backend, CandidateStatus, ClientKey, Pool, Tried};

/// Limit of choices recorded for a request: the first ones and the last. A configuration may allow a hundred
/// retries, and a request that waits for a backend chooses again and again.
pub(super) const MAX_TRIES: usize = 8;
/// Limit of backends recorded for a choice; pools may have hundreds.
pub(super) const MAX_SHOWN: usize = 16;
/// Limit of recorded texts such as method and target, in bytes.
pub(super) const MAX_TEXT_BYTES: usize = 256;

/// The way of a request to a backend.
pub struct Story {
    /// The pool's name.
    pub pool: String,
    /// The pool's algorithm.
    pub algorithm: Algorithm,
    /// The hashed value, if it was not the client's address.
    pub key: Option<String>,
    /// The attempts, possibly followed by a choice without a usable backend.
    pub tries: Vec<Try>,
    /// Number of attempts left out before the last of `tries`.
    pub left_out: usize,
}

/// One choice, and the attempt that followed.
pub struct Try {
    /// The backend chosen; `None` if none was usable.
    pub chosen: Option<Arc<Backend>>,
    /// Whether it was chosen because the client's sticky cookie names it.
    pub by_cookie: bool,
    /// The status of the backends, beginning with the chosen one: the first [`MAX_SHOWN`] of them.
    pub statuses: Vec<(Arc<Backend>, CandidateStatus)>,
    /// Number of backends left out.
    pub not_shown: usize,
    /// When the choice was made, counted from the request's head.
    pub began: Duration,
    /// The duration and the result of the attempt; `None` if there was none.
    pub ended: Option<(Duration, AttemptResult)>,
}

/// The result of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptResult {
    /// The head of an answer arrived, with this status.
    Answered(u16),
    /// The attempt failed with this error.
    Failed(String),
}

/// Records one request's way if it may be asked for.
#[derive(Default)]
pub struct Trace(pub(super) Option<Box<Story>>);

impl Trace {
    /// A trace that records.
    pub fn on() -> Trace {
        Trace(Some(Box::new(Story {
            pool: String::new(),
            algorithm: Algorithm::RoundRobin,
            key: None,
            tries: Vec::new(),
            left_out: 0,
        })))
    }

    /// The recorded story; `None` if nothing was recorded.
    pub fn into_story(self) -> Option<Box<Story>> {
        self.0.filter(|story| !story.tries.is_empty())
    }

    /// Records a choice; `tried` are the backends tried before it.
    pub fn chose(
        &mut self,
        pool: &Pool,
        client: &ClientKey<'_>,
        tried: &Tried,
        chosen: Option<&Arc<Backend>>,
        since: Instant,
        clock: impl FnOnce() -> (Instant, SystemTime),
    ) {
        let Some(story) = &mut self.0 else { return };
        let (now, at) = clock();
        if story.tries.is_empty() {
            pool.config().name.clone_into(&mut story.pool);
            story.algorithm = pool.config().algorithm;
            story.key = client.key.map(|key| shortened(&String::from_utf8_lossy(key)));
        }
        let statuses = pool.statuses(tried, chosen, now, at);
        let mut one = Try::new(client, chosen, statuses);
        one.began = now.saturating_duration_since(since);
        story.add(one);
    }

    /// Records the end of the attempt that followed the last choice.
    pub fn ended(&mut self, took: Duration, fate: impl FnOnce() -> AttemptResult) {
        if let Some(last) = self.0.as_mut().and_then(|story| story.tries.last_mut()) {
            let fate = match fate() {
                AttemptResult::Failed(why) => AttemptResult::Failed(shortened(&why)),
                answered => answered,
            };
            last.ended = Some((took, fate));
        }
    }
}

impl Story {
    pub(super) fn add(&mut self, one: Try) {
        if self.tries.len() >= MAX_TRIES {
            self.tries.pop();
            self.left_out += 1;
        }
        self.tries.push(one);
    }

    pub(super) fn bytes(&self) -> usize {
        let tries: usize = self.tries.iter().map(Try::bytes).sum();
        size_of::<Story>() + self.pool.len() + self.key.as_ref().map_or(0, String::len) + tries
    }
}

impl Try {
    /// The facts of a choice, with the status of all backends before it.
    pub fn new(
        client: &ClientKey<'_>,
        chosen: Option<&Arc<Backend>>,
        mut statuses: Vec<(Arc<Backend>, CandidateStatus)>,
    ) -> Try {
        let is_chosen = |backend: &Arc<Backend>| chosen.is_some_and(|chosen| chosen.id() == backend.id());
        // Puts the chosen backend first, so that it is always shown.
        statuses.sort_by_key(|(backend, _)| !is_chosen(backend));
        let not_shown = statuses.len().saturating_sub(MAX_SHOWN);
        statuses.truncate(MAX_SHOWN);
        statuses.shrink_to_fit();
        for (_, standing) in &mut statuses {
            if let CandidateStatus::Unhealthy { problem, .. } = standing {
                *problem = shortened(problem);
            }
        }
        let by_cookie = chosen.is_some_and(|chosen| {
            client.sticky.is_some_and(|value| value == chosen.sticky_value().as_bytes())
        });
        Try { chosen: chosen.cloned(), by_cookie, statuses, not_shown, began: Duration::ZERO, ended: None }
    }

    pub(super) fn bytes(&self) -> usize {
        let text = |(_, standing): &(Arc<Backend>, CandidateStatus)| match standing {
            CandidateStatus::Unhealthy { problem, .. } => problem.len(),
            _ => 0,
        };
        let fate = match &self.ended {
            Some((_, AttemptResult::Failed(why))) => why.len(),
            _ => 0,
        };
        let statuses = size_of_val(self.statuses.as_slice());
        size_of::<Try>() + statuses + self.statuses.iter().map(text).sum::<usize>() + fate
    }
}

/// Method and target, shortened for recording.
pub fn request_text(head: &RequestHead) -> String {
    shown(&format!("{} {}", shortened(&head.method), shortened(&head.target))).into_owned()
}

pub(super) fn shortened(text: &str) -> String {
    if text.len() <= MAX_TEXT_BYTES {
        return text.to_owned();
    }
    let end = (0..=MAX_TEXT_BYTES).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_targets_are_cut_between_characters() {
        let long = "é".repeat(200);
        assert_eq!(shortened(&long), format!("{}…", "é".repeat(128)));
        assert_eq!(shortened("/a"), "/a");
    }
}
