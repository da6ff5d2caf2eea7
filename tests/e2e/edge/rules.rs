//! Rules at the edge: fields that are set, added and removed, routes with answers of their own, who may ask, and what
//! holds for a pool or a route alone.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use crate::support::{
    Admin, Answer, Backend, Balancer, Behaviour, Response, Run, config, eventually, lay_over,
};

/// A pool `default` and a pool `api`, and what is laid over that.
fn two(more: Value) -> (Backend, Backend, Balancer) {
    let (default, api) = (Backend::named("default"), Backend::named("api"));
    let mut config = config(&[&default], json!({}));
    config["pools"] = json!({ "api": { "backends": [{ "url": api.url() }] } });
    lay_over(&mut config, more);
    let balancer = Balancer::start(config);
    (default, api, balancer)
}

fn fields(answer: &Response, name: &str) -> Vec<String> {
    answer.all(name).into_iter().map(str::to_owned).collect()
}

#[test]
fn fields_are_set_added_and_removed_on_top_by_pool_and_by_route() {
    let (default, api, balancer) = two(json!({
        "request_headers": { "set": { "X-Client": "{client}", "X-Way": "{scheme}://{host}{path}" }, "remove": ["Proxy"] },
        "response_headers": { "set": { "Strict-Transport-Security": "max-age=31536000" }, "add": { "X-By": "top" } },
        "pools": { "api": { "request_headers": { "set": { "X-Client": "pool", "X-To": "{backend}" } } } },
        "routes": [{ "path": "/api", "pool": "api", "response_headers": { "add": { "X-By": "route" }, "remove": ["Server"] } }]
    }));
    let sent = [("Proxy", "evil"), ("x-client", "forged"), ("X-Request-ID", "id-1")];
    let answer = balancer.ask("GET", "/a?b", &sent, b"");
    let asked = default.wait_for(1);
    assert_eq!((asked.header("x-client"), asked.header("proxy")), (Some("127.0.0.1"), None));
    assert_eq!(asked.header("x-way"), Some("http://example.com/a?b"));
    assert_eq!(answer.header("strict-transport-security"), Some("max-age=31536000"));
    assert_eq!(fields(&answer, "x-by"), ["top"]);
    let answer = balancer.get("/api");
    let asked = api.wait_for(1);
    assert_eq!(asked.header("x-client"), Some("pool"));
    assert_eq!(asked.header("x-to"), Some(&*api.url()));
    assert_eq!(fields(&answer, "x-by"), ["route"], "the narrower one of a name wins");
    assert_eq!(answer.header("strict-transport-security"), Some("max-age=31536000"));
}

#[test]
fn our_own_answers_follow_the_rules_and_may_have_pages() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("503.html");
    fs::write(&page, "<h1>Back soon</h1>").unwrap();
    let (mut default, _api, balancer) = two(json!({
        "response_headers": { "set": { "X-Frame-Options": "DENY" } },
        "error_pages": { "503": page },
    }));
    default.stop();
    let answer = balancer.get("/");
    assert_eq!((answer.status, answer.text()), (503, "<h1>Back soon</h1>"));
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(answer.header("x-lb-reason"), Some("no_healthy_backend"));
    assert_eq!(answer.header("x-frame-options"), Some("DENY"));
    assert_eq!(answer.header("retry-after"), Some("1"));
    fs::write(&page, "Later.").unwrap();
    eventually("the page is read again", || balancer.get("/").text() == "Later.");
    let line = balancer.wait_for_log("configuration reloaded");
    assert!(line.contains("changes=\"what is in the file of error_pages.503\""), "{line}");
    let bad = balancer.ask("GET", "/", &[("Content-Length", "x")], b"");
    assert_eq!((bad.status, bad.header("x-frame-options")), (400, Some("DENY")));
}

