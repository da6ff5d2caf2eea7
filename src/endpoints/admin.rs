//! The admin listener's endpoints: what operators can ask of backends at run time.
//!
//! Without a token, only callers on this machine are allowed, since the listener is on loopback; otherwise
//! callers need the token, for which a browser asks its user. Because other sites can make a browser send
//! requests, requests from their pages are refused by `Origin`, and names rebound to this address by `Host`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use log::Level::Info;
use serde_json::json;

use super::explain;
use super::login;
use super::public::{self, Figures, query};
use crate::frontend::ClientRequest;
use crate::http::{Headers, RequestHead};
use crate::logging::event;
use crate::metrics::json::{View, entries, entry};
use crate::pool::{AdminState, Backend, Live};
use crate::proxy::{Outcome, Refusal};
use crate::reload::Reloader;

/// The largest weight, the same limit as in the configuration.
const MAX_WEIGHT: u32 = 65_535;

/// Answers the admin listener's requests.
pub struct Admin {
    /// The sources of the figures.
    pub figures: Arc<Figures>,
    /// Reloads the configuration.
    pub reloader: Arc<Reloader>,
    /// The token that callers must send.
    pub token: Option<String>,
}

/// Why a request is refused: status, word and text.
type Refused = (u16, &'static str, String);

impl Admin {
    /// Answers one request.
    pub fn handle(&self, request: &mut ClientRequest, live: &Live) -> Outcome {
        if let Some(refusal) = refusal(request, live) {
            return Outcome::refused(request, refusal);
        }
        let head = Arc::clone(&request.head);
        if let Err(refused) = self.may_ask(&head) {
            return refuse(request, refused);
        }
        let result = match (head.path(), head.only_reads(), head.method.as_str()) {
            ("/lb-metrics", true, _) => return public::metrics(&self.figures, request, live),
            ("/lb-health", true, _) => return public::health(&self.figures, request, live),
            ("/lb-ready", true, _) => return public::ready(&self.figures, request, live),
            ("/lb-dashboard", true, _) => return public::dashboard(&self.figures, request, live),
            ("/backends", true, _) => {
                Ok(json!({ "backends": entries(live, View::at(live, Instant::now())) }))
            }
            ("/explain", true, _) => explain::page(&self.figures, &head, live),
            ("/backends/drain", _, "POST") => set(live, &head, AdminState::Draining),
            ("/backends/enable", _, "POST") => set(live, &head, AdminState::Enabled),
            ("/backends/disable", _, "POST") => set(live, &head, AdminState::Disabled),
            ("/backends/weight", _, "POST") => set_weight(live, &head),
            ("/reload", _, "POST") => {
                let result = self.reloader.reload();
                result.map(|done| done.to_json()).map_err(|why| (422, "not_reloaded", why))
            }
            (path, ..) if methods_of(path).is_some() => {
                Err((405, "method_not_allowed", "Method Not Allowed".to_owned()))
            }
            _ => Err((404, "unknown_path", "Not Found: see GET /backends".to_owned())),
        };
        match result {
            Ok(page) => public::answer(request, 200, "application/json", format!("{page:#}\n").as_bytes()),
            Err(refused) => refuse(request, refused),
        }
    }

    fn may_ask(&self, head: &RequestHead) -> Result<(), Refused> {
        if let Some(token) = &self.token {
            let sent = head.headers.get("authorization").and_then(login::token);
            if !sent.is_some_and(|sent| is_same(&sent, token.as_bytes())) {
                let text = "Unauthorized: send the token as a bearer token, or as the password of any user";
                return Err((401, "unauthorized", text.to_owned()));
            }
        }
        let host = head.host();
        if self.token.is_none() && !is_this_machine(host) {
            return Err((403, "forbidden_host", "Forbidden: ask by address or as localhost".to_owned()));
        }
        let is_from_elsewhere = head.headers.get("origin").is_some_and(|origin| {
            let authority = origin.split(|byte| *byte == b'/').next_back().unwrap_or_default();
            !authority.eq_ignore_ascii_case(host.as_bytes())
        });
        let site = head.headers.get("sec-fetch-site");
        let is_cross_site = site.is_some_and(|site| site != b"same-origin" && site != b"none");
        match is_from_elsewhere || is_cross_site {
            true => Err((403, "forbidden_origin", "Forbidden: asked by a page from elsewhere".to_owned())),
            false => Ok(()),
        }
    }
}

/// Refuses malformed and oversized heads, as the other listeners do.
fn refusal(request: &ClientRequest, live: &Live) -> Option<Refusal> {
    let is_too_long = request.head.byte_len() > live.config.limits.max_header_bytes;
    request.flaw().map(Refusal::Flawed).or(is_too_long.then_some(Refusal::HeadTooLarge))
}

/// What may be done with a path, as `Allow` says it; `None` if there is no such path.
fn methods_of(path: &str) -> Option<&'static str> {
    match path {
        "/backends" | "/explain" | "/lb-metrics" | "/lb-health" | "/lb-ready" | "/lb-dashboard" => {
            Some("GET, HEAD")
        }
        "/backends/drain" | "/backends/enable" | "/backends/disable" | "/backends/weight" | "/reload" => {
            Some("POST")
        }
        _ => None,
    }
}

