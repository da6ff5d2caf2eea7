//! Hands lines through a bounded queue to a thread that writes them to a slow output.
//!
//! A thread that logs never waits. Lines that do not fit are dropped and counted, and the log reports the
//! count as soon as there is room again. Each output has its own writer, so that a blocked access log (a pipe
//! that nobody reads) can't silence the events.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use log::Level::Warn;

use super::events::{event, event_line};

/// The name of the event log's writer.
pub const EVENTS: &str = "log-events";
/// Limit of waiting lines; at 150 bytes each, about 1.2 MB.
const MAX_LINES: usize = 8192;
/// Limit of waiting bytes, since one line can be as long as a client's target.
const MAX_BYTES: usize = 4 << 20;
/// How long the writer lets lines accumulate after the first: waking it for each line would cost more than
/// writing the line.
const GATHER: Duration = Duration::from_millis(1);
/// The writer collects up to this much for one write.
const BATCH_BYTES: usize = 64 << 10;
/// A batch buffer that one long line enlarged is shrunk to this.
const KEEP_BYTES: usize = 2 * BATCH_BYTES;

/// The output of lines.
pub type Output = Box<dyn Write + Send>;

enum Message {
    Line(Vec<u8>),
    Flush(Sender<()>),
    /// Lines after this message go to another output.
    WriteTo(Output),
}

#[derive(Default)]
struct Shared {
    waiting_bytes: AtomicUsize,
    dropped: AtomicU64,
    /// Dropped lines are reported among the lines themselves, since they are events.
    are_events: bool,
}

/// The owner's handle: creates senders, and can wait until all lines are written.
pub struct LineWriter {
    sender: LineSender,
}

/// Hands over lines; cheap to clone.
#[derive(Clone)]
pub struct LineSender {
    messages: Sender<Message>,
    shared: Arc<Shared>,
}

impl LineWriter {
    /// Starts the thread that writes to `output`. The thread lives as long as the process.
    pub fn start(name: &str, output: Output) -> LineWriter {
        let (messages, inbox) = bounded(MAX_LINES);
        let shared = Arc::new(Shared { are_events: name == EVENTS, ..Shared::default() });
        let theirs = Arc::clone(&shared);
        // If the thread can't be started (out of memory), lines are dropped and counted, and the balancer
        // runs.
        let _ = thread::Builder::new()
            .name(name.to_owned())
            .stack_size(128 << 10)
            .spawn(move || write_lines(&inbox, &theirs, output));
        LineWriter { sender: LineSender { messages, shared } }
    }

    /// A sender for this writer.
    pub fn sender(&self) -> LineSender {
        self.sender.clone()
    }

    /// Writes lines sent from now on to `output`. Does not block: if the queue is full, a temporary thread
    /// waits for room.
    pub fn write_to(&self, output: Output) {
        let message = Message::WriteTo(output);
        if let Err(full) = self.sender.messages.try_send(message) {
            let messages = self.sender.messages.clone();
            let _ = thread::Builder::new()
                .name("log-switch".to_owned())
                .spawn(move || messages.send(full.into_inner()));
        }
    }

    /// Waits until all lines so far are written, at most `patience` for room in the queue and again
    /// `patience` for the output.
    pub fn flush(&self, patience: Duration) {
        let (done, written) = bounded(1);
        if self.sender.messages.send_timeout(Message::Flush(done), patience).is_ok() {
            let _ = written.recv_timeout(patience);
        }
    }
}

impl LineSender {
    /// Hands over a line including its line end, or drops and counts it. Never waits.
    pub fn send(&self, line: Vec<u8>) {
        let length = line.len();
        let fits = self.shared.waiting_bytes.fetch_add(length, Relaxed) + length <= MAX_BYTES;
        if !fits || self.messages.try_send(Message::Line(line)).is_err() {
            self.shared.waiting_bytes.fetch_sub(length, Relaxed);
            self.shared.dropped.fetch_add(1, Relaxed);
        }
    }
}

fn write_lines(inbox: &Receiver<Message>, shared: &Shared, mut output: Output) {
    let mut batch = Batch::default();
    while let Ok(first) = inbox.recv() {
        thread::park_timeout(GATHER);
        let mut flushed = Vec::new();
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Line(line) => {
                    shared.waiting_bytes.fetch_sub(line.len(), Relaxed);
                    batch.add(&line);
                }
                Message::Flush(done) => flushed.push(done),
                Message::WriteTo(other) => {
                    batch.write_to(&mut output, shared);
                    output = other;
                }
            }
            next = if batch.bytes.len() < BATCH_BYTES { inbox.try_recv().ok() } else { None };
        }
        batch.write_to(&mut output, shared);
        drop(flushed);
    }
}

