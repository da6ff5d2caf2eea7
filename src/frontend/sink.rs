//! Where requests go, as the listeners see it.

use std::sync::Arc;

use super::request::ClientRequest;

/// Takes in what has arrived at a listener and was not looked at yet. Must not block.
pub type More = Arc<dyn Fn() + Send + Sync>;

/// Where requests go. Called by accepting threads and by workers, so nothing here blocks.
pub trait Sink: Send + Sync {
    /// Takes a request.
    fn take(&self, request: ClientRequest);

    /// A head was refused for this reason before it became a request.
    fn refused(&self, reason: &'static str) {
        let _ = reason;
    }

    /// Requests that were taken and have not ended; without a rush nobody asks.
    fn in_flight(&self) -> usize {
        0
    }

    /// So many requests come that they need not be announced one by one: until [`Sink::end_rush`], those
    /// who handle requests ask for `more` when they are done with one, and [`Sink::look`] is called now and
    /// then for those that nobody has asked for. `false` where there is a rush at another listener already.
    fn begin_rush(&self, more: More) -> bool {
        let _ = more;
        false
    }

    /// Sees to it that nothing waits for long in a rush; says whether anything waits.
    fn look(&self) -> bool {
        false
    }

    /// Ends a rush that was begun.
    fn end_rush(&self) {}
}
