//! Why a request went where it went: `GET /explain` on the admin listener, and `loadbalancer explain`.

use serde_json::{Value, json};

use crate::support::{Admin, Answer, Backend, Behaviour, Run, config, eventually};

fn explained(admin: &Admin, id: &str) -> Value {
    let path = format!("/explain?id={id}");
    // It is remembered when the request has ended, a moment after its answer has arrived.
    eventually("the request is remembered", || admin.ask("GET", &path, &[]).status == 200);
    admin.ask("GET", &path, &[]).json()
}

fn lost<'a>(attempt: &'a Value, backend: &Backend) -> &'a str {
    let others = attempt["others"].as_array().unwrap();
    let other =
        others.iter().find(|other| other["backend"] == backend.url()).expect("it is among the others");
    other["lost"].as_str().unwrap()
}

fn ask(admin: &Admin, path: &str) -> (u16, String) {
    let answer = admin.balancer.get(path);
    (answer.status, answer.header("x-request-id").expect("every answer has an id").to_owned())
}

#[test]
fn a_request_s_way_is_told_with_what_spoke_against_the_others() {
    let [one, two, mut down] = ["one", "two", "down"].map(Backend::named);
    down.stop();
    let admin = Admin::over(config(
        &[&one, &two, &down],
        json!({ "admin": { "listen": "127.0.0.1:0" }, "health_check": { "interval": "100ms" } }),
    ));
    admin.balancer.metrics_when("healthy_backends", 2);
    let (_, id) = ask(&admin, "/some/path?x=1");
    let page = explained(&admin, &id);
    assert_eq!(page["request"], "GET /some/path?x=1");
    assert_eq!((&page["client"], &page["status"]), (&json!("127.0.0.1"), &json!(200)));
    assert_eq!((&page["pool"], &page["algorithm"]), (&json!("default"), &json!("round_robin")));
    let attempt = &page["attempts"][0];
    assert_eq!((&attempt["why"], &attempt["fate"]), (&json!("it was its turn"), &json!("answered 200")));
    let other = if attempt["backend"] == one.url() { &two } else { &one };
    assert_eq!(lost(attempt, other), "not its turn");
    let unhealthy = lost(attempt, &down);
    assert!(unhealthy.starts_with("unhealthy: ") && unhealthy.contains("refused"), "{unhealthy}");
    let sentence = page["sentence"].as_str().unwrap();
    assert!(
        sentence.starts_with("GET /some/path?x=1 of 127.0.0.1 ")
            && sentence.contains("went to pool default (round_robin): http://")
    );
    assert!(sentence.contains("; the client got 200 after ") && sentence.ends_with(" ms."), "{sentence}");
}

#[test]
fn every_attempt_has_its_fate() {
    let (breaks, good) = (Backend::that(Behaviour::ClosesBeforeHead), Backend::named("good"));
    let admin = Admin::on_loopback(&[&breaks, &good]);
    let tried = (0..4)
        .map(|_| explained(&admin, &ask(&admin, "/").1))
        .find(|page| page["attempts"].as_array().unwrap().len() == 2);
    let page = tried.expect("one of them met the bad one first");
    assert_eq!(page["attempts"][0]["backend"], breaks.url());
    assert!(page["attempts"][0]["fate"].as_str().unwrap().starts_with("failed, "), "{page}");
    assert_eq!(page["attempts"][1]["fate"], "answered 200");
    assert_eq!(lost(&page["attempts"][1], &breaks), "tried before");
}

#[test]
fn a_refusal_says_what_was_wrong_with_each_backend() {
    let [mut one, two] = ["one", "two"].map(Backend::named);
    let admin = Admin::on_loopback(&[&one, &two]);
    one.stop();
    admin.post(&format!("/backends/disable?url={}", two.url()));
    admin.post(&format!("/backends/weight?weight=0&url={}", one.url()));
    let (status, id) = ask(&admin, "/");
    assert_eq!(status, 503);
    let page = explained(&admin, &id);
    assert_eq!(page["reason"], "no_healthy_backend");
    let attempt = &page["attempts"][0];
    assert_eq!((lost(attempt, &one), lost(attempt, &two)), ("weight 0", "disabled by hand"));
}

#[test]
fn load_and_hashes_are_reasons_too() {
    let (held, other) = (Backend::that(Behaviour::Holds(Answer::ok("held"))), Backend::named("other"));
    let admin = Admin::over(config(
        &[&held, &other],
        json!({ "admin": { "listen": "127.0.0.1:0" }, "algorithm": "least_conn" }),
    ));
    // The one that holds is asked first or second.
    let mut waiting = admin.balancer.connect();
    for number in 1..=2 {
        waiting.ask("GET", "/", &[], b"");
        eventually("it has arrived", || held.heads() + other.heads() == number);
        if held.heads() > 0 {
            break;
        }
        waiting.read_response();
    }
    admin.balancer.metrics_when("active_requests", 1);
    let page = explained(&admin, &ask(&admin, "/").1);
    let attempt = &page["attempts"][0];
    assert_eq!(attempt["why"], "fewest active requests, 0");
    assert_eq!(lost(attempt, &held), "1 active against 0");
    drop(waiting);
    held.release();
}

