//! What the front knows of a request that it has handed to tiny_http, by the address that tiny_http will
//! know it by, and what the request's handler tells the front.
//!
//! The entry is made before the first byte goes over, so whoever connects to tiny_http without one is
//! not the front.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parking_lot::Mutex;

use super::poll::Poll;
use crate::frontend::stream::Ending;
use crate::http::framing::Flaw;
use crate::http::{BodyLength, RequestHead};

/// One request.
pub(in crate::frontend) struct Handed {
    /// The client.
    pub peer: SocketAddr,
    /// Whether it speaks TLS.
    pub secure: bool,
    /// Its head, until it is taken.
    pub head: Mutex<Option<RequestHead>>,
    /// How long its body is, or why it can't be taken.
    pub screened: Result<BodyLength, Flaw>,
    /// Whether it may become a tunnel.
    pub upgrade: bool,
    /// Whether all of its body has come from the client. Set before the end goes over.
    pub body_is_whole: AtomicBool,
    told: Mutex<Told>,
    slot: usize,
    inbox: Arc<Inbox>,
}

/// What the handler has told.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::frontend) struct Told {
    /// It is waiting for the body.
    pub wants_body: bool,
    /// Bytes of the answer that it has written.
    pub written: u64,
    /// How it has ended the answer.
    pub ending: Option<Ending>,
    /// Whether the bridge is left as it was before the request.
    pub reusable: bool,
    /// The bridge took nothing more, so not all that was written will come.
    pub gave_up: bool,
}

impl Handed {
    pub fn new(
        (peer, secure): (SocketAddr, bool),
        head: RequestHead,
        (screened, upgrade): (Result<BodyLength, Flaw>, bool),
        slot: usize,
        inbox: &Arc<Inbox>,
    ) -> Handed {
        let (head, inbox) = (Mutex::new(Some(head)), Arc::clone(inbox));
        let body_is_whole = AtomicBool::new(false);
        Handed { peer, secure, head, screened, upgrade, body_is_whole, told: Mutex::default(), slot, inbox }
    }

    /// What was told so far. Takes a lock.
    pub fn told(&self) -> Told {
        *self.told.lock()
    }

    /// So many more bytes of the answer are on their way. Takes a lock.
    pub fn wrote(&self, bytes: usize) {
        self.told.lock().written += bytes as u64;
    }

    /// The handler waits for the body. Takes a lock.
    pub fn wants_body(&self) {
        let known = std::mem::replace(&mut self.told.lock().wants_body, true);
        if !known {
            self.inbox.ring(self.slot);
        }
    }

    /// What was written did not all go over. Takes a lock.
    pub fn gave_up(&self) {
        self.told.lock().gave_up = true;
    }

    /// The answer has ended, and whether the bridge is left as it was before. Takes a lock.
    pub fn end(&self, ending: Ending, reusable: bool) {
        let mut told = self.told.lock();
        if told.ending.is_none() {
            (told.ending, told.reusable) = (Some(ending), reusable);
        }
        drop(told);
        self.inbox.ring(self.slot);
    }
}

/// Wakes the front's loop, and tells it where to look.
pub(in crate::frontend) struct Inbox {
    poll: Arc<Poll>,
    slots: Mutex<Vec<usize>>,
}

impl Inbox {
    pub fn new(poll: Arc<Poll>) -> Inbox {
        Inbox { poll, slots: Mutex::default() }
    }

    fn ring(&self, slot: usize) {
        self.slots.lock().push(slot);
        self.poll.ring();
    }

    /// Where something was told since the last time. Takes a lock.
    pub fn take(&self) -> Vec<usize> {
        std::mem::take(&mut self.slots.lock())
    }
}

/// All that were handed over and have not ended.
#[derive(Default)]
pub(in crate::frontend) struct HandedTable(Mutex<HashMap<SocketAddr, Arc<Handed>>>);

impl HandedTable {
    /// From now on this is the request that comes from there. Takes a lock.
    pub fn insert(&self, address: SocketAddr, handed: Arc<Handed>) {
        self.0.lock().insert(address, handed);
    }

    /// The request that comes from there. Takes a lock.
    pub fn get(&self, address: SocketAddr) -> Option<Arc<Handed>> {
        self.0.lock().get(&address).map(Arc::clone)
    }

    /// It has ended. Takes a lock.
    pub fn remove(&self, address: SocketAddr) {
        self.0.lock().remove(&address);
    }
}
