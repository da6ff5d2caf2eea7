//! The middleware chain around every request: each link passes the request on, wraps it or answers it. The
//! order is one list, [`chain`].

mod access_log;
mod explain;
mod forward_auth;
mod link;
mod login;
mod metrics;
mod rate_limit;
mod recover;
mod redirect;
mod route;

use std::sync::Arc;

pub use access_log::AccessLog;
pub use explain::Explain;
pub use forward_auth::AskService;
pub use link::{Handler, Middleware, Next};
pub use login::CheckLogin;
pub use metrics::CountRequests;
pub use rate_limit::RateLimiter;
pub use recover::Recover;
pub use redirect::RedirectToTls;
pub use route::{AnswerRoutes, FindRules, lay_down};

/// The links in order: the first sees the request first and its outcome last.
pub fn chain(
    explain: Explain,
    access_log: AccessLog,
    count: CountRequests,
    endpoints: Arc<dyn Middleware>,
    rate_limiter: RateLimiter,
    ask_service: AskService,
) -> Vec<Arc<dyn Middleware>> {
    vec![
        Arc::new(explain),
        Arc::new(access_log),
        Arc::new(count),
        Arc::new(Recover),
        endpoints,
        Arc::new(FindRules),
        Arc::new(rate_limiter),
        Arc::new(RedirectToTls),
        Arc::new(AnswerRoutes),
        Arc::new(CheckLogin::default()),
        Arc::new(ask_service),
    ]
}
