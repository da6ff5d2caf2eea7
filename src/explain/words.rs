//! Describes recorded requests: as JSON for programs, with one plain sentence for people.

use std::time::Duration;

use serde_json::{Value, json};

use super::memory::Record;
use super::story::{AttemptResult, Story, Try};
use crate::config::Algorithm;
use crate::pool::{Backend, CandidateStatus, IdleSource};
use crate::watch::Spans;

/// Shorter waits are omitted from the sentence.
const WORTH_TELLING: Duration = Duration::from_millis(1);

/// Everything recorded about a request.
pub fn page(record: &Record) -> Value {
    let mut page = json!({
        "id": record.id,
        "time": humantime::format_rfc3339_millis(record.time).to_string(),
        "request": record.request,
        "client": record.client.to_string(),
        "status": record.status,
        "took_ms": rounded(record.spans.total),
        "queue_ms": rounded(record.spans.queue),
        "connect_ms": rounded(record.spans.connect),
        "backend_ms": rounded(record.spans.backend),
        "client_ms": rounded(record.spans.client),
        "reason": record.reason,
        "rules": record.rules,
        "sentence": sentence(record),
    });
    if let Some(story) = &record.story {
        page["pool"] = json!(story.pool);
        page["algorithm"] = json!(story.algorithm.to_string());
        page["attempts"] = story.tries.iter().map(|one| attempt(story, one)).collect();
        if story.left_out > 0 {
            page["attempts_not_shown"] = json!(story.left_out);
        }
    }
    page
}

/// The answer to where a request would go now.
pub fn forecast(story: &Story, client: &str, rules: Option<&str>) -> Value {
    let Some(one) = story.tries.first() else { return Value::Null };
    let mut page = attempt(story, one);
    let by = rules.map_or(String::new(), |rules| format!(" by {rules}"));
    let text = match &one.chosen {
        Some(chosen) => format!(
            "A request of {client} would go to {} now{by} (pool {}, {}): {}.",
            chosen.name(),
            story.pool,
            story.algorithm,
            why(story, one)
        ),
        None => format!("A request of {client} would be answered 503 now{by}: {}.", none_usable(story, one)),
    };
    page["pool"] = json!(story.pool);
    page["algorithm"] = json!(story.algorithm.to_string());
    page["rules"] = json!(rules);
    page["sentence"] = json!(text);
    page
}

/// The answer to where a request would go now, if the rules keep its client out.
pub fn not_admitted(client: &str, rules: &str) -> Value {
    let text = format!("A request of {client} would be answered 403 now, by {rules} (forbidden_address).");
    json!({ "backend": null, "status": 403, "reason": "forbidden_address", "rules": rules, "sentence": text })
}

/// The answer to where a request for one of our own pages would go.
pub fn own_page(client: &str) -> Value {
    let text = format!(
        "A request of {client} would be answered by the balancer itself: it is one of its own pages."
    );
    json!({ "backend": null, "sentence": text })
}

/// The answer to where a request would go now, if no route matches.
pub fn no_route(client: &str, status: u16) -> Value {
    let text = format!("A request of {client} would be answered {status} now: no route takes it (no_route).");
    json!({ "backend": null, "status": status, "reason": "no_route", "sentence": text })
}

/// The answer to where a request would go now, if a route answers itself.
pub fn route_answers(client: &str, rules: &str) -> Value {
    let text = format!("A request of {client} would be answered by the balancer itself now, by {rules}.");
    json!({ "backend": null, "reason": "route_answer", "rules": rules, "sentence": text })
}

fn attempt(story: &Story, one: &Try) -> Value {
    let chosen = one.chosen.as_ref();
    let others = one.statuses.iter().filter(|(backend, _)| chosen.is_none_or(|it| it.id() != backend.id()));
    let others: Vec<Value> = others
        .map(|(backend, standing)| json!({ "backend": backend.name(), "lost": lost(story, one, standing) }))
        .collect();
    let mut page = json!({
        "backend": chosen.map(|chosen| chosen.name()),
        "why": why(story, one),
        "began_ms": rounded(one.began),
        "others": others,
    });
    if one.not_shown > 0 {
        page["others_not_shown"] = json!(one.not_shown);
    }
    let learned = chosen.map(|chosen| chosen.idle_time().limit(Duration::MAX));
    if let Some((time, source)) = learned.filter(|(_, source)| *source != IdleSource::Configured) {
        page["idle_ms"] = json!(rounded(time));
        page["idle_source"] = json!(source.word());
    }
    if let Some((took, fate)) = &one.ended {
        page["took_ms"] = json!(rounded(*took));
        page["fate"] = json!(fate_text(fate));
    }
    page
}

