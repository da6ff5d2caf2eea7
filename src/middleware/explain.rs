//! Records why each request went where it went, if there is an admin listener to ask for it.

use std::sync::Arc;
use std::time::SystemTime;

use super::link::{Middleware, Next};
use crate::explain::{Explanations, Record, Trace, request_text};
use crate::frontend::ClientRequest;
use crate::pool::Live;
use crate::proxy::Outcome;

/// With `None`, records nothing and costs nothing.
pub struct Explain(pub Option<Arc<Explanations>>);

impl Middleware for Explain {
    fn handle(&self, request: &mut ClientRequest, live: &Live, next: Next<'_>) -> Outcome {
        let Some(explanations) = &self.0 else { return next.run(request, live) };
        let time = SystemTime::now();
        request.trace = Trace::on();
        let outcome = next.run(request, live);
        explanations.add(Record {
            id: request.id.clone(),
            time,
            request: request_text(&request.head),
            client: request.client,
            spans: request.watch.spans(request.received.elapsed(), outcome.attempts),
            status: outcome.status,
            reason: outcome.reason(),
            rules: request.rules.and_then(|number| live.book().get(number).story()),
            story: std::mem::take(&mut request.trace).into_story(),
        });
        outcome
    }
}
