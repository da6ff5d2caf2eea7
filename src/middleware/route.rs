//! Finds the rules for a request and applies those that need no backend: who may send it, and fixed answers.

use std::sync::Arc;

use super::link::{Middleware, Next};
use crate::frontend::ClientRequest;
use crate::http::{Headers, status};
use crate::pool::Live;
use crate::proxy::{End, Outcome, Refusal};
use crate::rules::{Answer, Rules, headers};

/// Looks up the rules, and refuses clients that they do not allow.
pub struct FindRules;

impl Middleware for FindRules {
    fn handle(&self, request: &mut ClientRequest, live: &Live, next: Next<'_>) -> Outcome {
        match lay_down(request, live) {
            Err(status) => Outcome::refused(request, Refusal::NoRoute { status }),
            Ok(rules) if rules.admits(request.client) => next.run(request, live),
            Ok(_) => Outcome::refused(request, Refusal::ForbiddenAddress),
        }
    }
}

/// Looks up the rules and notes in the request how they change its answer, whoever writes it.
///
/// # Errors
/// No route matches; the status to answer with.
pub fn lay_down<'l>(request: &mut ClientRequest, live: &'l Live) -> Result<&'l Rules, u16> {
    let number = live.book().find(&request.head, request.client)?;
    let rules = live.book().get(number);
    request.rules = Some(number);
    request.response_headers.clone_from(&rules.response_headers);
    request.error_pages.clone_from(&rules.error_pages);
    Ok(rules)
}

/// Sends the fixed answers of routes.
pub struct AnswerRoutes;

impl Middleware for AnswerRoutes {
    fn handle(&self, request: &mut ClientRequest, live: &Live, next: Next<'_>) -> Outcome {
        let rules = request.rules.map(|number| live.book().get(number));
        let Some(answer) = rules.and_then(|rules| rules.answer.as_ref()) else {
            return next.run(request, live);
        };
        let mut fields = Headers::default();
        let (code, body) = match answer {
            Answer::Redirect { to, status: code } => {
                let head = Arc::clone(&request.head);
                let path = head.path_and_query();
                fields.push("Location", headers::location(to, &request.context("", &path)).as_bytes());
                fields.push("Content-Type", b"text/plain; charset=utf-8");
                (*code, format!("{}\n", status::reason(*code)))
            }
            Answer::Respond { status: code, body, content_type } => {
                if !body.is_empty() {
                    fields.push("Content-Type", content_type.as_bytes());
                }
                (*code, body.clone())
            }
        };
        if code == 503 {
            fields.push("Retry-After", status::RETRY_SOON.to_string().as_bytes());
        }
        fields.push("X-LB-Reason", b"route_answer");
        fields.push("X-Request-ID", request.id.as_bytes());
        // A client that has left does not get it.
        let _ = request.answer(code, fields, body.as_bytes());
        Outcome { status: code, backend: None, pool: None, attempts: 0, end: End::Answered }
    }
}
