//! The rules for a request: the layers of the configuration (top level, pool, route) merged, once for each
//! pool and once for each pool of each route. Compiled when a configuration is built, not evaluated at each
//! request. Pure.

pub mod headers;
mod matching;
mod path;
pub mod rewrite;
mod split;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::config::{
    Access, Action, BreakerConfig, CompressConfig, Config, HostHeader, Local, PoolConfig, RateLimit,
    RetryConfig, Route, Template, Unmatched,
};
use crate::http::RequestHead;
use headers::Op;
use matching::Routes;
pub use rewrite::Rewrite;

/// The merged rules for a group of requests.
#[derive(Debug)]
pub struct Rules {
    /// The name shown to operators: `routes[2]`, or `pool api`.
    pub name: String,
    /// The pool's index among all pools.
    pub pool: usize,
    /// The answer, if the requests go to no backend.
    pub answer: Option<Answer>,
    /// Operations on the fields for backends ...
    pub request_headers: Vec<Op>,
    /// ... and those that depend on which backend it is.
    pub backend_headers: Vec<Op>,
    /// Operations on the fields for clients; shared with the request.
    pub response_headers: Option<Arc<[Op]>>,
    /// Bodies of our own answers.
    pub error_pages: Option<Arc<ErrorPages>>,
    /// Which clients may send such requests.
    pub access: Access,
    /// How the path is rewritten for backends.
    pub rewrite: Rewrite,
    /// The `Host` field for backends.
    pub host_header: HostHeader,
    /// Time limit of one attempt.
    pub request_timeout: Duration,
    /// Limit for a request's body.
    pub max_body_bytes: Option<u64>,
    /// Which answers are compressed.
    pub compress: Option<CompressConfig>,
    /// When a request may be retried.
    pub retry: RetryConfig,
    /// The rate limit and its owner: a client has one bucket for each owner.
    pub rate_limit: Option<(RateLimit, u64)>,
    /// The breaker of a route with its own settings; `Some(None)` switches it off.
    pub own_breaker: Option<Option<BreakerConfig>>,
}

/// A configured answer that needs no backend.
#[derive(Debug)]
pub enum Answer {
    /// Redirects the client.
    Redirect {
        /// The target of the redirect.
        to: Template,
        /// The status, 3xx.
        status: u16,
    },
    /// Sends a fixed answer.
    Respond {
        /// The status.
        status: u16,
        /// The body.
        body: String,
        /// The content type.
        content_type: String,
    },
}

/// Error pages by status.
pub type ErrorPages = Vec<(u16, ErrorPage)>;

/// One error page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorPage {
    /// `Content-Type`.
    pub content_type: &'static str,
    /// The body.
    pub body: Arc<[u8]>,
}

/// All rules of a configuration.
#[derive(Debug)]
pub struct Book {
    /// First the rules of each pool, in the pools' order, for requests without a route; then those of the
    /// routes.
    rules: Vec<Rules>,
    routes: Routes,
    /// For each route, the rules and shares of its pools.
    choices: Vec<Vec<split::Choice>>,
    unmatched: Unmatched,
    /// For answers to requests that are refused before their route is known.
    top: (Option<Arc<[Op]>>, Option<Arc<ErrorPages>>),
}

