//! The balancer's own endpoints on the public listeners: a table from path to function. All other requests
//! are proxied.

mod admin;
mod explain;
mod history;
mod login;
mod process;
mod public;

use std::sync::Arc;

pub use admin::Admin;
pub use history::keep as keep_history;
pub use public::Figures;

use crate::frontend::ClientRequest;
use crate::middleware::{Middleware, Next};
use crate::pool::Live;
use crate::proxy::{Outcome, Refusal};

/// Answers the requests for a path.
type Page = fn(&Figures, &mut ClientRequest, &Live) -> Outcome;

/// Who may read an endpoint on a public listener.
#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    /// All clients: whoever sends requests here must be able to find out whether they can be served.
    Everybody,
    /// Clients in `pages`: these endpoints reveal backends and load.
    Operators,
}

/// All endpoints.
const PAGES: [(&str, For, Page); 4] = [
    ("/lb-metrics", For::Operators, public::metrics),
    ("/lb-health", For::Everybody, public::health),
    ("/lb-ready", For::Everybody, public::ready),
    ("/lb-dashboard", For::Operators, public::dashboard),
];

/// Whether the balancer answers this path itself.
pub fn is_own(path: &str) -> bool {
    PAGES.iter().any(|(known, ..)| *known == path)
}

/// Answers the paths in [`PAGES`] and passes other requests on.
pub struct Endpoints(pub Arc<Figures>);

impl Middleware for Endpoints {
    fn handle(&self, request: &mut ClientRequest, live: &Live, next: Next<'_>) -> Outcome {
        let path = request.head.path();
        let Some((_, who, page)) = PAGES.iter().find(|(known, ..)| *known == path) else {
            return next.run(request, live);
        };
        if *who == For::Operators && !live.config.pages.admit(request.client) {
            return Outcome::refused(request, Refusal::ForbiddenAddress);
        }
        if !request.head.only_reads() {
            return Outcome::refused(request, Refusal::MethodNotAllowed);
        }
        page(&self.0, request, live)
    }
}