/// Compares in constant time, so that timing does not reveal how much of a token is right.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let differing = one.iter().zip(other).fold(0, |all, (one, other)| all | (one ^ other));
    std::hint::black_box(differing) == 0 && one.len() == other.len()
}

/// A literal address or `localhost`, which nobody else can own.
fn is_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.parse::<IpAddr>().is_ok() || name.eq_ignore_ascii_case("localhost")
}

/// The backends with this `url`, in all pools or in the one given by `pool`.
fn named<'a>(live: &'a Live, head: &RequestHead) -> Result<Vec<(&'a str, &'a Arc<Backend>)>, Refused> {
    let Some(url) = query(head, "url") else {
        return Err((400, "bad_parameter", "Bad Request: say which with ?url=http://…".to_owned()));
    };
    let wanted = query(head, "pool");
    let pools =
        live.pools().iter().filter(|pool| wanted.as_ref().is_none_or(|name| *name == pool.config().name));
    let in_pools = pools.flat_map(|pool| pool.backends().iter().map(|it| (pool.config().name.as_str(), it)));
    let found: Vec<_> =
        in_pools.filter(|(_, backend)| backend.is_called(url.trim_end_matches('/'))).collect();
    if found.is_empty() {
        let known: Vec<_> = live.backends().map(|backend| backend.name()).collect();
        let text = format!("Not Found: no such backend; there are {}", known.join(" "));
        return Err((404, "unknown_backend", text));
    }
    Ok(found)
}

fn set(live: &Live, head: &RequestHead, state: AdminState) -> Result<serde_json::Value, Refused> {
    let found = named(live, head)?;
    let now = Instant::now();
    for (_, backend) in &found {
        backend.set_admin(state, now);
        event(
            Info,
            "admin",
            "backend set by hand",
            &[("backend", &backend.name()), ("state", &backend.state())],
        );
    }
    Ok(shown(live, &found))
}

fn set_weight(live: &Live, head: &RequestHead) -> Result<serde_json::Value, Refused> {
    let found = named(live, head)?;
    let weight =
        query(head, "weight").and_then(|text| text.parse().ok()).filter(|weight| *weight <= MAX_WEIGHT);
    let Some(weight) = weight else {
        let text = format!("Bad Request: weight is a whole number from 0 to {MAX_WEIGHT}");
        return Err((400, "bad_parameter", text));
    };
    for (_, backend) in &found {
        backend.set_weight(weight);
        event(Info, "admin", "weight set by hand", &[("backend", &backend.name()), ("weight", &weight)]);
    }
    Ok(shown(live, &found))
}

fn shown(live: &Live, found: &[(&str, &Arc<Backend>)]) -> serde_json::Value {
    let view = View::at(live, Instant::now());
    json!({ "backends": found.iter().map(|(pool, backend)| entry(pool, backend, view)).collect::<Vec<_>>() })
}

fn refuse(request: &mut ClientRequest, (status, word, text): Refused) -> Outcome {
    let mut headers = Headers::default();
    headers.push("X-LB-Reason", word.as_bytes());
    if let (405, Some(methods)) = (status, methods_of(request.head.path())) {
        headers.push("Allow", methods.as_bytes());
    }
    if status == 401 {
        login::CHALLENGES.iter().for_each(|challenge| headers.push("WWW-Authenticate", challenge));
    }
    let text = format!("{text}\n");
    public::answer_with(request, status, headers, "text/plain; charset=utf-8", text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_localhost_are_this_machine() {
        for host in ["127.0.0.1:9090", "localhost", "LOCALHOST:1", "[::1]:9090", "10.0.0.5"] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in ["", "evil.example", "localhost.evil.example:9090", "127.0.0.1.evil.example"] {
            assert!(!is_this_machine(host), "{host}");
        }
    }

    #[test]
    fn a_token_is_compared_whole() {
        assert!(is_same(b"secret", b"secret"));
        for other in [&b"secre"[..], b"secrets", b"", b"Secret"] {
            assert!(!is_same(other, b"secret"));
        }
    }
}
