//! Where listeners hand requests to.

use super::request::ClientRequest;

/// Takes the requests of all listeners. Called by the listeners' threads and by workers, so its methods must
/// not block.
pub trait Dispatch: Send + Sync {
    /// Takes a request.
    fn take(&self, request: ClientRequest);

    /// Counts a head that was refused for this reason before it became a request.
    fn refused(&self, reason: &'static str) {
        let _ = reason;
    }

    /// Wakes workers for requests that wait too long; called regularly by a thread that dispatches requests.
    /// Returns whether any request waits.
    fn look(&self) -> bool {
        false
    }
}
