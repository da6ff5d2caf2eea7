//! Why each of the last requests went where it went: the facts, noted as the request goes its way, and the
//! words for them.
//!
//! Only the admin listener tells of it, so without one nothing is noted ([`Trace::default`] notes nothing).
//! Memory is bounded: [`MAX_RECORDS`] requests, and [`MAX_SHOWN`] backends of each attempt.

pub mod words;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

use crate::config::Algorithm;
use crate::http::RequestHead;
use crate::pool::{Backend, ClientKey, Pool, Standing, Tried};

/// Requests that are remembered.
pub const MAX_RECORDS: usize = 10_000;
/// Backends that are told of in an attempt, for pools may have hundreds.
const MAX_SHOWN: usize = 16;
/// Longest method and target that are remembered, in bytes.
const MAX_TEXT_BYTES: usize = 256;

/// One request.
pub struct Record {
    /// Its `X-Request-ID`.
    pub id: String,
    /// When its head was complete.
    pub time: SystemTime,
    /// Method and target.
    pub request: String,
    /// The client's address.
    pub client: IpAddr,
    /// From its head to its answer's last byte.
    pub took: Duration,
    /// The status that the client got.
    pub status: u16,
    /// The word of a refusal or of a break-off.
    pub reason: Option<&'static str>,
    /// What happened on its way to a backend; `None` where it was not on its way to one.
    pub story: Option<Box<Story>>,
}

/// What happened on a request's way to a backend.
pub struct Story {
    /// The pool's name.
    pub pool: String,
    /// How it chooses.
    pub algorithm: Algorithm,
    /// What was hashed, where it was not the client's address.
    pub key: Option<String>,
    /// The attempts, and at the end perhaps a choice that found nothing.
    pub tries: Vec<Try>,
}

/// One choice, and the attempt that followed.
pub struct Try {
    /// The backend chosen; `None` where none could be.
    pub chosen: Option<Arc<Backend>>,
    /// It was chosen because the client's sticky cookie names it.
    pub by_cookie: bool,
    /// How it stood, and how the others did: the first [`MAX_SHOWN`] of them.
    pub standings: Vec<(Arc<Backend>, Standing)>,
    /// Backends that are not shown.
    pub not_shown: usize,
    /// When the choice was made, from the request's head on.
    pub began: Duration,
    /// How the attempt ended, and how long it took; `None` where there was none.
    pub ended: Option<(Duration, Fate)>,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// With the head of an answer.
    Answered(u16),
    /// With this error.
    Failed(String),
}

/// Notes one request's way, if anybody may ask.
#[derive(Default)]
pub struct Trace(Option<Box<Story>>);

/// The last requests.
#[derive(Default)]
pub struct Explanations(Mutex<VecDeque<Record>>);

impl Trace {
    /// One that takes notes.
    pub fn on() -> Trace {
        Trace(Some(Box::new(Story {
            pool: String::new(),
            algorithm: Algorithm::RoundRobin,
            key: None,
            tries: Vec::new(),
        })))
    }

    /// What was noted; `None` where nothing was.
    pub fn into_story(self) -> Option<Box<Story>> {
        self.0.filter(|story| !story.tries.is_empty())
    }

    /// A choice was made; `tried` is what was tried before it.
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
        let standings = pool.standings(tried, chosen, now, at);
        let mut one = Try::new(client, chosen, standings);
        one.began = now.saturating_duration_since(since);
        story.tries.push(one);
    }

    /// The attempt that followed has ended.
    pub fn ended(&mut self, took: Duration, fate: impl FnOnce() -> Fate) {
        if let Some(last) = self.0.as_mut().and_then(|story| story.tries.last_mut()) {
            last.ended = Some((took, fate()));
        }
    }
}

impl Try {
    /// The facts of a choice: how all backends stood before it.
    pub fn new(
        client: &ClientKey<'_>,
        chosen: Option<&Arc<Backend>>,
        mut standings: Vec<(Arc<Backend>, Standing)>,
    ) -> Try {
        let is_chosen = |backend: &Arc<Backend>| chosen.is_some_and(|chosen| chosen.id() == backend.id());
        // The chosen one is always among those shown.
        standings.sort_by_key(|(backend, _)| !is_chosen(backend));
        let not_shown = standings.len().saturating_sub(MAX_SHOWN);
        standings.truncate(MAX_SHOWN);
        let by_cookie = chosen.is_some_and(|chosen| {
            client.sticky.is_some_and(|value| value == chosen.sticky_value().as_bytes())
        });
        Try { chosen: chosen.cloned(), by_cookie, standings, not_shown, began: Duration::ZERO, ended: None }
    }
}

impl Explanations {
    /// Remembers one more; the oldest goes. Takes a lock.
    pub fn add(&self, record: Record) {
        let mut records = self.0.lock();
        let oldest = if records.len() >= MAX_RECORDS { records.pop_front() } else { None };
        records.push_back(record);
        drop(records);
        drop(oldest); // frees memory, so not under the lock
    }

    /// What is remembered of the latest request with this id, told by `tell`. Takes a lock.
    pub fn find<R>(&self, id: &str, tell: impl FnOnce(&Record) -> R) -> Option<R> {
        self.0.lock().iter().rev().find(|record| record.id == id).map(tell)
    }

    /// How many are remembered. Takes a lock.
    pub fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Whether none is. Takes a lock.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Method and target, as far as they are remembered.
pub fn request_text(head: &RequestHead) -> String {
    format!("{} {}", shortened(&head.method), shortened(&head.target))
}

fn shortened(text: &str) -> String {
    if text.len() <= MAX_TEXT_BYTES {
        return text.to_owned();
    }
    let end = (0..=MAX_TEXT_BYTES).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: usize) -> Record {
        Record {
            id: id.to_string(),
            time: SystemTime::UNIX_EPOCH,
            request: "GET /".into(),
            client: IpAddr::from([127, 0, 0, 1]),
            took: Duration::ZERO,
            status: id as u16,
            reason: None,
            story: None,
        }
    }

    #[test]
    fn the_last_ten_thousand_are_remembered() {
        let explanations = Explanations::default();
        (0..MAX_RECORDS + 5).for_each(|id| explanations.add(record(id)));
        assert_eq!(explanations.len(), MAX_RECORDS);
        assert!(explanations.find("4", |_| ()).is_none());
        assert_eq!(explanations.find("5", |record| record.status), Some(5));
    }

    #[test]
    fn long_targets_are_cut_between_characters() {
        let long = "é".repeat(200);
        assert_eq!(shortened(&long), format!("{}…", "é".repeat(128)));
        assert_eq!(shortened("/a"), "/a");
    }
}
