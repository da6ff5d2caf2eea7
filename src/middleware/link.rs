//! The parts of the middleware chain.

use std::sync::Arc;

use crate::frontend::ClientRequest;
use crate::pool::Live;
use crate::proxy::Outcome;

/// One link of the chain.
pub trait Middleware: Send + Sync {
    /// Handles the request, either itself or by calling `next`.
    fn handle(&self, request: &mut ClientRequest, live: &Live, next: Next<'_>) -> Outcome;
}

/// The handler after the last link.
pub type Handler<'a> = &'a dyn Fn(&mut ClientRequest, &Live) -> Outcome;

/// The rest of the chain after a link.
pub struct Next<'a> {
    links: &'a [Arc<dyn Middleware>],
    handler: Handler<'a>,
}

impl<'a> Next<'a> {
    /// The start of the chain.
    pub fn new(links: &'a [Arc<dyn Middleware>], handler: Handler<'a>) -> Next<'a> {
        Next { links, handler }
    }

    /// Runs the next link, or the handler after the last one.
    pub fn run(self, request: &mut ClientRequest, live: &Live) -> Outcome {
        match self.links.split_first() {
            Some((link, rest)) => link.handle(request, live, Next { links: rest, handler: self.handler }),
            None => (self.handler)(request, live),
        }
    }
}
