//! What all links are made of.

use std::sync::Arc;

use crate::frontend::ClientRequest;
use crate::pool::Live;
use crate::proxy::Outcome;

/// One link.
pub trait Middleware: Send + Sync {
    /// Handles the request itself, or lets `next` do it.
    fn handle(&self, request: &mut ClientRequest, live: &Live, next: Next<'_>) -> Outcome;
}

/// What comes after the last link.
pub type Handler<'a> = &'a dyn Fn(&mut ClientRequest, &Live) -> Outcome;

/// The rest of the chain.
pub struct Next<'a> {
    links: &'a [Arc<dyn Middleware>],
    handler: Handler<'a>,
}

impl<'a> Next<'a> {
    /// The whole chain.
    pub fn new(links: &'a [Arc<dyn Middleware>], handler: Handler<'a>) -> Next<'a> {
        Next { links, handler }
    }

    /// Goes on.
    pub fn run(self, request: &mut ClientRequest, live: &Live) -> Outcome {
        match self.links.split_first() {
            Some((link, rest)) => link.handle(request, live, Next { links: rest, handler: self.handler }),
            None => (self.handler)(request, live),
        }
    }
}
