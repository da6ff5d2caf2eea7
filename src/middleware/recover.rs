//! Limits the effect of a panic to the request being handled.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::link::{Middleware, Next};
use crate::frontend::ClientRequest;
use crate::pool::Live;
use crate::proxy::{End, Outcome, Refusal};

/// Turns a panic into a 500, or breaks off an answer that has begun.
pub struct Recover;

impl Middleware for Recover {
    fn handle(&self, request: &mut ClientRequest, live: &Live, next: Next<'_>) -> Outcome {
        // Unwind safety: only the answer depends on the request's state after a panic, and that state is
        // checked below; leases release their counts while unwinding.
        let result = catch_unwind(AssertUnwindSafe(|| next.run(request, live)));
        result.unwrap_or_else(|_| {
            request.responder.close_after();
            if request.responder.has_started() {
                request.responder.break_off();
                return Outcome {
                    status: 500,
                    backend: None,
                    pool: None,
                    attempts: 0,
                    end: End::Refused(Refusal::Internal),
                };
            }
            Outcome::refused(request, Refusal::Internal)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::frontend::{Ending, Framing};
    use crate::http::Headers;
    use crate::proxy::fakes;

    #[test]
    fn a_panic_costs_one_request() {
        let (mut request, seen) = fakes::get("/");
        let links: Vec<Arc<dyn Middleware>> = vec![Arc::new(Recover)];
        let outcome = Next::new(&links, &|_, _| panic!("boom")).run(&mut request, &fakes::live(1));
        assert_eq!(outcome.status, 500);
        assert_eq!(outcome.counts(), Some(false));
        assert!(seen.text().starts_with("HTTP/1.1 500 "), "{}", seen.text());
        assert!(seen.text().contains("X-LB-Reason: internal_error\r\n"));
    }

    #[test]
    fn an_answer_that_had_begun_is_broken_off() {
        let (mut request, seen) = fakes::get("/");
        let links: Vec<Arc<dyn Middleware>> = vec![Arc::new(Recover)];
        let handler = |request: &mut ClientRequest, _: &Live| {
            request.responder.start(200, &Headers::default(), Framing::Length(10));
            request.responder.write(b"half").unwrap();
            panic!("boom")
        };
        Next::new(&links, &handler).run(&mut request, &fakes::live(1));
        assert!(seen.text().ends_with("half"));
        assert_eq!(seen.ending(), Some(Ending::BrokenOff));
    }
}
