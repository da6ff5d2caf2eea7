//! The wait queue of a pool whose backends have all reached `max_connections`: first come, first served.
//!
//! Only the first waiter may claim a slot. Every waiter that leaves the head of the queue, with a slot or
//! without, wakes the next. So no request is overtaken, neither by another waiter nor by a new request, and a
//! released slot wakes one thread. Every slot suits every waiter: which backends have room does not depend on
//! the request.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

/// See the module.
#[derive(Default)]
pub struct WaitQueue {
    /// How many wait; if 0, the lock need not be taken.
    length: AtomicUsize,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    /// The oldest first.
    waiting: VecDeque<(u64, Sender<()>)>,
    /// The number of the next waiter.
    number: u64,
}

/// A request that waits for a slot; leaves the queue when dropped.
pub struct Waiter<'a> {
    wait_queue: &'a WaitQueue,
    number: u64,
    call: Receiver<()>,
}

impl WaitQueue {
    /// How many requests wait.
    pub fn len(&self) -> usize {
        self.length.load(SeqCst)
    }

    /// Whether nobody waits, so that a slot may be claimed at once.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Joins the queue at its end; `None` if `most` wait already. Takes the lock.
    pub fn join(&self, most: usize) -> Option<Waiter<'_>> {
        let mut queue = self.queue.lock();
        if queue.waiting.len() >= most {
            return None;
        }
        let (caller, call) = bounded(1);
        let number = queue.number;
        queue.number += 1;
        queue.waiting.push_back((number, caller));
        self.length.store(queue.waiting.len(), SeqCst);
        Some(Waiter { wait_queue: self, number, call })
    }

    /// Wakes the first waiter: a slot has been released. Takes the lock if somebody waits.
    pub(super) fn freed(&self) {
        if !self.is_empty() {
            call_first(&self.queue.lock());
        }
    }
}

fn call_first(queue: &Queue) {
    if let Some((_, caller)) = queue.waiting.front() {
        // If it was woken before, the message is still in its channel.
        let _ = caller.try_send(());
    }
}

impl Waiter<'_> {
    /// Whether this waiter is the first in the queue. Takes the lock.
    pub fn is_first(&self) -> bool {
        self.wait_queue.queue.lock().waiting.front().is_some_and(|(number, _)| *number == self.number)
    }

    /// Waits to be woken, at most this long.
    pub fn wait(&self, most: Duration) {
        let _ = self.call.recv_timeout(most);
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut queue = self.wait_queue.queue.lock();
        if let Ok(index) = queue.waiting.binary_search_by_key(&self.number, |(number, _)| *number) {
            queue.waiting.remove(index);
            self.wait_queue.length.store(queue.waiting.len(), SeqCst);
            // Several slots may have been released at once.
            if index == 0 {
                call_first(&queue);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn was_called(waiter: &Waiter<'_>) -> bool {
        waiter.call.try_recv().is_ok()
    }

    #[test]
    fn a_free_place_calls_the_oldest_and_each_calls_the_next() {
        let wait_queue = WaitQueue::default();
        let [first, second, third] = [(); 3].map(|()| wait_queue.join(3).unwrap());
        assert!(wait_queue.join(3).is_none(), "it has a bound");
        wait_queue.freed();
        assert_eq!([&first, &second, &third].map(was_called), [true, false, false]);
        assert_eq!([&first, &second, &third].map(Waiter::is_first), [true, false, false]);
        drop(first);
        assert!(was_called(&second) && second.is_first());
        drop(second);
        assert!(was_called(&third) && third.is_first());
        drop(third);
        assert!(wait_queue.is_empty());
    }

    #[test]
    fn who_gives_up_in_the_middle_leaves_the_order_as_it_is() {
        let wait_queue = WaitQueue::default();
        let [first, second, third] = [(); 3].map(|()| wait_queue.join(9).unwrap());
        drop(second);
        assert_eq!(wait_queue.len(), 2);
        assert_eq!([&first, &third].map(was_called), [false, false]);
        drop(first);
        assert!(was_called(&third) && third.is_first());
    }
}