/// Describes the request in one plain sentence.
fn sentence(record: &Record) -> String {
    let what = format!("{} of {}", record.request, record.client);
    let Some(story) = &record.story else {
        let why = record.reason.map_or("it is one of the balancer's own pages", |word| word);
        let by = record.rules.as_ref().map_or(String::new(), |rules| format!(", by {rules}"));
        return format!("{what} was answered {} by the balancer itself: {why}{by}.", record.status);
    };
    let mut parts = Vec::new();
    for (index, one) in story.tries.iter().enumerate() {
        if story.left_out > 0 && index + 1 == story.tries.len() {
            parts.push(format!("{} more are not told of", story.left_out));
        }
        let Some(chosen) = &one.chosen else {
            let which = if parts.is_empty() { "no backend" } else { "no other backend" };
            let why = none_usable(story, one);
            // A request waiting for a backend comes to this result repeatedly.
            if !parts.iter().any(|part: &String| part.ends_with(&why)) {
                parts.push(format!("{which} could be used: {why}"));
            }
            continue;
        };
        let fate = one.ended.as_ref().map_or("has not ended".to_owned(), |(took, fate)| {
            format!("{} after {} ms", fate_text(fate), rounded(*took))
        });
        parts.push(format!("{} ({}) {fate}", chosen.name(), why(story, one)));
    }
    let reason = record.reason.map_or(String::new(), |word| format!(" {word}"));
    let end = format!("the client got {}{reason} after {} ms", record.status, rounded(record.spans.total));
    let (pool, algorithm) = (&story.pool, story.algorithm);
    let by = record.rules.as_ref().map_or(String::new(), |rules| format!(" by {rules}"));
    let waited = waited(&record.spans).map_or(String::new(), |waits| format!("waited {waits}, then "));
    let slow = match record.spans.client >= WORTH_TELLING {
        true => format!(
            ", {} ms of which it took to send its body and to take the answer",
            rounded(record.spans.client)
        ),
        false => String::new(),
    };
    format!("{what} {waited}went to pool {pool}{by} ({algorithm}): {}; {end}{slow}.", parts.join("; then "))
}

/// The waits before an answer; `None` if none is worth mentioning.
fn waited(spans: &Spans) -> Option<String> {
    let turn = spans.queue.saturating_sub(spans.worker);
    let waits = [(spans.worker, "for a worker"), (turn, "for its turn"), (spans.connect, "for connections")];
    let told = waits.iter().filter(|(time, _)| *time >= WORTH_TELLING);
    let told: Vec<_> = told.map(|(time, what)| format!("{} ms {what}", rounded(*time))).collect();
    (!told.is_empty()).then(|| told.join(" and "))
}

fn fate_text(fate: &AttemptResult) -> String {
    match fate {
        AttemptResult::Answered(status) => format!("answered {status}"),
        AttemptResult::Failed(why) => format!("failed, {why}"),
    }
}

