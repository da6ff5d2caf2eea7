//! Passes a connection between the front and a worker: lent when a request has arrived, given back after its
//! answer. Nothing here waits, so it may run on any thread.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use super::advance::Next;
use super::conn::{Conn, Gone, Stage};
use super::core::{Core, Loan};
use super::poll::Ready;
use super::table::{Holder, Slot};
use crate::frontend::{ClientRequest, Ending};
use crate::http::{RequestHead, framing};
use crate::watch::Watch;

thread_local! {
    /// Connections given back while the dispatcher was still taking their request, because it was answered at
    /// once. They are advanced in a loop afterwards: recursion would let a client that pipelines overflow the
    /// stack.
    static RETURNED: RefCell<Option<Returned>> = const { RefCell::new(None) };
}

/// Connections and their keys.
type Returned = Vec<(Box<Conn>, usize)>;

/// Requests answered at once that are handled in a row, before other clients have their turn.
const MAX_IN_A_ROW: usize = 32;
fn next_returned() -> Option<(Box<Conn>, usize)> {
    RETURNED.with_borrow_mut(|all| all.as_mut().and_then(Vec::pop))
}

/// Stops collecting when dropped, even by a panic.
struct NoneReturned;

impl Drop for NoneReturned {
    fn drop(&mut self) {
        RETURNED.set(None);
    }
}

impl Core {
    /// Handles an event of a connection. Takes the slot's lock.
    pub fn ready(self: &Arc<Self>, index: usize, ready: Ready, now: Instant) {
        let Some(slot) = self.table.slot(index) else { return };
        let mut slot = slot.lock();
        if slot.key != index {
            // The event belongs to an earlier connection in this slot.
            return;
        }
        match std::mem::replace(&mut slot.holder, Holder::Front) {
            Holder::Slot(conn) => {
                drop(slot);
                self.work(conn, index, ready, now);
            }
            elsewhere => {
                let watch = match &elsewhere {
                    Holder::Worker(watch) if ready.broken => Some(Arc::clone(watch)),
                    _ => None,
                };
                slot.holder = elsewhere;
                slot.missed = slot.missed.and(ready);
                if ready.ended {
                    slot.ended_since.get_or_insert(now);
                }
                drop(slot);
                watch.inspect(|watch| watch.client_has_gone());
            }
        }
    }

    /// Takes back a connection whose request has ended. Takes the slot's lock.
    pub fn give_back(self: &Arc<Self>, mut conn: Box<Conn>, index: usize, ending: Ending) {
        let now = Instant::now();
        let closed = match ending {
            Ending::KeepAlive => {
                conn.enter(Stage::Idle, now);
                Ok(())
            }
            Ending::Close => conn.close(true, now),
            Ending::BrokenOff => conn.close(false, now),
            Ending::Reset => {
                conn.reset_at_close();
                Err(Gone)
            }
        };
        if closed.is_err() {
            return;
        }
        let mut conn = Some(conn);
        RETURNED.with_borrow_mut(|all| {
            if let Some(all) = all {
                all.extend(conn.take().map(|conn| (conn, index)));
            }
        });
        if let Some(conn) = conn {
            self.work(conn, index, Ready::default(), now);
        }
    }

    /// Advances the connection as far as possible, then lends it or puts it in its slot. Takes locks, one
    /// after the other.
    pub fn work(self: &Arc<Self>, mut conn: Box<Conn>, index: usize, mut ready: Ready, now: Instant) {
        let Some(slot) = self.table.slot(index) else { return };
        loop {
            match self.advance(&mut conn, index, ready, now) {
                Err(Gone) => return,
                Ok(Next::Lends(head)) => return self.lend(conn, index, head, slot),
                Ok(Next::Stays) => {}
            }
            let mut slot = slot.lock();
            ready = std::mem::take(&mut slot.missed);
            if !ready.is_any() {
                slot.ended_since = None;
                slot.holder = Holder::Slot(conn);
                return;
            }
        }
    }

    fn lend(self: &Arc<Self>, mut conn: Box<Conn>, index: usize, head: RequestHead, slot: &Mutex<Slot>) {
        let body_length = framing::check(&head);
        let (peer, secure, watch) = (conn.peer, conn.secure, Arc::new(Watch::default()));
        let tls_version = conn.tls.as_ref().and_then(|tls| tls.version());
        conn.requests = conn.requests.saturating_add(1);
        let mut slot = slot.lock();
        slot.holder = Holder::Worker(Arc::clone(&watch));
        if slot.missed.broken {
            // The event came while the front held the connection, and will not be reported again.
            watch.client_has_gone();
        }
        drop(slot);
        let loan = Loan { core: Arc::clone(self), index, conn, body_length, watch: Arc::clone(&watch) };
        let stream = (self.stream_of)(loan, &head);
        let mut request = ClientRequest::new(head, body_length, peer, secure, watch, stream);
        request.tls_version = tls_version;
        let is_nested = RETURNED.with_borrow(Option::is_some);
        if is_nested {
            return self.dispatch.take(request);
        }
        RETURNED.set(Some(Vec::new()));
        let _at_the_end = NoneReturned;
        self.dispatch.take(request);
        for _ in 0..MAX_IN_A_ROW {
            let Some((conn, index)) = next_returned() else { return };
            self.work(conn, index, Ready::default(), Instant::now());
        }
        while let Some((conn, index)) = next_returned() {
            self.look_again(conn, index);
        }
    }

    /// Puts the connection in its slot, to be advanced after others had their turn. Takes a lock.
    fn look_again(&self, conn: Box<Conn>, index: usize) {
        let Some(slot) = self.table.slot(index) else { return };
        let mut slot = slot.lock();
        // Re-arming the poll reports the current state once more, which includes all events missed until
        // then.
        match self.polls[conn.home].hush(&conn.client, index, false) {
            Ok(()) => slot.holder = Holder::Slot(conn),
            // Dropping the connection takes the slot's lock.
            Err(_) => {
                drop(slot);
                drop(conn);
            }
        }
    }
}
