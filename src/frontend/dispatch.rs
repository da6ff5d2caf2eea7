//! Where requests go, as the listeners see it.

use super::request::ClientRequest;

/// Where requests go. Called by the listeners' threads and by workers, so nothing here blocks.
pub trait Dispatch: Send + Sync {
    /// Takes a request.
    fn take(&self, request: ClientRequest);

    /// A head was refused for this reason before it became a request.
    fn refused(&self, reason: &'static str) {
        let _ = reason;
    }

    /// Sees to it that nothing waits for long without need; to be called now and then by a thread that
    /// hands requests over. Says whether anything waits.
    fn look(&self) -> bool {
        false
    }
}
