//! The balancer's own pages on the main listener: a table from path to function. Everything else is
//! proxied.

mod admin;
mod explain;
mod public;

use std::sync::Arc;

pub use admin::Admin;
pub use public::Figures;

use crate::frontend::ClientRequest;
use crate::http::RequestHead;
use crate::middleware::{Middleware, Next};
use crate::pool::Live;
use crate::proxy::{Outcome, Refusal};

/// Answers for a path.
type Page = fn(&Figures, &mut ClientRequest, &Live) -> Outcome;

/// All of them.
const PAGES: [(&str, Page); 3] =
    [("/lb-metrics", public::metrics), ("/lb-health", public::health), ("/lb-dashboard", public::dashboard)];

fn is_read(head: &RequestHead) -> bool {
    matches!(head.method.as_str(), "GET" | "HEAD")
}

/// Whether the balancer answers this path itself.
pub fn is_own(path: &str) -> bool {
    PAGES.iter().any(|(known, _)| *known == path)
}

/// Answers the paths in [`PAGES`] and passes the rest on.
pub struct Endpoints(pub Arc<Figures>);

impl Middleware for Endpoints {
    fn handle(&self, request: &mut ClientRequest, live: &Live, next: Next<'_>) -> Outcome {
        let path = request.head.path();
        let Some((_, page)) = PAGES.iter().find(|(known, _)| *known == path) else {
            return next.run(request, live);
        };
        if !is_read(&request.head) {
            return Outcome::refused(request, Refusal::MethodNotAllowed);
        }
        page(&self.0, request, live)
    }
}
