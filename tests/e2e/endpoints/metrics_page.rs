//! `/lb-metrics`: figures that are measured rather than counted, and the form that a reader prefers.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Answer, Backend, Balancer, Behaviour, behind_front, config, eventually, let_pass};

#[test]
fn open_connections_of_clients_are_counted() {
    if !behind_front() {
        return; // tiny_http shows no connections
    }
    let backend = Backend::named("one");
    let balancer = Balancer::over(&[&backend]);
    let mut reader = balancer.connect();
    let mut wait_for = |count: u64| {
        eventually(&format!("{count} connections"), || {
            reader.get("/lb-metrics").json()["client_connections"] == count
        });
    };
    wait_for(1);
    let mut clients = [(); 3].map(|()| balancer.connect());
    wait_for(4);
    clients.iter_mut().for_each(|client| assert_eq!(client.get("/").text(), "one"));
    wait_for(4);
    drop(clients);
    wait_for(1);
}

#[test]
fn the_average_latency_is_that_of_the_requests() {
    let slow = Backend::slow(Duration::from_millis(40));
    let balancer = Balancer::over(&[&slow]);
    let begun = Instant::now();
    (0..5).for_each(|_| assert_eq!(balancer.get("/").status, 200));
    let page = balancer.metrics_after(5);
    // Twice what the client saw: a request may end a moment after its answer has come.
    let most = begun.elapsed().as_secs_f64() * 1000.0 / 5.0 * 2.0;
    let average = page["avg_latency_ms"].as_f64().unwrap();
    assert!((40.0..=most).contains(&average), "{average} ms of {most} ms a request");
}

/// Between what has passed since it was ready and what has passed since it was started.
#[test]
fn the_uptime_is_the_time_since_the_start() {
    let backend = Backend::named("one");
    let starts = Instant::now();
    let balancer = Balancer::over(&[&backend]);
    let ready = Instant::now();
    let mut seen = Vec::new();
    for later in [0, 1100, 1100].map(Duration::from_millis) {
        let_pass(later);
        let least = ready.elapsed().as_secs();
        let uptime = balancer.metrics()["uptime_seconds"].as_u64().unwrap();
        let most = starts.elapsed().as_secs();
        assert!((least..=most).contains(&uptime), "{uptime} s, {least} to {most} s");
        seen.push(uptime);
    }
    assert!(seen.is_sorted_by(|earlier, later| earlier < later), "{seen:?}");
}

#[test]
fn the_page_comes_in_the_form_that_its_reader_prefers() {
    const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
    const JSON: &str = "application/json";
    let backend = Backend::named("one");
    let balancer = Balancer::over(&[&backend]);
    for (accept, expected) in [
        (None, JSON),
        (Some("*/*"), JSON),
        (Some("text/html,application/xhtml+xml,*/*;q=0.8"), JSON),
        (Some("application/json"), JSON),
        (Some("application/json, text/plain;q=0.5"), JSON),
        (Some("text/plain;q=0.5, application/json;q=0.4"), TEXT),
        (Some("text/plain"), TEXT),
        (Some("application/openmetrics-text"), TEXT),
        (Some("application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5"), TEXT),
    ] {
        let fields: Vec<_> = accept.map(|accept| ("Accept", accept)).into_iter().collect();
        let page = balancer.ask("GET", "/lb-metrics", &fields, b"");
        assert_eq!((page.status, page.header("content-type")), (200, Some(expected)), "{accept:?}");
        let is_json = serde_json::from_slice::<Value>(&page.body).is_ok();
        let is_text = page.text().starts_with("# HELP ");
        assert_eq!((is_json, is_text), (expected == JSON, expected == TEXT), "{accept:?}");
    }
    let asked = balancer.ask("GET", "/lb-metrics?format=json", &[("Accept", "text/plain")], b"");
    assert_eq!(asked.header("content-type"), Some(JSON), "the query says more than the field");
}

#[test]
fn what_backends_answer_is_counted_by_the_class_of_its_status() {
    let broken = Backend::that(Behaviour::Answers(Answer { status: 500, ..Answer::ok("oh") }));
    let balancer = Balancer::over(&[&broken]);
    (0..3).for_each(|_| assert_eq!(balancer.get("/").status, 500));
    let page = balancer.metrics_after(3);
    assert_eq!(page["success_requests"], 3, "an answer was relayed, whatever it said");
    let expected = json!({ "1xx": 0, "2xx": 0, "3xx": 0, "4xx": 0, "5xx": 3 });
    assert_eq!((&page["responses"], &page["backends"][0]["responses"]), (&expected, &expected));
    let text = balancer.get("/lb-metrics?format=prometheus");
    let line =
        format!(r#"loadbalancer_responses_total{{pool="default",backend="{}",code="5xx"}} 3"#, broken.url());
    assert!(text.text().contains(&line), "{}", text.text());
}

#[test]
fn a_backend_s_latency_counts_what_timed_out() {
    let hangs = Backend::that(Behaviour::Hangs);
    let balancer = Balancer::start(config(
        &[&hangs],
        json!({ "timeouts": { "request": "300ms" }, "retry": { "max_retries": 0 }, "circuit_breaker": { "enabled": false } }),
    ));
    (0..2).for_each(|_| assert_eq!(balancer.get("/").status, 504));
    let page = balancer.metrics_after(2);
    let latency = &page["backends"][0]["latency_ms"];
    assert!(latency["p50"].as_f64() >= Some(290.0), "{latency}");
    let name = format!(
        "loadbalancer_backend_response_seconds_count{{pool=\"default\",backend=\"{}\"}} 2",
        hangs.url()
    );
    assert!(balancer.get("/lb-metrics?format=prometheus").text().contains(&name));
}

#[test]
fn it_remembers_what_was() {
    let backend = Backend::named("one");
    let balancer = Balancer::over(&[&backend]).once_probed();
    assert_eq!(balancer.metrics().get("history"), None, "only where it is asked for");
    let history = || balancer.get("/lb-metrics?history=1").json()["history"].clone();
    let first = eventually("a first sample", || Some(history()).filter(|it| it["samples"][0].is_object()));
    assert_eq!(first["interval_seconds"], 5);
    let sample = &first["samples"][0];
    assert_eq!((&sample["total_requests"], &sample["latency_ms"]), (&json!(0), &Value::Null));
    assert_eq!(sample["backends"][0]["url"], backend.url());
    (0..7).for_each(|_| assert_eq!(balancer.get("/").status, 200));
    let samples = eventually("another sample", || {
        let samples = history()["samples"].as_array().unwrap().clone();
        samples.iter().any(|it| it["total_requests"] == 7).then_some(samples)
    });
    let newest = samples.last().unwrap();
    assert_eq!((&newest["responses"]["2xx"], &newest["healthy_backends"]), (&json!(7), &json!(1)));
    assert_eq!(newest["backends"][0]["total_requests"], 7);
    assert!(newest["latency_ms"]["p50"].as_f64() > Some(0.0), "{newest}");
    let ages: Vec<_> = samples.iter().map(|it| it["seconds_ago"].as_f64().unwrap()).collect();
    assert!(ages.is_sorted_by(|older, newer| older > newer), "{ages:?}");
    // The admin listener has it as well, and Prometheus keeps its own.
    assert!(!balancer.get("/lb-metrics?format=prometheus&history=1").text().contains("history"));
}
