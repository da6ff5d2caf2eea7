//! Why a backend is down: the same words in JSON, in the log and on the dashboard, and one of a closed list
//! for Prometheus.

use serde_json::{Value, json};

use crate::support::{
    Answer, Backend, Balancer, Behaviour, Browser, Health, config, eventually, fields, skip,
};

/// Answers everything with this status.
fn with_status(status: u16) -> Backend {
    Backend::that(Behaviour::Answers(Answer { status, ..Answer::ok("") }))
}

/// The error of the first backend once it is unhealthy.
fn error_of(balancer: &Balancer) -> Value {
    balancer.wait_for_states(&["unhealthy"]);
    balancer.metrics()["backends"][0]["last_error"].clone()
}

fn prometheus(balancer: &Balancer) -> String {
    balancer.get("/lb-metrics?format=prometheus").text().to_owned()
}

#[test]
fn the_cause_is_told_everywhere_in_the_same_words() {
    let backend = with_status(404);
    let balancer = Balancer::start(config(&[&backend], json!({ "health_check": { "path": "/up" } })));
    let expected = "GET /up: 404, and 200-399 is expected";
    assert_eq!(error_of(&balancer), expected);
    let entry = balancer.metrics()["backends"][0].clone();
    let since = humantime::parse_rfc3339(entry["last_error_since"].as_str().unwrap()).unwrap();
    assert!(since.elapsed().unwrap().as_secs() < 60, "{entry}");
    let line = balancer.wait_for_log("msg=\"backend marked UNHEALTHY\"");
    assert!(fields(&line).contains(&("reason".into(), expected.into())), "{line}");
    let labels = format!("{{pool=\"default\",backend=\"{}\",reason=\"status\"}} 1", backend.url());
    let page = prometheus(&balancer);
    assert!(page.contains(&format!("loadbalancer_backend_unhealthy_info{labels}\n")), "{page}");
    let since = "loadbalancer_backend_unhealthy_since_timestamp_seconds{pool=\"default\"";
    assert!(page.contains(since), "{page}");
    assert!(!page.contains("expected\""), "free text is no label: {page}");
}

#[test]
fn a_healthy_backend_has_no_error_and_one_that_recovers_has_none_any_more() {
    let backend = Backend::named("one");
    let balancer = Balancer::over(&[&backend]).once_probed();
    let errors = || {
        let entry = balancer.metrics()["backends"][0].clone();
        (entry["last_error"].clone(), entry["last_error_since"].clone())
    };
    assert_eq!(errors(), (Value::Null, Value::Null));
    assert!(!prometheus(&balancer).contains("unhealthy_info{"));
    backend.set_healthy(false);
    assert_eq!(error_of(&balancer), "GET /health: 503, and 200-399 is expected");
    backend.set_healthy(true);
    balancer.wait_for_states(&["healthy"]);
    assert_eq!(errors(), (Value::Null, Value::Null));
    assert!(!prometheus(&balancer).contains("unhealthy_info{"));
}

#[test]
fn each_cause_has_its_words_and_its_word() {
    let closes = Backend::that(Behaviour::ClosesBeforeHead);
    let hangs = Backend::named("hangs");
    hangs.set_health(Health::Hangs);
    let refuses = Backend::that(Behaviour::Refuses);
    let speaks = with_status(200);
    let cases = [
        (&refuses, json!({}), "connection refused while connecting", "unreachable"),
        (&refuses, json!({ "type": "tcp" }), "tcp: Connection refused (os error 111)", "unreachable"),
        (
            &hangs,
            json!({ "timeout": "100ms" }),
            "GET /health: timed out while waiting for the answer",
            "timeout",
        ),
        (
            &closes,
            json!({ "path": "/up" }),
            "GET /up: connection closed while waiting for the answer",
            "closed",
        ),
        (
            &speaks,
            json!({ "path": "/up", "expect_body": "ready" }),
            "GET /up: 200, and its body does not have \"ready\"",
            "body",
        ),
        (
            &speaks,
            json!({ "path": "/up", "expect_status": "204" }),
            "GET /up: 200, and 204 is expected",
            "status",
        ),
    ];
    for (backend, check, text, word) in cases {
        let balancer = Balancer::start(config(&[backend], json!({ "health_check": check })));
        assert_eq!(error_of(&balancer), text);
        let page = prometheus(&balancer);
        assert!(page.contains(&format!(",reason=\"{word}\"}} 1")), "{word}: {page}");
    }
}

#[test]
fn a_cause_that_changes_is_a_line_of_its_own() {
    let mut backend = Backend::named("one");
    backend.set_healthy(false);
    let balancer = Balancer::over(&[&backend]);
    assert_eq!(error_of(&balancer), "GET /health: 503, and 200-399 is expected");
    let first = balancer.metrics()["backends"][0]["last_error_since"].clone();
    backend.wait_for_probes(3);
    let another = "msg=\"backend is unhealthy for another reason\"";
    assert_eq!(balancer.log_lines_with(another), [""; 0], "it is the same one still");
    backend.stop();
    let line = balancer.wait_for_log(another);
    let reason = ("reason".to_owned(), "connection refused while connecting".to_owned());
    assert!(fields(&line).contains(&reason) && line.contains("level=WARN"), "{line}");
    let entry = balancer.metrics()["backends"][0].clone();
    assert_eq!(entry["last_error"], "connection refused while connecting");
    assert_ne!(entry["last_error_since"], first);
    assert_eq!(balancer.log_lines_with("backend marked UNHEALTHY").len(), 1);
}

#[test]
fn the_dashboard_has_the_whole_text_on_a_phone_too() {
    let backend = with_status(404);
    let balancer = Balancer::start(config(&[&backend], json!({ "health_check": { "path": "/up" } })));
    let Some(browser) = Browser::start() else {
        return skip("no chromedriver; tests/browser/install gets it");
    };
    browser.open(&format!("http://{}/lb-dashboard", balancer.address()));
    let expected = "GET /up: 404, and 200-399 is expected";
    eventually("the cause is shown", || browser.text("#backends .why") == expected);
    for width in [360, 1280] {
        browser.resize(width, 800, width == 360);
        let cut = "const it = document.querySelector('#backends .why'); \
                   return it.scrollWidth > it.clientWidth || document.scrollingElement.scrollWidth > innerWidth";
        assert_eq!(browser.run(cut), json!(false), "{width}");
    }
}