#[test]
fn the_last_place_is_chosen_for_the_same_reason_as_any_other() {
    let (one, other) = (Backend::named("one"), Backend::named("other"));
    let backends = [&one, &other].map(|backend| json!({ "url": backend.url(), "max_connections": 1 }));
    let admin = Admin::over(config(
        &[],
        json!({ "admin": { "listen": "127.0.0.1:0" }, "algorithm": "least_conn", "backends": backends }),
    ));
    let attempt = &explained(&admin, &ask(&admin, "/").1)["attempts"][0];
    assert_eq!(attempt["why"], "fewest active requests, 0");
    let loser = if attempt["backend"] == one.url() { &other } else { &one };
    assert_eq!(lost(attempt, loser), "0 active as well, and not its turn");
}

#[test]
fn what_a_client_sent_commands_no_terminal() {
    let backend = Backend::named("one");
    let admin = Admin::over(config(&[&backend], json!({ "admin": { "listen": "127.0.0.1:0" } })));
    // U+009B begins commands as ESC and a bracket do, and U+202E turns the rest of a line round.
    let (_, id) = ask(&admin, "/\u{9b}31m\u{202e}é");
    let page = explained(&admin, &id);
    for text in [&page["request"], &page["sentence"]] {
        assert!(text.as_str().unwrap().starts_with("GET /\\u{9b}31m\\u{202e}é"), "{text}");
    }
}

#[test]
fn it_says_where_a_request_would_go_and_takes_no_turn_for_that() {
    let backends = ["a", "b", "c"].map(Backend::named);
    let [a, b, c] = &backends;
    let admin = Admin::over(config(
        &[a, b, c],
        json!({ "admin": { "listen": "127.0.0.1:0" }, "algorithm": "ip_hash" }),
    ));
    for client in ["192.0.2.1", "192.0.2.2", "2001:db8::7"] {
        let page = admin.ask("GET", &format!("/explain?client={client}&path=/x"), &[]).json();
        let name = admin.balancer.get_for(client, "/x");
        let chosen = backends.iter().find(|backend| page["backend"] == backend.url()).unwrap();
        assert_eq!(admin.balancer.get_for(client, "/x").text(), name.text());
        assert!(chosen.asked().len() >= 2, "{page}");
        let sentence = page["sentence"].as_str().unwrap();
        assert!(sentence.contains(&format!("of {client} would go to {}", chosen.url())), "{sentence}");
        assert!(sentence.contains("the hash of the client's address names it"), "{sentence}");
    }
}

#[test]
fn what_can_t_be_explained_is_said() {
    let backend = Backend::named("one");
    let admin = Admin::on_loopback(&[&backend]);
    for (path, status) in
        [("/explain", 400), ("/explain?client=nonsense", 400), ("/explain?id=no-such-request", 404)]
    {
        assert_eq!(admin.ask("GET", path, &[]).status, status, "{path}");
    }
    assert_eq!(admin.post("/explain?id=x").status, 405);
    assert_eq!(admin.balancer.get("/explain?id=x").text(), "one", "the main listener proxies it");
}

#[test]
fn the_command_asks_the_running_one() {
    let backends = ["a", "b"].map(Backend::named);
    let admin = Admin::start(
        &backends.each_ref(),
        json!({ "listen": "127.0.0.1:0", "token": "a-secret-of-some-length" }),
    );
    let settings =
        json!({ "admin": { "listen": admin.address.to_string(), "token": "a-secret-of-some-length" } })
            .to_string();
    let (_, id) = ask(&admin, "/x");
    let by_id = || Run::of(["explain", "--id", &id, "--config"]).file(&settings).output();
    eventually("the request is remembered", || by_id().code == Some(0));
    let told = by_id().stdout;
    assert!(told.starts_with("GET /x of 127.0.0.1 "), "{told}");
    assert!(told.contains("went to pool default (round_robin): http://"), "{told}");
    assert!(told.contains("  it was its turn; answered 200 after "), "{told}");
    assert!(told.contains("    not http://") && told.trim_end().ends_with("  not its turn"), "{told}");

    let slowest = Run::of(["explain", "--slowest", "2", "--config"]).file(&settings).output().stdout;
    let lines: Vec<_> = slowest.lines().collect();
    assert!(lines[0].contains("took_ms") && lines[0].contains("queue_ms"), "{slowest}");
    assert!(lines[1].contains(" 200  ") && lines[1].ends_with(&format!("{id} GET /x")), "{slowest}");

    let ahead = Run::of(["explain", "--client", "192.0.2.1", "--path", "/a b", "--config"]).file(&settings);
    let told = ahead.output().stdout;
    assert!(told.starts_with("A request of 192.0.2.1 would go to http://"), "{told}");

    let unknown = Run::of(["explain", "--id", "none", "--config"]).file(&settings).output();
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.stderr.contains("none of the last 10000 requests has this id"), "{unknown:?}");
    let nobody = Run::of(["explain", "--id", "x", "--config"]).file("{}").output();
    assert_eq!(nobody.code, Some(2));
    assert!(nobody.stderr.contains("set \"admin\""), "{nobody:?}");
}
