//! Keeps the last requests in a bounded memory.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::SystemTime;

use parking_lot::Mutex;

use super::story::Story;
use crate::watch::Spans;

/// Limit of recorded requests, provided that they fit into [`MAX_BYTES`].
pub const MAX_RECORDS: usize = 10_000;
/// Limit of their size in all. A request with one attempt on three backends takes about 600 bytes.
const MAX_BYTES: usize = 32 << 20;

/// One recorded request.
pub struct Record {
    /// The value of `X-Request-ID`.
    pub id: String,
    /// When the request's head was complete.
    pub time: SystemTime,
    /// Method and target.
    pub request: String,
    /// The client's address.
    pub client: IpAddr,
    /// How its time was spent.
    pub spans: Spans,
    /// The status sent to the client.
    pub status: u16,
    /// The reason of a refusal or of a broken-off answer.
    pub reason: Option<&'static str>,
    /// The matching route and the effect of its rules; `None` if no route matched.
    pub rules: Option<String>,
    /// The way to a backend; `None` if the request was not forwarded.
    pub story: Option<Box<Story>>,
}

/// The last requests.
#[derive(Default)]
pub struct Explanations(Mutex<Remembered>);

/// The records, each with its size in bytes.
#[derive(Default)]
struct Remembered {
    records: VecDeque<(usize, Record)>,
    bytes: usize,
}

impl Record {
    /// Approximate size in memory.
    fn bytes(&self) -> usize {
        let story = self.story.as_ref().map_or(0, |story| story.bytes());
        size_of::<Record>() + self.id.len() + self.request.len() + story
    }
}

impl Explanations {
    /// Adds a record and drops the oldest ones as necessary. Takes a lock.
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
        drop(oldest); // outside the lock, since it frees memory
    }

    /// Calls `tell` with the latest record of this id. Takes a lock.
    pub fn find<R>(&self, id: &str, tell: impl FnOnce(&Record) -> R) -> Option<R> {
        let all = self.0.lock();
        all.records.iter().rev().map(|(_, record)| record).find(|record| record.id == id).map(tell)
    }

    /// Calls `tell` with the records of the slowest requests, at most `most`. Takes a lock.
    pub fn slowest<R>(&self, most: usize, tell: impl FnMut(&Record) -> R) -> Vec<R> {
        let all = self.0.lock();
        let mut records: Vec<&Record> = all.records.iter().map(|(_, record)| record).collect();
        records.sort_by_key(|record| std::cmp::Reverse(record.spans.total));
        records.into_iter().take(most).map(tell).collect()
    }

    /// Number of records. Takes a lock.
    pub fn len(&self) -> usize {
        self.0.lock().records.len()
    }

    /// Whether there are no records. Takes a lock.
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
