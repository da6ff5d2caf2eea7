use super::fakes::{Script, Step};
use super::*;
use crate::frontend::Ending;
use crate::pool::{BreakerState, ClientKey, NoLease};
use crate::transport::{Cause, Stage};
use crate::watch::Watch;

fn refused() -> Step {
    Step::Fails(AttemptError { stage: Stage::Connect, cause: Cause::Refused, reused: false })
}

fn closed() -> Step {
    Step::Fails(AttemptError { stage: Stage::AwaitHead, cause: Cause::Closed, reused: false })
}

/// Handles the request with three backends that follow the script.
fn handle(request: &mut ClientRequest, steps: Vec<Step>) -> (Outcome, Arc<Script>) {
    handle_on(3, request, steps)
}

/// The same with this number of backends.
fn handle_on(backends: u16, request: &mut ClientRequest, steps: Vec<Step>) -> (Outcome, Arc<Script>) {
    let script = Script::of(steps);
    let proxy = Proxy::new(script.clone(), ShutdownSignal::forever());
    let live = fakes::live_with(backends, |config| config.retry.delay = Duration::ZERO);
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
    let text = seen.text();
    let (line, rest) = text.split_once("\r\nDate: ").unwrap();
    let (_, rest) = rest.split_once(" GMT\r\n").unwrap();
    assert_eq!(line, "HTTP/1.1 404 Not Found\r\nX-Request-ID: id-1");
    assert_eq!(rest, "Content-Length: 4\r\n\r\nnope");
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

/// How many of three backends have an open breaker after `rounds` requests that meet these steps.
fn breakers_open_after(rounds: usize, steps: fn() -> Vec<Step>) -> usize {
    let live = fakes::live(3);
    for _ in 0..rounds {
        let (mut request, _) = fakes::get("/");
        let proxy = Proxy::new(Script::of(steps()), ShutdownSignal::forever());
        let backends = live.default_pool().backends().to_vec();
        let live = fakes::live_of_with(backends, |config| config.retry.delay = Duration::ZERO);
        proxy.handle(&mut request, &live);
    }
    live.backends().filter(|backend| backend.breaker_state() != BreakerState::Closed).count()
}

#[test]
fn what_each_backend_closes_over_is_the_request_s_fault() {
    assert_eq!(breakers_open_after(10, || vec![closed(), closed(), closed()]), 0);
    let one_answers = || vec![closed(), Step::Answers(200, "ok")];
    assert!(breakers_open_after(30, one_answers) > 0, "where another one answers it was the backend's");
}

#[test]
fn a_backend_that_was_too_slow_is_not_asked_again() {
    let slow =
        || Step::Fails(AttemptError { stage: Stage::AwaitHead, cause: Cause::TimedOut, reused: false });
    let (mut request, _) = fakes::get("/");
    let (outcome, script) = handle_on(1, &mut request, vec![slow(), slow(), slow()]);
    assert_eq!((outcome.status, outcome.attempts), (504, 1));
    assert_eq!(script.got.lock().len(), 1);
    let (mut request, _) = fakes::get("/");
    let (outcome, _) = handle_on(2, &mut request, vec![slow(), slow(), slow()]);
    assert_eq!((outcome.status, outcome.attempts), (504, 2), "each is asked once");
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
    let proxy = Proxy::new(script.clone(), ShutdownSignal::forever());
    Arc::get_mut(&mut request.head).unwrap().headers.push("Via", format!("1.1 {}", proxy.name).as_bytes());
    assert_eq!(proxy.handle(&mut request, &fakes::live(3)).status, 508);
    assert!(script.got.lock().is_empty());
    assert!(seen.text().contains("X-LB-Reason: loop_detected\r\n"));
}

/// One backend with `max_connections` 1.
fn one_place() -> (Proxy, Live) {
    let live = fakes::live(1);
    let mut config = live.config.default_pool.backends[0].clone();
    config.max_connections = Some(1);
    let backend = Arc::new(live.default_pool().backends()[0].successor(config, None));
    let live = fakes::live_of(vec![backend]);
    (Proxy::new(Script::of([]), ShutdownSignal::forever()), live)
}

fn lease(proxy: &Proxy, live: &Live) -> Result<Lease, Refusal> {
    let client = ClientKey::of([127, 0, 0, 1].into());
    let waits = (live, &Watch::default(), &proxy.shutdown);
    place::wait_for(live.default_pool(), &client, &Tried::default(), waits)
}

fn wait_for_length(live: &Live, length: usize) {
    while live.default_pool().wait_queue().len() != length {
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

#[test]
fn a_free_place_goes_to_whoever_has_waited_longest() {
    const WAITING: usize = 12;
    let (proxy, live) = one_place();
    let held = lease(&proxy, &live).unwrap();
    let served = parking_lot::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for number in 0..WAITING {
            let (proxy, live, served) = (&proxy, &live, &served);
            scope.spawn(move || {
                let place = lease(proxy, live).unwrap();
                served.lock().push(number);
                drop(place);
                // A request that comes again joins the end of the queue.
                drop(lease(proxy, live).unwrap());
                served.lock().push(number);
            });
            wait_for_length(live, number + 1);
        }
        drop(held);
    });
    assert_eq!(served.lock()[..WAITING], (0..WAITING).collect::<Vec<_>>());
}

#[test]
fn nobody_passes_a_line_and_a_reload_keeps_it() {
    let (proxy, live) = one_place();
    let held = lease(&proxy, &live).unwrap();
    std::thread::scope(|scope| {
        let (proxy, live) = (&proxy, &live);
        let first = scope.spawn(move || lease(proxy, live).map(|_| Instant::now()));
        wait_for_length(live, 1);
        let backend = Arc::clone(&live.default_pool().backends()[0]);
        let next = fakes::live_of(vec![backend]).after(live);
        let second = scope.spawn(move || lease(proxy, &next).map(|_| Instant::now()));
        wait_for_length(live, 2);
        let client = ClientKey::of([127, 0, 0, 1].into());
        let passing = place::at_once(live.default_pool(), &client, &Tried::default());
        assert_eq!(passing.err(), Some(NoLease::AllFull));
        drop(held);
        let [first, second] = [first, second].map(|thread| thread.join().unwrap().unwrap());
        assert!(first <= second);
    });
}

#[test]
fn who_may_go_to_a_new_backend_does_not_wait_behind_those_who_may_not() {
    let (proxy, live) = one_place();
    let _held = lease(&proxy, &live).unwrap();
    std::thread::scope(|scope| {
        let mut impatient = fakes::live_of(live.default_pool().backends().to_vec()).after(&live);
        impatient.config.timeouts.queue = Duration::from_millis(300);
        let (proxy, live) = (&proxy, &live);
        let waiting = scope.spawn(move || lease(proxy, &impatient).err());
        wait_for_length(live, 1);
        let more = [live.default_pool().backends(), fakes::live(1).default_pool().backends()].concat();
        assert!(lease(proxy, &fakes::live_of(more).after(live)).is_ok());
        assert_eq!(waiting.join().unwrap(), Some(Refusal::QueueTimeout));
    });
}

#[test]
fn waiting_has_its_limits() {
    let (proxy, mut live) = one_place();
    live.config.limits.max_queue = 0;
    let _held = lease(&proxy, &live).unwrap();
    assert_eq!(lease(&proxy, &live).err(), Some(Refusal::QueueFull));
    live.config.limits.max_queue = 1;
    live.config.timeouts.queue = Duration::from_millis(1);
    assert_eq!(lease(&proxy, &live).err(), Some(Refusal::QueueTimeout));
    assert!(live.default_pool().wait_queue().is_empty());
}

/// Handles a POST of 100,000 bytes with a limit of five.
fn handle_too_large(length: crate::http::BodyLength) -> (Outcome, String, usize) {
    let (mut request, seen) = fakes::request("POST", "/", &[b'x'; 100_000]);
    request.body_length = Ok(length);
    let live = fakes::live_with(3, |config| config.limits.max_body_bytes = Some(5));
    let script = Script::of([]);
    let outcome = Proxy::new(script.clone(), ShutdownSignal::forever()).handle(&mut request, &live);
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