#[test]
fn paths_are_rewritten_for_the_backend_alone() {
    let (default, _api, balancer) = two(json!({ "routes": [
        { "path": "/app", "strip_prefix": "/app", "pool": "default" },
        { "path": "/v2", "strip_prefix": "/v2", "add_prefix": "/new", "pool": "default" },
    ] }));
    for (target, expected) in
        [("/app/x?y=/app", "/x?y=/app"), ("/app", "/"), ("/v2/a", "/new/a"), ("/application", "/application")]
    {
        let before = default.asked().len();
        assert_eq!(balancer.get(target).status, 200);
        assert_eq!(default.wait_for(before + 1).target(), expected, "{target}");
    }
    assert!(balancer.wait_for_access("/app/x?y=/app").contains("status=200"));
}

#[test]
fn a_route_may_answer_itself() {
    let (default, _api, balancer) = two(json!({
        "response_headers": { "set": { "X-All": "1" } },
        "routes": [
            { "host": "old.example.com", "redirect": { "to": "https://www.example.com{path}" } },
            { "path": "/docs", "redirect": { "to": "/docs/", "status": 302 } },
            { "path_exact": "/robots.txt", "respond": { "status": 200, "body": "User-agent: *\n" } },
            { "path": "/gone", "respond": { "status": 204 } },
            { "path": "/down", "respond": { "status": 503, "body": "{}", "type": "application/json" } },
        ]
    }));
    let mut client = balancer.connect();
    client.send("GET /a/b?c=d HTTP/1.1\r\nHost: old.example.com\r\n\r\n");
    let answer = client.read_response();
    assert_eq!((answer.status, answer.header("location")), (308, Some("https://www.example.com/a/b?c=d")));
    let answer = balancer.get("/docs");
    assert_eq!((answer.status, answer.header("location")), (302, Some("/docs/")));
    let answer = balancer.get("/robots.txt");
    assert_eq!((answer.status, answer.text()), (200, "User-agent: *\n"));
    assert_eq!((answer.header("x-all"), answer.header("x-lb-reason")), (Some("1"), Some("route_answer")));
    let answer = balancer.get("/gone");
    assert_eq!((answer.status, answer.header("content-length")), (204, None));
    let answer = balancer.get("/down");
    assert_eq!((answer.status, answer.header("content-type")), (503, Some("application/json")));
    assert_eq!(answer.header("retry-after"), Some("1"));
    let head = balancer.ask("HEAD", "/robots.txt", &[], b"");
    assert_eq!((head.status, head.header("content-length"), head.text()), (200, Some("14"), ""));
    assert_eq!(default.asked().len(), 0);
    let counted = |metrics: &Value| metrics["reasons"]["route_answer"] == 6;
    let metrics = eventually("six are counted", || Some(balancer.metrics()).filter(counted));
    assert_eq!(metrics["total_requests"], 0);
}

#[test]
fn addresses_that_may_not_ask_are_refused_before_anything_else() {
    let (_default, _api, balancer) = two(json!({ "routes": [
        { "path": "/inside", "allow": ["10.0.0.0/8", "2001:db8::/32"], "pool": "default" },
        { "path": "/open", "deny": ["192.0.2.0/24"], "redirect": { "to": "/elsewhere" } },
        { "path": "/both", "allow": ["192.0.2.0/24"], "deny": ["192.0.2.7"], "pool": "default" },
    ] }));
    for (client, path, status) in [
        ("10.1.2.3", "/inside", 200),
        ("2001:db8::7", "/inside", 200),
        ("192.0.2.1", "/inside", 403),
        ("192.0.2.1", "/open", 403),
        ("192.0.3.1", "/open", 308),
        ("192.0.2.8", "/both", 200),
        ("192.0.2.7", "/both", 403),
        ("192.0.2.7", "/else", 200),
    ] {
        let answer = balancer.get_for(client, path);
        assert_eq!(answer.status, status, "{client} {path}");
        if status == 403 {
            assert_eq!(answer.header("x-lb-reason"), Some("forbidden_address"));
        }
    }
}

/// `htpasswd -nbB alice s3cret`, at a cost that a test can wait for.
fn password_file(folder: &std::path::Path, lines: &[(&str, &str)]) -> std::path::PathBuf {
    let line = |(name, password): &(&str, &str)| format!("{name}:{}\n", bcrypt::hash(password, 5).unwrap());
    let file = folder.join("users");
    fs::write(&file, lines.iter().map(line).collect::<String>()).unwrap();
    file
}