impl Book {
    /// Compiles the rules of this configuration.
    pub fn new(config: &Config) -> Book {
        let pools: Vec<&PoolConfig> = config.all_pools().collect();
        let of_pool = |(index, pool): (usize, &&PoolConfig)| {
            let base = Rules::on_top(config, index, format!("pool {}", pool.name));
            base.with(&[&config.local, &pool.local], &["", &bucket_of_pool(pool)], config)
        };
        let mut book = Book {
            rules: pools.iter().enumerate().map(of_pool).collect(),
            routes: Routes::new(&config.routes),
            choices: Vec::new(),
            unmatched: config.unmatched,
            top: (headers::compiled_response(&[&config.local]), pages(&[&config.local])),
        };
        for (number, route) in config.routes.iter().enumerate() {
            let (name, bucket) = (format!("routes[{number}]"), bucket_of(route));
            let choices = match &route.action {
                Action::Pools(shares) => shares
                    .iter()
                    .filter_map(|(pool, share)| {
                        let index = pools.iter().position(|it| it.name == *pool)?;
                        let layers = [&config.local, &pools[index].local, &route.local];
                        let base = Rules::on_top(config, index, name.clone());
                        let mut rules =
                            base.with(&layers, &["", &bucket_of_pool(pools[index]), &bucket], config);
                        rules.rewrite = Rewrite::of(route);
                        rules.own_breaker = own_breaker(config, &layers[1..]);
                        rules.access = route.access.clone();
                        book.rules.push(rules);
                        Some(split::Choice::new(book.rules.len() - 1, pool, *share))
                    })
                    .collect(),
                action => {
                    let layers = [&config.local, &route.local];
                    let mut rules = Rules::on_top(config, 0, name).with(&layers, &["", &bucket], config);
                    rules.answer = Answer::of(action);
                    rules.access = route.access.clone();
                    book.rules.push(rules);
                    vec![split::Choice::new(book.rules.len() - 1, "", 1)]
                }
            };
            book.choices.push(choices);
        }
        book
    }

    /// The number of the rules for this request.
    ///
    /// # Errors
    /// No route matches; the status to answer with.
    pub fn find(&self, head: &RequestHead, client: IpAddr) -> Result<usize, u16> {
        match (self.routes.find(head), self.unmatched) {
            (Some(route), _) => Ok(split::choose(&self.choices[route], client).unwrap_or(0)),
            (None, Unmatched::Default) => Ok(0),
            (None, Unmatched::Refused(status)) => Err(status),
        }
    }

    /// The rules with this number; those of the pool `default` if there are none.
    pub fn get(&self, number: usize) -> &Rules {
        self.rules.get(number).unwrap_or(&self.rules[0])
    }

    /// All rules.
    pub fn iter(&self) -> impl Iterator<Item = &Rules> {
        self.rules.iter()
    }

    /// The header rules and error pages of the configuration's top level.
    pub fn top(&self) -> &(Option<Arc<[Op]>>, Option<Arc<ErrorPages>>) {
        &self.top
    }
}

impl Rules {
    /// What `explain` shows: the route and what its rules do. `None` if no route matched and the rules do
    /// nothing.
    pub fn story(&self) -> Option<String> {
        let mut done = Vec::new();
        let mut note = |what: &'static str, is_done: bool| {
            if is_done {
                done.push(what);
            }
        };
        note("redirect", matches!(self.answer, Some(Answer::Redirect { .. })));
        note("respond", matches!(self.answer, Some(Answer::Respond { .. })));
        note("allow, deny", !self.access.allow.is_empty() || !self.access.deny.is_empty());
        note("basic_auth", self.access.basic_auth.is_some());
        note("forward_auth", self.access.forward_auth.is_some());
        note("rate_limit", self.rate_limit.is_some());
        note("path rewritten", self.rewrite != Rewrite::default());
        note("request_headers", !self.request_headers.is_empty() || !self.backend_headers.is_empty());
        note("response_headers", self.response_headers.is_some());
        match (self.name.starts_with("routes["), done.is_empty()) {
            (false, true) => None,
            (_, true) => Some(self.name.clone()),
            (_, false) => Some(format!("{} ({})", self.name, done.join(", "))),
        }
    }

    /// Whether the client may send such requests; `deny` takes precedence over `allow`.
    pub fn admits(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        let has = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&client));
        (self.access.allow.is_empty() || has(&self.access.allow)) && !has(&self.access.deny)
    }

    fn on_top(config: &Config, pool: usize, name: String) -> Rules {
        Rules {
            name,
            pool,
            answer: None,
            request_headers: Vec::new(),
            backend_headers: Vec::new(),
            response_headers: None,
            error_pages: None,
            access: Access::default(),
            rewrite: Rewrite::default(),
            host_header: config.host_header.clone(),
            request_timeout: config.timeouts.request,
            max_body_bytes: config.limits.max_body_bytes,
            compress: config.compress.clone(),
            retry: config.retry.clone(),
            rate_limit: config.rate_limit.clone().map(|limit| (limit, 0)),
            own_breaker: None,
        }
    }

    /// Applies the layers, widest first. `owners` says to whom a rate limit of each layer belongs: routes
    /// without one of their own share that of their pool.
    fn with(mut self, layers: &[&Local], owners: &[&str], config: &Config) -> Rules {
        for (layer, owner) in layers.iter().zip(owners) {
            if let Some(host) = &layer.host_header {
                self.host_header = host.clone();
            }
            self.request_timeout = layer.request_timeout.unwrap_or(self.request_timeout);
            self.max_body_bytes = layer.max_body_bytes.unwrap_or(self.max_body_bytes);
            if let Some(compress) = &layer.compress {
                self.compress.clone_from(compress);
            }
            if let Some(retry) = &layer.retry {
                self.retry = retry.over(&self.retry);
            }
            if let Some(patch) = &layer.rate_limit {
                let default = config.rate_limit.clone().unwrap_or_default();
                let wider = self.rate_limit.take().map_or(default, |(limit, _)| limit);
                self.rate_limit =
                    patch.over(&wider, true).map(|limit| (limit, split::digest(owner.as_bytes())));
            }
        }
        (self.request_headers, self.backend_headers) = headers::compiled_request(layers);
        self.response_headers = headers::compiled_response(layers);
        self.error_pages = pages(layers);
        self
    }
}

