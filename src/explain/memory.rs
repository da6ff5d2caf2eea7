//! The last requests, for as long as there is room for them.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::SystemTime;

use parking_lot::Mutex;

use super::story::Story;
use crate::watch::Spans;

/// Requests that are remembered, where they fit into [`MAX_BYTES`].
pub const MAX_RECORDS: usize = 10_000;
/// What they may take in all. One of a single attempt on three backends takes some 600 bytes.
const MAX_BYTES: usize = 32 << 20;

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
    /// Where its time went.
    pub spans: Spans,
    /// The status that the client got.
    pub status: u16,
    /// The word of a refusal or of a break-off.
    pub reason: Option<&'static str>,
    /// The route that took it, and what was done by its rules; `None` where no route did.
    pub rules: Option<String>,
    /// What happened on its way to a backend; `None` where it was not on its way to one.
    pub story: Option<Box<Story>>,
}

/// The last requests.
#[derive(Default)]
pub struct Explanations(Mutex<Remembered>);

/// Each with what it takes.
#[derive(Default)]
struct Remembered {
    records: VecDeque<(usize, Record)>,
    bytes: usize,
}

impl Record {
    /// What it takes in memory, about.
    fn bytes(&self) -> usize {
        let story = self.story.as_ref().map_or(0, |story| story.bytes());
        size_of::<Record>() + self.id.len() + self.request.len() + story
    }
}

impl Explanations {
    /// Remembers one more; the oldest go. Takes a lock.
    pub fn add(&self, record: Record) {
        let bytes = record.bytes();
        let mut oldest = Vec::new();
        let mut all = self.0.lock();
        while all.records.len() >= MAX_RECORDS || all.bytes + bytes > MAX_BYTES {
            let Some((freed, record)) = all.records.pop_front() else { break };
            all.bytes -= freed;
            oldest.push(record);
        }
        all.bytes += bytes;
        all.records.push_back((bytes, record));
        drop(all);
        drop(oldest); // frees memory, so not under the lock
    }

    /// What is remembered of the latest request with this id, told by `tell`. Takes a lock.
    pub fn find<R>(&self, id: &str, tell: impl FnOnce(&Record) -> R) -> Option<R> {
        let all = self.0.lock();
        all.records.iter().rev().map(|(_, record)| record).find(|record| record.id == id).map(tell)
    }

    /// What is remembered of the requests that took longest, at most so many, told by `tell`. Takes a lock.
    pub fn slowest<R>(&self, most: usize, tell: impl FnMut(&Record) -> R) -> Vec<R> {
        let all = self.0.lock();
        let mut records: Vec<&Record> = all.records.iter().map(|(_, record)| record).collect();
        records.sort_by_key(|record| std::cmp::Reverse(record.spans.total));
        records.into_iter().take(most).map(tell).collect()
    }

    /// How many are remembered. Takes a lock.
    pub fn len(&self) -> usize {
        self.0.lock().records.len()
    }

    /// Whether none is. Takes a lock.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::explain::story::{AttemptResult, MAX_SHOWN, MAX_TEXT_BYTES, MAX_TRIES, Trace, Try, shortened};
    use crate::pool::backend::tests::backends;
    use crate::pool::{CandidateStatus, ClientKey};

    fn record(id: usize) -> Record {
        Record {
            id: id.to_string(),
            time: SystemTime::UNIX_EPOCH,
            request: "GET /".into(),
            client: IpAddr::from([127, 0, 0, 1]),
            spans: Spans::default(),
            status: id as u16,
            reason: None,
            rules: None,
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
    fn the_slowest_come_first() {
        let explanations = Explanations::default();
        for (id, millis) in [(1, 5), (2, 9), (3, 1), (4, 7)] {
            let spans = Spans { total: Duration::from_millis(millis), ..Spans::default() };
            explanations.add(Record { spans, ..record(id) });
        }
        assert_eq!(explanations.slowest(3, |record| record.status), [2, 4, 1]);
    }

    #[test]
    fn a_hundred_attempts_are_told_by_the_first_and_the_last_and_bounded_in_all() {
        let long = "x".repeat(10 * MAX_TEXT_BYTES);
        let backends = backends(3 * MAX_SHOWN as u16);
        let standing = || CandidateStatus::Unhealthy { failed: 1, problem: long.clone(), last: None };
        let client = ClientKey::of(IpAddr::from([127, 0, 0, 1]));
        let told = |id: usize| {
            let mut trace = Trace::on();
            for number in 0..101_u16 {
                let statuses = backends.iter().map(|backend| (Arc::clone(backend), standing())).collect();
                if let Some(story) = &mut trace.0 {
                    story.add(Try::new(&client, backends.first(), statuses));
                }
                trace.ended(Duration::ZERO, || AttemptResult::Answered(number));
            }
            trace.ended(Duration::ZERO, || AttemptResult::Failed(long.clone()));
            Record { story: trace.into_story(), ..record(id) }
        };
        let one = told(0);
        let story = one.story.as_ref().unwrap();
        assert_eq!((story.tries.len(), story.left_out), (MAX_TRIES, 101 - MAX_TRIES));
        let last = &story.tries[MAX_TRIES - 1].ended;
        assert_eq!(*last, Some((Duration::ZERO, AttemptResult::Failed(shortened(&long)))));
        assert_eq!(story.tries[1].ended, Some((Duration::ZERO, AttemptResult::Answered(1))));
        assert!(one.bytes() < 64 << 10, "{}", one.bytes());
        let explanations = Explanations::default();
        (0..1500).for_each(|id| explanations.add(told(id)));
        assert!(explanations.0.lock().bytes <= MAX_BYTES);
        assert!((500..1500).contains(&explanations.len()), "{}", explanations.len());
        assert!(explanations.find("1499", |_| ()).is_some());
    }
}