#[test]
fn a_login_is_asked_for_and_the_file_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let users = password_file(folder.path(), &[("alice", "s3cret"), ("bob", "pass:word")]);
    let (default, _api, balancer) = two(json!({ "routes": [
        { "path": "/private", "basic_auth": { "realm": "the office", "users": users }, "pool": "default" },
    ] }));
    let ask = |login: Option<&str>| {
        let value = login.map(|login| format!("Basic {login}"));
        let sent: Vec<(&str, &str)> = value.iter().map(|value| ("Authorization", value.as_str())).collect();
        balancer.ask("GET", "/private", &sent, b"")
    };
    let answer = ask(None);
    assert_eq!((answer.status, answer.header("x-lb-reason")), (401, Some("unauthorized")));
    assert_eq!(answer.header("www-authenticate"), Some("Basic realm=\"the office\", charset=\"UTF-8\""));
    for (login, status) in [
        ("YWxpY2U6czNjcmV0", 200),     // alice:s3cret
        ("Ym9iOnBhc3M6d29yZA==", 200), // bob:pass:word
        ("YWxpY2U6d3Jvbmc=", 401),     // alice:wrong
        ("bWFsbG9yeTpzM2NyZXQ=", 401), // mallory:s3cret
        ("YWxpY2U6czNjcmV0", 200),     // alice again, who is remembered
        ("!!!", 401),
    ] {
        assert_eq!(ask(Some(login)).status, status, "{login}");
    }
    assert_eq!(default.asked().len(), 3);
    assert_eq!(balancer.get("/public").status, 200);
    password_file(folder.path(), &[("alice", "changed")]);
    eventually("the file is read again", || ask(Some("YWxpY2U6czNjcmV0")).status == 401);
    assert_eq!(ask(Some("YWxpY2U6Y2hhbmdlZA==")).status, 200);
    fs::write(folder.path().join("users"), "alice:{SHA}abc\n").unwrap();
    let line = balancer.wait_for_log("not reloaded");
    assert!(line.contains("routes[0].basic_auth.users: ") && line.contains("htpasswd -B"), "{line}");
    assert_eq!(ask(Some("YWxpY2U6Y2hhbmdlZA==")).status, 200, "the file before holds");
}

#[test]
fn many_wrong_passwords_take_the_processors_from_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let hash = bcrypt::hash("s3cret", 10).unwrap();
    let users = folder.path().join("users");
    fs::write(&users, format!("alice:{hash}\n")).unwrap();
    let (_default, _api, balancer) = two(json!({ "routes": [
        { "path": "/private", "basic_auth": { "users": users }, "pool": "default" },
    ] }));
    let mut guesses: Vec<_> = (0..60).map(|_| balancer.connect()).collect();
    for (number, client) in guesses.iter_mut().enumerate() {
        let login = encoded(&format!("alice:{number}"));
        client.ask("GET", "/private", &[("Authorization", &format!("Basic {login}"))], b"");
    }
    assert_eq!(balancer.get("/public").status, 200);
    let statuses: BTreeSet<u16> = guesses.iter_mut().map(|client| client.read_response().status).collect();
    assert_eq!(statuses, BTreeSet::from([401, 503]));
    assert!(balancer.metrics()["reasons"]["too_many_logins"].as_u64() > Some(0));
}

