//! Lines on their way to a slow place: a bounded hand-over to one thread that writes.
//!
//! Whoever logs never waits. What does not fit is dropped, counted, and said in the log as soon as
//! there is room again. Each output has a writer of its own, so that a stuck access log (a pipe that
//! nobody reads) can't silence the events.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

/// Lines that may wait; at 150 bytes a line some 1.2 MB.
const MAX_LINES: usize = 8192;
/// Bytes that may wait, for a line can be as long as a client's target.
const MAX_BYTES: usize = 4 << 20;
/// So long the writer lets lines gather once there is one: to wake it for each would cost more than they do.
const GATHER: Duration = Duration::from_millis(1);
/// The writer gathers up to this much for one write.
const BATCH_BYTES: usize = 64 << 10;
/// A batch buffer that one long line blew up is given back.
const KEEP_BYTES: usize = 2 * BATCH_BYTES;

enum Message {
    Line(Vec<u8>),
    Flush(Sender<()>),
}

#[derive(Default)]
struct Shared {
    waiting_bytes: AtomicUsize,
    dropped: AtomicU64,
}

/// The owner's handle: makes senders, and can wait until all is written.
pub struct LineWriter {
    sender: LineSender,
}

/// Hands lines over; cheap to clone.
#[derive(Clone)]
pub struct LineSender {
    messages: Sender<Message>,
    shared: Arc<Shared>,
}

impl LineWriter {
    /// Starts the thread that writes to `output`. It lives as long as the process.
    pub fn start(name: &str, output: impl Write + Send + 'static) -> LineWriter {
        let (messages, inbox) = bounded(MAX_LINES);
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        // Without the thread (no memory) lines are dropped and counted, and the balancer still runs.
        let _ = thread::Builder::new()
            .name(name.to_owned())
            .stack_size(128 << 10)
            .spawn(move || write_lines(&inbox, &theirs, output));
        LineWriter { sender: LineSender { messages, shared } }
    }

    /// A handle for those who write lines.
    pub fn sender(&self) -> LineSender {
        self.sender.clone()
    }

    /// Waits until all lines so far are written, at most `patience`.
    pub fn flush(&self, patience: Duration) {
        let (done, written) = bounded(1);
        if self.sender.messages.send_timeout(Message::Flush(done), patience).is_ok() {
            let _ = written.recv_timeout(patience);
        }
    }
}

impl LineSender {
    /// Hands over a line with its line end, or drops and counts it. Never waits.
    pub fn send(&self, line: Vec<u8>) {
        let length = line.len();
        let fits = self.shared.waiting_bytes.fetch_add(length, Relaxed) + length <= MAX_BYTES;
        if !fits || self.messages.try_send(Message::Line(line)).is_err() {
            self.shared.waiting_bytes.fetch_sub(length, Relaxed);
            self.shared.dropped.fetch_add(1, Relaxed);
        }
    }
}

fn write_lines(inbox: &Receiver<Message>, shared: &Shared, mut output: impl Write) {
    let mut batch = Vec::new();
    while let Ok(first) = inbox.recv() {
        thread::park_timeout(GATHER);
        let mut flushed = Vec::new();
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Line(line) => {
                    shared.waiting_bytes.fetch_sub(line.len(), Relaxed);
                    batch.extend_from_slice(&line);
                }
                Message::Flush(done) => flushed.push(done),
            }
            next = if batch.len() < BATCH_BYTES { inbox.try_recv().ok() } else { None };
        }
        say_dropped(shared, &mut batch);
        // A closed terminal or a full disk: nobody is left to tell.
        let _ = output.write_all(&batch).and_then(|()| output.flush());
        batch.clear();
        batch.shrink_to(KEEP_BYTES);
        drop(flushed);
    }
}

fn say_dropped(shared: &Shared, batch: &mut Vec<u8>) {
    let dropped = shared.dropped.swap(0, Relaxed);
    if dropped > 0 {
        let time = humantime::format_rfc3339_millis(std::time::SystemTime::now());
        let _ = writeln!(batch, "{time} level=WARN component=log msg=\"lines dropped\" count={dropped}");
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use parking_lot::Mutex;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// Takes nothing until its gate is opened (the other end of `gate` dropped).
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

    /// Sends `lines` while nothing is taken, then opens the gate: how many were written, and how many
    /// the log says were dropped.
    fn written_and_dropped(lines: impl Iterator<Item = Vec<u8>>) -> (usize, usize) {
        let (open, gate) = bounded(0);
        let taken = Arc::new(Mutex::new(Vec::new()));
        let writer = LineWriter::start("test", Gated { gate, taken: Arc::clone(&taken) });
        let sender = writer.sender();
        lines.for_each(|line| sender.send(line));
        drop(open);
        writer.flush(PATIENCE);
        let text = String::from_utf8(taken.lock().clone()).unwrap();
        let count = |line: &str| line.split_once("count=")?.1.parse::<usize>().ok();
        (text.lines().filter(|line| line.starts_with('x')).count(), text.lines().filter_map(count).sum())
    }

    #[test]
    fn a_stuck_output_drops_lines_and_says_how_many() {
        let sent = 3 * MAX_LINES;
        // Long enough that the batch under way can't hold them all.
        let line = [vec![b'x'; 100], b"\n".to_vec()].concat();
        let (written, said) = written_and_dropped((0..sent).map(|_| line.clone()));
        assert!(said > 0);
        assert_eq!(written + said, sent);
    }

    #[test]
    fn bytes_are_bounded_too() {
        let long = || [vec![b'x'; 1 << 20], b"\n".to_vec()].concat();
        let (written, said) = written_and_dropped((0..100).map(|_| long()));
        assert_eq!(written + said, 100);
        assert!(written <= 10, "{written} MB were kept");
    }
}