/// The owner of a pool's rate limit.
fn bucket_of_pool(pool: &PoolConfig) -> String {
    format!("pool {}", pool.name)
}

/// The owner of a route's rate limit: the requests that it is for. Its number would change with a route that a
/// reload puts before it, and clients would find the buckets of another one.
fn bucket_of(route: &Route) -> String {
    let Route { hosts, path, methods, headers, query, .. } = route;
    format!("{hosts:?} {path:?} {methods:?} {headers:?} {query:?}")
}

/// The breaker settings of a pool or a route; `None` if it has none of its own.
fn own_breaker(config: &Config, layers: &[&Local]) -> Option<Option<BreakerConfig>> {
    layers.iter().rev().find(|layer| layer.circuit_breaker.is_some()).map(|_| {
        let mut breaker = config.circuit_breaker.clone();
        for patch in layers.iter().filter_map(|layer| layer.circuit_breaker.as_ref()) {
            let wider = breaker.clone().unwrap_or_default();
            breaker = patch.over(&wider, breaker.is_some());
        }
        breaker
    })
}

/// The breaker settings in force for a pool.
pub fn breaker_of(config: &Config, pool: &PoolConfig) -> Option<BreakerConfig> {
    own_breaker(config, &[&pool.local]).unwrap_or_else(|| config.circuit_breaker.clone())
}

/// For each status, the page of the narrowest layer that has one.
fn pages(layers: &[&Local]) -> Option<Arc<ErrorPages>> {
    let mut pages: ErrorPages = Vec::new();
    for (status, file) in layers.iter().rev().flat_map(|layer| &layer.error_pages) {
        if pages.iter().all(|(known, _)| known != status) {
            let is_html = [".html", ".htm"].iter().any(|end| file.name.to_ascii_lowercase().ends_with(end));
            let content_type = match is_html {
                true => "text/html; charset=utf-8",
                false if file.name.ends_with(".json") => "application/json",
                false => "text/plain; charset=utf-8",
            };
            pages.push((*status, ErrorPage { content_type, body: Arc::clone(&file.content) }));
        }
    }
    (!pages.is_empty()).then(|| Arc::new(pages))
}

impl Answer {
    fn of(action: &Action) -> Option<Answer> {
        match action.clone() {
            Action::Redirect { to, status } => Some(Answer::Redirect { to, status }),
            Action::Respond { status, body, content_type } => {
                Some(Answer::Respond { status, body, content_type })
            }
            Action::Pools(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
