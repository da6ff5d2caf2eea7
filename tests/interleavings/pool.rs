//! The workers' places: who leaves the pool while the reaper sends others out of it.

use super::many_orders;
use super::slot::{Slot, Slots};
use super::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use super::sync::{Arc, Mutex, thread};
use super::watch::WorkerHandle;

/// What a worker is given to do.
#[derive(Clone, Copy)]
enum Job {
    /// It passes an answer on.
    Answer,
    /// It leaves with a stream, if it may.
    Stream,
    /// It passes an answer on, and then leaves with it, if it may.
    LongAnswer,
}

/// A pool whose workers do what there is to do, and then wait for more.
struct Pool {
    slots: Arc<Slots>,
    crew: Arc<Crew>,
}

#[derive(Default)]
struct Crew {
    jobs: Mutex<Vec<Job>>,
    threads: Mutex<Vec<thread::JoinHandle<()>>>,
    /// Workers that wait.
    waiting: Mutex<Vec<Arc<Slot>>>,
    outside: AtomicUsize,
    most_outside: AtomicUsize,
}

impl Pool {
    /// With so many workers, of whom so many more may be outside.
    fn start(workers: usize, max_streams: usize, jobs: &[Job]) -> Pool {
        let crew = Arc::new(Crew { jobs: Mutex::default(), ..Crew::default() });
        crew.jobs.lock().extend(jobs);
        let hiring = Arc::clone(&crew);
        let hire = move |slot| {
            let its = Arc::clone(&hiring);
            let mut threads = hiring.threads.lock();
            let is_hired_later = threads.len() >= workers;
            threads.push(thread::spawn(move || work(&slot, &its, is_hired_later)));
            true
        };
        let slots = Slots::new(Arc::default(), move || max_streams, hire);
        (0..workers).for_each(|_| assert!(slots.fill()));
        Pool { slots, crew }
    }

    /// Sends those out who pass an answer on, as though each were a long one.
    fn release(&self) {
        let all = self.slots.all.lock().clone();
        let _ = all.iter().all(|slot| slot.detach_if(|since| since != super::slot::IDLE));
    }

    /// Once there is nothing to do: there are as many in the pool as ever, as whoever is too many ends when it has had
    /// one more request, and nobody is counted as outside.
    fn assert_whole(self, workers: usize, max_streams: usize) {
        while let Some(thread) = { self.crew.threads.lock().pop() } {
            thread.join().unwrap();
        }
        let (all, waiting) = (self.slots.all.lock(), self.crew.waiting.lock());
        let stay: Vec<_> = waiting.iter().filter(|slot| !slot.should_exit()).collect();
        assert_eq!((stay.len(), self.slots.streams(), all.len()), (workers, 0, workers));
        assert!(stay.iter().all(|slot| all.iter().any(|one| Arc::ptr_eq(one, slot))), "listed are others");
        assert!(self.crew.most_outside.load(SeqCst) <= max_streams);
    }
}

fn work(slot: &Arc<Slot>, crew: &Crew, is_hired_later: bool) {
    while !slot.should_exit() {
        let Some(job) = crew.jobs.lock().pop() else {
            return crew.waiting.lock().push(Arc::clone(slot));
        };
        assert!(is_hired_later || !slot.has_left(), "sent out after its answer had ended");
        if !matches!(job, Job::Stream) {
            slot.relaying();
        }
        if !matches!(job, Job::Answer) && slot.leave() {
            let outside = crew.outside.fetch_add(1, SeqCst) + 1;
            crew.most_outside.fetch_max(outside, SeqCst);
            thread::yield_now();
            crew.outside.fetch_sub(1, SeqCst);
        }
    }
}

/// The reaper sends a worker out just when its answer ends: either it goes, or who was hired for it does.
#[test]
fn who_is_sent_out_is_replaced_and_nobody_is_lost_whenever_its_answer_ends() {
    many_orders(|| {
        let pool = Pool::start(2, 9, &[Job::Answer; 3]);
        pool.release();
        pool.assert_whole(2, 9);
    });
}

/// A worker leaves just when the reaper sends it out; it leaves once, and one takes its place.
#[test]
fn nobody_leaves_twice() {
    many_orders(|| {
        let pool = Pool::start(1, 9, &[Job::LongAnswer; 2]);
        pool.release();
        pool.assert_whole(1, 9);
    });
}

/// Three would leave at once, and one may.
#[test]
fn no_more_are_outside_than_may_be() {
    many_orders(|| {
        let pool = Pool::start(3, 1, &[Job::Stream; 4]);
        pool.assert_whole(3, 1);
    });
}

/// Who is hired for a worker that then stays leaves with a stream of its own, before it is told that it is too many.
#[test]
fn who_is_too_many_may_have_left_by_itself() {
    many_orders(|| {
        let pool = Pool::start(1, 9, &[Job::Stream, Job::Answer]);
        pool.release();
        pool.assert_whole(1, 9);
    });
}