/// Lines collected for one write.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    lines: u64,
}

impl Batch {
    fn add(&mut self, line: &[u8]) {
        self.bytes.extend_from_slice(line);
        self.lines += 1;
    }

    /// Writes the batch. Lines that can't be written (a full disk, a closed terminal) count as dropped, which
    /// is reported when writing works again.
    fn write_to(&mut self, output: &mut Output, shared: &Shared) {
        let dropped = shared.dropped.swap(0, Relaxed);
        match shared.are_events {
            _ if dropped == 0 => {}
            true => self.bytes.extend_from_slice(dropped_line(dropped).as_bytes()),
            // The access log may have a format without such a line.
            false => event(Warn, "log", "access lines dropped", &[("count", &dropped)]),
        }
        if self.bytes.is_empty() {
            return;
        }
        if output.write_all(&self.bytes).and_then(|()| output.flush()).is_err() {
            let untold = if shared.are_events { dropped } else { 0 };
            shared.dropped.fetch_add(untold + self.lines, Relaxed);
        }
        self.bytes.clear();
        self.bytes.shrink_to(KEEP_BYTES);
        self.lines = 0;
    }
}

fn dropped_line(count: u64) -> String {
    format!("{}\n", event_line(Warn, "log", "lines dropped", &[("count", &count)]))
}

#[cfg(test)]
mod tests {
    use std::io;

    use parking_lot::Mutex;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// An output that blocks until the other end of `gate` is dropped.
    struct Gated {
        gate: Receiver<()>,
        taken: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Gated {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.gate.recv();
            self.taken.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Sends `lines` while the output is blocked, then unblocks it. Returns how many lines were written, and
    /// how many the log reports as dropped.
    fn written_and_dropped(lines: impl Iterator<Item = Vec<u8>>) -> (usize, usize) {
        let (open, gate) = bounded(0);
        let taken = Arc::new(Mutex::new(Vec::new()));
        let writer = LineWriter::start(EVENTS, Box::new(Gated { gate, taken: Arc::clone(&taken) }));
        let sender = writer.sender();
        lines.for_each(|line| sender.send(line));
        drop(open);
        writer.flush(PATIENCE);
        let text = String::from_utf8(taken.lock().clone()).unwrap();
        let count = |line: &str| line.split_once("count=")?.1.trim().parse::<usize>().ok();
        (text.lines().filter(|line| line.starts_with('x')).count(), text.lines().filter_map(count).sum())
    }

    #[test]
    fn a_stuck_output_drops_lines_and_says_how_many() {
        let sent = 3 * MAX_LINES;
        // Longer than the batch being written can hold.
        let line = [vec![b'x'; 100], b"\n".to_vec()].concat();
        let (written, said) = written_and_dropped((0..sent).map(|_| line.clone()));
        assert!(said > 0);
        assert_eq!(written + said, sent);
    }

    /// A disk that is full for its first writes.
    struct Full {
        writes_left: usize,
        taken: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.writes_left > 0 {
                self.writes_left -= 1;
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.taken.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_a_full_disk_did_not_take_is_counted_and_said() {
        let taken = Arc::new(Mutex::new(Vec::new()));
        let output = Full { writes_left: 2, taken: Arc::clone(&taken) };
        let writer = LineWriter::start(EVENTS, Box::new(output));
        for _ in 0..3 {
            writer.sender().send(b"line\n".to_vec());
            writer.flush(PATIENCE);
        }
        let text = String::from_utf8(taken.lock().clone()).unwrap();
        assert!(text.starts_with("line\n") && text.ends_with("count=2\n"), "{text}");
    }

    #[test]
    fn lines_go_where_they_are_meant_to_in_order() {
        let [one, two] = std::array::from_fn(|_| Arc::new(Mutex::new(Vec::new())));
        let to = |taken: &Arc<Mutex<Vec<u8>>>| Box::new(Full { writes_left: 0, taken: Arc::clone(taken) });
        let writer = LineWriter::start(EVENTS, to(&one));
        writer.sender().send(b"first\n".to_vec());
        writer.write_to(to(&two));
        writer.sender().send(b"second\n".to_vec());
        writer.flush(PATIENCE);
        assert_eq!((one.lock().as_slice(), two.lock().as_slice()), (&b"first\n"[..], &b"second\n"[..]));
    }

    #[test]
    fn bytes_are_bounded_too() {
        let long = || [vec![b'x'; 1 << 20], b"\n".to_vec()].concat();
        let (written, said) = written_and_dropped((0..100).map(|_| long()));
        assert_eq!(written + said, 100);
        assert!(written <= 10, "{written} MB were kept");
    }
}