/// Why the chosen backend was chosen.
fn why(story: &Story, one: &Try) -> String {
    let Some((_, standing)) = one.statuses.first().filter(|_| one.chosen.is_some()) else {
        return none_usable(story, one);
    };
    let rivals = one.statuses.iter().skip(1).filter(|(_, other)| is_candidate(other)).count();
    match standing {
        _ if one.by_cookie => "the client's cookie names it".to_owned(),
        CandidateStatus::Candidate { .. } if rivals == 0 && one.not_shown == 0 => {
            "no other could be used".to_owned()
        }
        CandidateStatus::Candidate { active, .. } => match story.algorithm {
            Algorithm::RoundRobin => "it was its turn".to_owned(),
            Algorithm::LeastConn => format!("fewest active requests, {active}"),
            Algorithm::PowerOfTwo => "the lower load of two drawn at random".to_owned(),
            Algorithm::IpHash | Algorithm::ConsistentHash => {
                format!("the hash of {} names it", hashed(story))
            }
        },
        CandidateStatus::Tried => "all that could be used had been tried before".to_owned(),
        CandidateStatus::Backup => "a backup, and no other could be used".to_owned(),
        CandidateStatus::Newcomer => "it has just joined, and no other could be used".to_owned(),
        CandidateStatus::BreakerOpen(None) => "the trial of its breaker, which is half open".to_owned(),
        CandidateStatus::BreakerOpen(Some(_)) => "no other was left, although its breaker is open".to_owned(),
        // The status has changed since the choice.
        CandidateStatus::Full { .. } | CandidateStatus::TakenOut(_) | CandidateStatus::Unhealthy { .. } => {
            "it could be used at that moment".to_owned()
        }
    }
}

fn hashed(story: &Story) -> String {
    story.key.as_ref().map_or("the client's address".to_owned(), |key| format!("{key:?}"))
}

fn is_candidate(standing: &CandidateStatus) -> bool {
    matches!(standing, CandidateStatus::Candidate { .. })
}

/// Why a backend was not chosen.
fn lost(story: &Story, one: &Try, standing: &CandidateStatus) -> String {
    match standing {
        CandidateStatus::TakenOut(why) => (*why).to_owned(),
        CandidateStatus::Unhealthy { failed, problem, last } => {
            let last = last.map_or(String::new(), |last| format!(", last {:.1} s ago", last.as_secs_f64()));
            match failed {
                0 => format!("unhealthy: probes pass again, but not enough of them yet{last}"),
                failed => format!("unhealthy: {failed} probes failed in a row ({problem}){last}"),
            }
        }
        CandidateStatus::Full { most } => format!("full: {most} active of at most {most}"),
        CandidateStatus::BreakerOpen(Some(left)) => {
            format!("breaker open for {:.0} s more", left.as_secs_f64().ceil())
        }
        CandidateStatus::BreakerOpen(None) => "breaker half open, its trial is under way".to_owned(),
        CandidateStatus::Tried => "tried before".to_owned(),
        CandidateStatus::Backup => "a backup, and others could be used".to_owned(),
        CandidateStatus::Newcomer => "has just joined, and has not passed a probe yet".to_owned(),
        CandidateStatus::Candidate { active, weight, recent_ms } => {
            not_picked(story, one, *active, *weight, *recent_ms)
        }
    }
}

fn not_picked(story: &Story, one: &Try, active: u32, weight: u32, recent_ms: f64) -> String {
    if one.by_cookie {
        return "the client's cookie names another".to_owned();
    }
    let chosen = one.statuses.first().map(|(_, standing)| standing);
    match (story.algorithm, chosen) {
        (Algorithm::RoundRobin, _) => "not its turn".to_owned(),
        (Algorithm::LeastConn, Some(CandidateStatus::Candidate { active: least, weight: of, .. })) => {
            match (weight == *of, active == *least) {
                (true, true) => format!("{active} active as well, and not its turn"),
                (true, false) => format!("{active} active against {least}"),
                (false, _) => format!("{active} active at weight {weight} against {least} at weight {of}"),
            }
        }
        (Algorithm::PowerOfTwo, _) => {
            format!("not drawn, or the higher load ({active} active, {recent_ms:.1} ms of late)")
        }
        (Algorithm::IpHash | Algorithm::ConsistentHash, _) => {
            format!("the hash of {} names another", hashed(story))
        }
        (Algorithm::LeastConn, _) => format!("{active} active"),
    }
}

fn none_usable(story: &Story, one: &Try) -> String {
    if one.statuses.is_empty() {
        return format!("pool {} has no backends", story.pool);
    }
    let tell = |(backend, standing): &(std::sync::Arc<Backend>, CandidateStatus)| {
        format!("{} {}", backend.name(), lost(story, one, standing))
    };
    one.statuses.iter().map(tell).collect::<Vec<_>>().join(", ")
}

fn rounded(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
