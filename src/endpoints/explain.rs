//! `GET /explain` on the admin listener: why a request went where it went (`?id=`), which requests took
//! longest (`?slowest=`), or where a request would go now (`?client=`, with `path`, `host`, `method`).

use std::net::IpAddr;
use std::time::{Instant, SystemTime};

use serde_json::{Value, json};

use super::is_own;
use super::public::{Figures, query};
use crate::explain::{Story, Try, words};
use crate::http::{Headers, RequestHead, Version};
use crate::pool::{ClientKey, Live, Tried};
use crate::proxy::client_key;

/// Limit of requests in one answer.
const MOST_SLOWEST: usize = 1000;

/// Why there is no page: status, reason and text.
type Refused = (u16, &'static str, String);

pub(super) fn page(figures: &Figures, head: &RequestHead, live: &Live) -> Result<Value, Refused> {
    if let Some(most) = query(head, "slowest") {
        return slowest(figures, &most);
    }
    match (query(head, "id"), query(head, "client")) {
        (Some(id), _) => explain(figures, &id),
        (None, Some(client)) => forecast(head, &client, live),
        (None, None) => {
            let text = "Bad Request: say which with ?id=X-Request-ID or ?slowest=10, or ask with \
                        ?client=ADDRESS";
            Err((400, "bad_parameter", text.to_owned()))
        }
    }
}

fn slowest(figures: &Figures, most: &str) -> Result<Value, Refused> {
    let most = most.parse().ok().filter(|most| (1..=MOST_SLOWEST).contains(most)).ok_or_else(|| {
        (400, "bad_parameter", format!("Bad Request: slowest is a whole number from 1 to {MOST_SLOWEST}"))
    })?;
    let all = figures.explanations.as_ref();
    Ok(json!({ "slowest": all.map_or_else(Vec::new, |all| all.slowest(most, words::page)) }))
}

fn explain(figures: &Figures, id: &str) -> Result<Value, Refused> {
    let explanations = figures.explanations.as_ref();
    explanations.and_then(|all| all.find(id, words::page)).ok_or_else(|| {
        let most = crate::explain::MAX_RECORDS;
        (404, "unknown_request", format!("Not Found: none of the last {most} requests has this id"))
    })
}

/// Asks like a retry, which does not advance any rotation.
fn forecast(head: &RequestHead, client: &str, live: &Live) -> Result<Value, Refused> {
    let Ok(address) = client.parse::<IpAddr>().map(|address| address.to_canonical()) else {
        return Err((400, "bad_parameter", "Bad Request: client is an IP address".to_owned()));
    };
    let wanted = head_of(head);
    if is_own(wanted.path()) {
        return Ok(words::own_page(client));
    }
    let number = match live.book().find(&wanted, address) {
        Ok(number) => number,
        Err(status) => return Ok(words::no_route(client, status)),
    };
    let rules = live.book().get(number);
    let by = rules.story();
    if !rules.admits(address) {
        return Ok(words::not_admitted(client, &by.unwrap_or_default()));
    }
    if rules.answer.is_some() {
        return Ok(words::route_answers(client, &by.unwrap_or_default()));
    }
    let pool = &live.pools()[rules.pool];
    let key = client_key::of(address, &wanted, pool.config());
    let client_key = ClientKey { is_retry: true, policy: live.policy(number), ..key };
    let (now, tried) = (Instant::now(), Tried::default());
    let chosen = pool.would_pick(&client_key, now);
    let one = Try::new(&client_key, chosen, pool.statuses(&tried, None, now, SystemTime::now()));
    let story = Story {
        pool: pool.config().name.clone(),
        algorithm: pool.config().algorithm,
        key: client_key.key.map(|key| String::from_utf8_lossy(key).into_owned()),
        tries: vec![one],
        left_out: 0,
    };
    Ok(words::forecast(&story, client, by.as_deref()))
}

/// The hypothetical request; `Host` is its only field.
fn head_of(head: &RequestHead) -> RequestHead {
    let given = |name: &str, otherwise: &str| query(head, name).unwrap_or_else(|| otherwise.to_owned());
    let mut headers = Headers::default();
    headers.push("Host", given("host", "").as_bytes());
    RequestHead {
        method: given("method", "GET"),
        target: given("path", "/"),
        version: Version::Http11,
        headers,
    }
}
