use super::fakes::{Script, Step};
use super::*;
use crate::frontend::Ending;
use crate::transport::{Cause, Stage};

fn refused() -> Step {
    Step::Fails(AttemptError { stage: Stage::Connect, cause: Cause::Refused, reused: false })
}

fn closed() -> Step {
    Step::Fails(AttemptError { stage: Stage::AwaitHead, cause: Cause::Closed, reused: false })
}

/// Handles the request on three backends that follow the script.
fn handle(request: &mut ClientRequest, steps: Vec<Step>) -> (Outcome, Arc<Script>) {
    let script = Script::of(steps);
    let proxy = Proxy::new(script.clone(), Running::forever());
    let mut live = fakes::live(3);
    live.config.retry.delay = std::time::Duration::ZERO;
    let outcome = proxy.handle(request, &live);
    assert!(live.backends().all(|backend| backend.active() == 0), "a lease was left");
    (outcome, script)
}

#[test]
fn an_answer_is_relayed_with_the_request_s_id() {
    let (mut request, seen) = fakes::get("/");
    request.id = "id-1".into();
    let (outcome, _) = handle(&mut request, vec![Step::Answers(404, "nope")]);
    assert_eq!((outcome.status, outcome.attempts, outcome.end), (404, 1, End::Relayed));
    assert_eq!(seen.text(), "HTTP/1.1 404 Not Found\r\nX-Request-ID: id-1\r\nContent-Length: 4\r\n\r\nnope");
    assert_eq!(seen.ending(), Some(Ending::KeepAlive));
}

#[test]
fn each_retry_goes_to_a_backend_not_tried_yet_and_carries_the_whole_body() {
    let (mut request, seen) = fakes::request("PUT", "/", b"0123456789");
    let (outcome, script) = handle(&mut request, vec![closed(), refused(), Step::Answers(200, "ok")]);
    assert_eq!((outcome.attempts, outcome.end), (3, End::Relayed));
    let got = script.got.lock();
    let mut ids: Vec<u64> = got.iter().map(|(id, _)| *id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 3, "a backend was tried twice");
    assert!(got.iter().all(|(_, body)| body == "0123456789"));
    assert!(seen.text().ends_with("ok"));
}

#[test]
fn a_post_that_was_sent_is_not_sent_again() {
    let (mut request, seen) = fakes::request("POST", "/", b"x");
    let (outcome, script) = handle(&mut request, vec![closed()]);
    assert_eq!((outcome.status, outcome.end), (502, End::Refused(Refusal::BackendClosed)));
    assert_eq!(script.got.lock().len(), 1);
    assert!(seen.text().contains("X-LB-Reason: backend_closed\r\n"));
}

#[test]
fn when_nothing_can_be_connected_to_all_backends_are_down() {
    let (mut request, seen) = fakes::request("POST", "/", b"x");
    let (outcome, _) = handle(&mut request, vec![refused(), refused(), refused()]);
    assert_eq!((outcome.status, outcome.attempts), (503, 3));
    assert!(seen.text().ends_with("\r\n\r\nService Unavailable: all backends are down\n"));
    assert!(seen.text().contains("Retry-After: 1\r\n"));
}

#[test]
fn what_a_backend_breaks_off_is_broken_off_and_not_retried() {
    let (mut request, seen) = fakes::get("/");
    let (outcome, script) = handle(&mut request, vec![Step::BreaksOff("half")]);
    assert_eq!(outcome.end, End::BackendBrokeOff);
    assert_eq!(outcome.counts(), Some(false));
    assert_eq!(seen.ending(), Some(Ending::BrokenOff));
    assert!(seen.text().ends_with("half"));
    assert_eq!(script.got.lock().len(), 1);
}

#[test]
fn a_request_that_comes_round_again_is_not_sent_on() {
    let (mut request, seen) = fakes::get("/");
    let script = Script::of([]);
    let proxy = Proxy::new(script.clone(), Running::forever());
    Arc::get_mut(&mut request.head).unwrap().headers.push("Via", format!("1.1 {}", proxy.name).as_bytes());
    assert_eq!(proxy.handle(&mut request, &fakes::live(3)).status, 508);
    assert!(script.got.lock().is_empty());
    assert!(seen.text().contains("X-LB-Reason: loop_detected\r\n"));
}

/// Handles a POST of 100,000 bytes where five are allowed.
fn handle_too_large(length: crate::http::BodyLength) -> (Outcome, String, usize) {
    let (mut request, seen) = fakes::request("POST", "/", &[b'x'; 100_000]);
    request.screened = Ok(length);
    let mut live = fakes::live(3);
    live.config.limits.max_body_bytes = Some(5);
    let script = Script::of([]);
    let outcome = Proxy::new(script.clone(), Running::forever()).handle(&mut request, &live);
    (outcome, seen.text(), script.got.lock().len())
}

#[test]
fn a_body_over_the_limit_is_413_and_closes() {
    for length in [crate::http::BodyLength::Known(100_000), crate::http::BodyLength::Chunked] {
        let (outcome, text, whole_bodies) = handle_too_large(length);
        assert_eq!((outcome.status, outcome.end), (413, End::Refused(Refusal::BodyTooLarge)));
        assert!(text.contains("Connection: close\r\n"));
        assert_eq!(whole_bodies, 0, "a backend got the whole body");
    }
}