fn encoded(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[test]
fn a_service_may_be_asked_who_may_pass() {
    let (default, api) = (Backend::named("default"), Backend::named("api"));
    let login = Answer {
        status: 401,
        headers: vec![("WWW-Authenticate", "Bearer"), ("X-User", "nobody")],
        ..Answer::ok("please log in")
    };
    let refuses = Backend::that(Behaviour::Answers(login));
    let passes = Answer { headers: vec![("X-User", "alice"), ("X-Other", "x")], ..Answer::ok("") };
    let lets_pass = Backend::that(Behaviour::Answers(passes));
    let mut down = Backend::named("down");
    down.stop();
    let mut config = config(&[&default], json!({}));
    let auth =
        |backend: &Backend| json!({ "url": format!("{}/verify?x=1", backend.url()), "pass": ["X-User"] });
    config["pools"] = json!({ "api": { "backends": [{ "url": api.url() }] } });
    config["routes"] = json!([
        { "path": "/yes", "forward_auth": auth(&lets_pass), "pool": "api" },
        { "path": "/no", "forward_auth": auth(&refuses), "pool": "api" },
        { "path": "/down", "forward_auth": auth(&down), "pool": "api" },
    ]);
    let balancer = Balancer::start(config);
    // Backends with CGI's names of variables can't tell the second from the first.
    let sent =
        [("X-User", "forged"), ("X_User", "forged"), ("Cookie", "session=1"), ("X-Forwarded-Uri", "/forged")];
    let answer = balancer.ask("POST", "/yes/a?b", &sent, b"body");
    assert_eq!((answer.status, answer.text()), (200, "api"));
    let (question, asked) = (lets_pass.wait_for(1), api.wait_for(1));
    assert_eq!((question.method(), question.target()), ("GET", "/verify?x=1"));
    assert_eq!(question.header("x-forwarded-uri"), Some("/yes/a?b"));
    assert_eq!(question.header("x-forwarded-method"), Some("POST"));
    assert_eq!((question.header("cookie"), question.header("content-length")), (Some("session=1"), None));
    assert_eq!((asked.header("x-user"), asked.header("x-other")), (Some("alice"), None));
    assert_eq!(asked.header("x_user"), None);
    assert_eq!(asked.body, b"body");
    let answer = balancer.get("/no");
    assert_eq!((answer.status, answer.text()), (401, "please log in"));
    assert_eq!(
        (answer.header("www-authenticate"), answer.header("x-lb-reason")),
        (Some("Bearer"), Some("not_let_pass"))
    );
    let answer = balancer.get("/down");
    assert_eq!((answer.status, answer.header("x-lb-reason")), (503, Some("auth_unavailable")));
    assert_eq!(api.asked().len(), 1);
}

#[test]
fn clients_keep_their_side_of_a_split_across_balancers_and_reloads() {
    let (stable, canary) = (Backend::named("stable"), Backend::named("canary"));
    let with = |shares: Value| {
        let mut config = config(&[&stable], json!({}));
        config["pools"] = json!({ "canary": { "backends": [{ "url": canary.url() }] } });
        config["routes"] = json!([{ "pools": shares }]);
        config
    };
    let sides = |balancer: &Balancer| -> Vec<bool> {
        (0..100)
            .map(|number| balancer.get_for(&format!("192.0.2.{number}"), "/").text() == "canary")
            .collect()
    };
    let one = Balancer::start(with(json!({ "default": 80, "canary": 20 })));
    let other = Balancer::start(with(json!({ "canary": 20, "default": 80 })));
    let before = sides(&one);
    let count = before.iter().filter(|is_canary| **is_canary).count();
    assert!((8..35).contains(&count), "{count}");
    assert_eq!(sides(&other), before);
    one.write_config(&with(json!({ "default": 60, "canary": 40 })).to_string());
    one.wait_for_log("configuration reloaded");
    assert!(
        before.iter().zip(sides(&one)).all(|(before, after)| after || !before),
        "nobody leaves the canary"
    );
    one.write_config(&with(json!({ "default": 0, "canary": 1 })).to_string());
    eventually("all are on one side", || sides(&one).into_iter().all(|is_canary| is_canary));
}

#[test]
fn a_pool_and_a_route_have_limits_retries_and_hosts_of_their_own() {
    let slow = Backend::that(Behaviour::Hangs);
    let (default, api) = (
        Backend::named("default"),
        Backend::that(Behaviour::Answers(Answer { status: 503, ..Answer::ok("no") })),
    );
    let mut config = config(&[&default], json!({ "retry": { "max_retries": 0 } }));
    config["pools"] = json!({
        "slow": { "backends": [{ "url": slow.url() }], "timeouts": { "request": "100ms" }, "health_check": { "type": "tcp" } },
        "api": { "backends": [{ "url": api.url() }], "host_header": "app.internal",
                 "retry": { "max_retries": 2, "on_status": [503], "delay": "0s" } },
    });
    config["routes"] = json!([
        { "path": "/slow", "pool": "slow" },
        { "path": "/api", "pool": "api" },
        { "path": "/api/once", "pool": "api", "retry": { "max_retries": 0 }, "host_header": "backend" },
        { "path": "/small", "pool": "default", "limits": { "max_body_bytes": 3 } },
        { "path": "/few", "pool": "default", "rate_limit": { "requests_per_second": 0.001, "burst": 2 } },
    ]);
    let balancer = Balancer::start(config);
    assert_eq!(balancer.get("/slow").header("x-lb-reason"), Some("backend_timeout"));
    assert_eq!(balancer.get("/api").status, 503);
    assert_eq!(api.asked().len(), 3);
    assert_eq!(api.asked()[0].header("host"), Some("app.internal"));
    assert_eq!(balancer.get("/api/once").status, 503);
    assert_eq!(api.asked().len(), 4);
    assert_eq!(api.asked()[3].header("host"), Some(&*api.address().to_string()));
    assert_eq!(balancer.ask("POST", "/small", &[], b"four").status, 413);
    assert_eq!(balancer.ask("POST", "/large", &[], b"four").status, 200);
    let few: Vec<u16> = (0..3).map(|_| balancer.get("/few").status).collect();
    assert_eq!(few, [200, 200, 429]);
    assert_eq!(balancer.get("/many").status, 200);
}

#[test]
fn a_route_and_a_pool_may_have_breakers_of_their_own() {
    let failing = || Backend::that(Behaviour::ClosesBeforeHead);
    let (one, other) = (failing(), failing());
    let mut config = config(&[&one], json!({ "retry": { "max_retries": 0 } }));
    config["pools"] = json!({ "api": {
        "backends": [{ "url": other.url() }], "circuit_breaker": { "failures": 1, "cooldown": "1h" } } });
    config["routes"] = json!([
        { "path": "/api", "pool": "api" },
        { "path": "/never", "pool": "default", "circuit_breaker": { "enabled": false } },
    ]);
    let balancer = Balancer::start(config);
    let breaker = |place: usize| balancer.metrics()["backends"][place]["breaker"].clone();
    for _ in 0..8 {
        balancer.ask("POST", "/never", &[], b"");
    }
    assert_eq!(breaker(0), "closed");
    balancer.ask("POST", "/api", &[], b"");
    assert_eq!(breaker(1), "open");
}

#[test]
fn explain_names_the_rules_that_a_request_met() {
    let (default, _) = (Backend::named("default"), ());
    let mut config = config(&[&default], json!({ "admin": { "listen": "127.0.0.1:0" } }));
    config["routes"] = json!([
        { "path": "/a", "pool": "default", "strip_prefix": "/a", "response_headers": { "set": { "X-A": "1" } } },
        { "path": "/b", "respond": { "status": 200 } },
        { "path": "/d", "deny": ["10.0.0.0/8"], "pool": "default" },
    ]);
    let admin = Admin::over(config);
    let rules = |path: &str| {
        let id = admin.balancer.get(path).header("x-request-id").unwrap().to_owned();
        let page = format!("/explain?id={id}");
        eventually("it is remembered", || admin.ask("GET", &page, &[]).status == 200);
        admin.ask("GET", &page, &[]).json()
    };
    assert_eq!(rules("/a/x")["rules"], "routes[0] (path rewritten, response_headers)");
    assert_eq!(rules("/b")["rules"], "routes[1] (respond)");
    assert_eq!(rules("/c")["rules"], Value::Null);
    let forecast = |client: &str, path: &str| {
        let page = admin.ask("GET", &format!("/explain?client={client}&path={path}"), &[]).json();
        page["sentence"].as_str().unwrap().to_owned()
    };
    for (client, path, expected) in [
        ("192.0.2.1", "/b", "answered by the balancer itself now, by routes[1] (respond)"),
        (
            "192.0.2.1",
            "/a/x",
            "now by routes[0] (path rewritten, response_headers) (pool default, round_robin)",
        ),
        ("192.0.2.1", "/c", "now (pool default, round_robin)"),
        ("192.0.2.1", "/d", "now by routes[2] (allow, deny) (pool default, round_robin)"),
        ("10.1.2.3", "/d", "answered 403 now, by routes[2] (allow, deny) (forbidden_address)"),
        ("::ffff:10.1.2.3", "//%2564", "answered 403 now"),
        ("::ffff:10.1.2.3", "/%252564", "now (pool default, round_robin)"),
        ("192.0.2.1", "/lb-health", "it is one of its own pages"),
    ] {
        let sentence = forecast(client, path);
        assert!(sentence.contains(expected), "{client} {path}: {sentence}");
    }
}

#[test]
fn rules_that_can_not_be_are_mistakes_with_what_would_be_right() {
    for (text, mistake) in [
        (
            r#"{ "response_headers": { "set": { "X-A": "a\r\nX-B: c" } } }"#,
            "response_headers.set.X-A: has a line end",
        ),
        (r#"{ "request_headers": { "set": { "Transfer-Encoding": "x" } } }"#, "belongs to the connection"),
        (
            r#"{ "response_headers": { "remove": ["Content-Length"] } }"#,
            "response_headers.remove[0]: Content-Length belongs",
        ),
        (r#"{ "request_headers": { "set": { "Host": "x" } } }"#, "is \"host_header\""),
        (r#"{ "request_headers": { "set": { "X A": "x" } } }"#, "is not a field's name"),
        (
            r#"{ "request_headers": { "set": { "X-A": "{cleint}" } } }"#,
            "is no placeholder; there are {client}",
        ),
        (r#"{ "response_headers": { "sett": {} } }"#, "the nearest known one is \"set\""),
        (
            r#"{ "routes": [{ "path_regex": "a(", "pool": "default" }] }"#,
            "is no regular expression: unclosed group",
        ),
        (
            r#"{ "routes": [{ "path": "/a", "path_exact": "/a", "pool": "default" }] }"#,
            "a second word on the path",
        ),
        (
            r#"{ "routes": [{ "pool": "default", "respond": { "status": 200 } }] }"#,
            "a second word on what becomes",
        ),
        (r#"{ "routes": [{ "path": "/a" }] }"#, "routes[0].pool: missing"),
        (r#"{ "routes": [{ "redirect": { "to": "{path}" } }] }"#, "is no place to send somebody"),
        (
            r#"{ "routes": [{ "redirect": { "to": "/x", "status": 304 } }] }"#,
            "write one of [301, 302, 303, 307, 308]",
        ),
        (r#"{ "routes": [{ "respond": { "status": 204, "body": "x" } }] }"#, "has no body"),
        (r#"{ "routes": [{ "pools": { "default": 0 } }] }"#, "no pool has a share"),
        (r#"{ "routes": [{ "pools": { "x": 1 } }] }"#, "there is no pool \"x\""),
        (r#"{ "routes": [{ "pool": "default", "basic_auth": {} }] }"#, "basic_auth.users: missing"),
        (
            r#"{ "routes": [{ "pool": "default", "forward_auth": { "url": "x" } }] }"#,
            "forward_auth.url: \"x\" is not a URL",
        ),
        (
            r#"{ "routes": [{ "pool": "default" }, { "pool": "default" }] }"#,
            "for the same requests as routes[0]",
        ),
        (r#"{ "error_pages": { "200": "x" } }"#, "is not a status from 400 to 599"),
        (
            r#"{ "error_pages": { "503": "/nowhere.html" } }"#,
            "error_pages.503: /nowhere.html: cannot be read",
        ),
        (r#"{ "host_header": "preserv" }"#, "is not a host; write \"preserve\""),
    ] {
        let finished = Run::of(["check", "-"]).input(text).output();
        assert_eq!(finished.code, Some(2), "{text}: {}", finished.stderr);
        assert!(finished.stderr.contains(mistake), "{text}: {}", finished.stderr);
    }
}
