//! The balancer's own answers, each with one word: in the header, in the log, and in both kinds of
//! metrics.

use serde_json::{Value, json};

use crate::support::{
    Answer, Backend, Balancer, Behaviour, Client, Framing, Response, behind_front, config, eventually, fields,
};

/// A balancer over a backend that behaves so, and a client.
struct Scene {
    backend: Backend,
    balancer: Balancer,
    client: Client,
    /// Others, whose requests stay where they are.
    held: Vec<Client>,
}

/// Makes the balancer answer for itself, with the client's last request.
type Provoke = fn(&mut Scene);

/// Status and word of the answer, what has to be configured for it, the backend, and how to get it.
struct Case(u16, &'static str, Value, Behaviour, Provoke);

fn answers() -> Behaviour {
    Behaviour::Answers(Answer::ok("one"))
}

fn holds() -> Behaviour {
    Behaviour::Holds(Answer::ok("held"))
}

/// Every upgrade.
fn grants() -> Behaviour {
    let headers = vec![("Connection", "Upgrade"), ("Upgrade", "echo")];
    Behaviour::Answers(Answer { status: 101, headers, body: Vec::new(), framing: Framing::UntilClose })
}

fn get(scene: &mut Scene) {
    scene.client.ask("GET", "/", &[], b"");
}

/// Takes the only worker.
fn hold(scene: &mut Scene) {
    let holder = scene.balancer.asking("/held");
    scene.backend.wait_for_heads(1);
    scene.held.push(holder);
}

fn cases() -> Vec<Case> {
    let short = |name: &str| json!({ "timeouts": { name: "300ms" } });
    let one_worker = |more: Value| {
        let mut config = more;
        config["workers"] = json!(1);
        config
    };
    let slow_tokens = json!({ "enabled": true, "requests_per_second": 0.001, "burst": 1 });
    vec![
        Case(400, "ambiguous_framing", json!({}), answers(), |it| {
            it.client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc");
        }),
        Case(400, "bad_host", json!({}), answers(), |it| it.client.send("GET / HTTP/1.1\r\n\r\n")),
        Case(400, "malformed_request", json!({}), answers(), |it| {
            it.client.send("GET / HTTP/1.1\r\nHost: x\r\nX(A): 1\r\n\r\n");
        }),
        Case(400, "body_incomplete", json!({}), answers(), |it| {
            it.client.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
        }),
        Case(408, "body_timeout", short("client_body"), answers(), |it| {
            it.client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\nabc");
        }),
        Case(408, "header_timeout", short("client_header"), answers(), |it| {
            it.client.send("GET / HTTP/1.1\r\nHost");
        }),
        Case(413, "body_too_large", json!({ "limits": { "max_body_bytes": 2 } }), answers(), |it| {
            it.client.ask("POST", "/", &[], b"abc");
        }),
        Case(431, "head_too_large", json!({ "limits": { "max_header_bytes": 2000 } }), answers(), |it| {
            it.client.ask("GET", "/", &[("X-A", &"x".repeat(3000))], b"");
        }),
        Case(429, "rate_limited", json!({ "rate_limit": slow_tokens }), answers(), |it| {
            assert_eq!(it.client.get("/").status, 200);
            get(it);
        }),
        Case(508, "loop_detected", json!({}), answers(), |it| {
            assert_eq!(it.client.get("/").status, 200);
            let asked = it.backend.wait_for(1);
            it.client.ask("GET", "/", &[("Via", asked.header("via").expect("our name"))], b"");
        }),
        Case(502, "backend_closed", json!({}), Behaviour::ClosesBeforeHead, get),
        Case(502, "backend_not_http", json!({}), Behaviour::NotHttp, get),
        Case(504, "backend_timeout", short("request"), Behaviour::Hangs, get),
        Case(503, "no_healthy_backend", json!({}), Behaviour::Refuses, get),
        Case(503, "too_many_streams", json!({ "limits": { "max_streams": 0 } }), grants(), |it| {
            it.client.ask("GET", "/", &[("Connection", "Upgrade"), ("Upgrade", "echo")], b"");
        }),
        Case(503, "queue_full", one_worker(json!({ "limits": { "max_queue": 1 } })), holds(), |it| {
            hold(it);
            let waiting = it.balancer.asking("/waiting");
            it.held.push(waiting);
            it.balancer.metrics_when("queued_requests", 1);
            get(it);
        }),
        Case(503, "queue_timeout", one_worker(short("queue")), holds(), |it| {
            hold(it);
            get(it);
        }),
    ]
}

#[test]
fn one_word_in_the_header_the_log_and_the_metrics() {
    if !behind_front() {
        return; // some of them are the front's alone
    }
    for case in cases() {
        let Case(status, word, more, behaviour, provoke) = case;
        let mut all = json!({ "retry": { "max_retries": 0 }, "timeouts": { "queue": "1h" } });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let backend = Backend::that(behaviour);
        let balancer = Balancer::start(config(&[&backend], all));
        let client = balancer.connect();
        let mut scene = Scene { backend, balancer, client, held: Vec::new() };
        provoke(&mut scene);
        let answer = scene.client.read_response();
        assert_eq!((answer.status, answer.all("x-lb-reason")), (status, vec![word]), "{answer:?}");
        check(&scene.balancer, &answer, word);
        scene.backend.release();
    }
}

/// Everything else that is promised of such an answer.
fn check(balancer: &Balancer, answer: &Response, word: &str) {
    let kind = answer.header("content-type").unwrap_or_default();
    assert!(kind.starts_with("text/plain"), "{word}: {kind}");
    assert_eq!(answer.text().lines().count(), 1, "{word}: {:?}", answer.text());
    assert!(answer.text().ends_with('\n'), "{word}: {:?}", answer.text());
    let seconds = answer.header("retry-after").map(|text| text.parse::<u64>().expect("whole seconds"));
    match answer.status {
        429 | 503 => assert!(seconds >= Some(1), "{word}: Retry-After {seconds:?}"),
        _ => assert_eq!(seconds, None, "{word}"),
    }
    let id = ("request_id".to_owned(), answer.header("x-request-id").expect("an id").to_owned());
    let reason = ("reason".to_owned(), word.to_owned());
    // A head that never became a request has a line in the log, every other one an access line.
    eventually(&format!("a line with {id:?} and {reason:?}"), || {
        let lines = balancer.access_lines().into_iter().chain(balancer.log_lines_with("request_id="));
        lines.map(|line| fields(&line)).any(|line| line.contains(&id) && line.contains(&reason))
    });
    eventually(&format!("reasons of {word}"), || balancer.metrics()["reasons"] == json!({ word: 1 }));
    let page = balancer.get("/lb-metrics?format=prometheus");
    let sample = format!("loadbalancer_refusals_total{{reason=\"{word}\"}} 1");
    let of_reasons = |line: &&str| line.starts_with("loadbalancer_refusals_total") && !line.ends_with(" 0");
    assert_eq!(page.text().lines().filter(of_reasons).collect::<Vec<_>>(), [sample]);
}
