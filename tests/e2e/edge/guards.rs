//! What keeps somebody out holds however it is asked: by another spelling of a path, by a field that looks like
//! another or is named away, behind a proxy, in an upgrade, and when there is no room.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{
    Answer, Backend, Balancer, Behaviour, ByHand, balancer_by_hand, config, eventually, lay_over, with_room,
};

/// Over one backend, on each of the listeners.
fn each_listener(more: Value, test: impl Fn(&Backend, &Balancer)) {
    for front in [true, false] {
        let backend = Backend::named("default");
        let mut config = config(&[&backend], json!({ "front": front }));
        lay_over(&mut config, more.clone());
        test(&backend, &Balancer::start(config));
    }
}

#[test]
fn a_route_guards_its_page_however_the_path_is_spelled() {
    let routes = json!({ "routes": [
        { "path": "/admin", "allow": ["10.0.0.0/8"], "pool": "default" },
        { "path_exact": "/a%20b", "respond": { "status": 204 } },
        { "path_regex": "^/v[0-9]+$", "respond": { "status": 204 } },
    ] });
    each_listener(routes, |backend, balancer| {
        for (target, status) in [
            ("/admin", 403),
            ("/%61dmin", 403),
            ("//admin", 403),
            ("/./admin/x", 403),
            ("/x/../admin", 403),
            ("/x/%2e%2E/admin?q", 403),
            ("/admin%2Fx", 403),
            ("/public/..%2fadmin", 403),
            ("http://example.com//admin", 403),
            ("//v%31", 204),
            ("/a%20b", 204),
            ("/administrator", 200),
            ("/admin/../x", 200),
        ] {
            assert_eq!(balancer.get(target).status, status, "{target}");
        }
        let passed: Vec<String> = backend.asked().iter().map(|asked| asked.target().to_owned()).collect();
        assert_eq!(passed, ["/administrator", "/admin/../x"], "as they were sent");
    });
}

#[test]
fn nothing_climbs_out_of_what_a_path_is_rewritten_to() {
    let routes = json!({ "routes": [
        { "path": "/static", "strip_prefix": "/static", "add_prefix": "/public", "pool": "default" },
    ] });
    each_listener(routes, |backend, balancer| {
        for (target, expected) in [
            ("/static/%20a%2Fb?c=..", "/public/%20a%2Fb?c=.."),
            ("/static//x", "/public/x"),
            ("//static/x", "/public/x"),
            ("/st%61tic/x", "/public/x"),
            ("/static%2Fx", "/public/x"),
            ("/x/../static/./y/../z", "/public/z"),
            ("/static/..%2F..%2Fstatic/x", "/public/x"),
            ("/static/../secret", "/static/../secret"),
        ] {
            let before = backend.asked().len();
            assert_eq!(balancer.get(target).status, 200);
            assert_eq!(backend.wait_for(before + 1).target(), expected, "{target}");
        }
    });
}

#[test]
fn what_looks_like_a_field_goes_with_it_and_all_its_values_come() {
    let rules = json!({ "request_headers": {
        "set": { "X-User": "us", "X-To": "{backend}" }, "add": { "X-To": "more" }, "remove": ["X-Admin"] } });
    each_listener(rules, |backend, balancer| {
        let sent =
            [("X_User", "forged"), ("x_admin", "1"), ("X-Admin", "1"), ("X_To", "forged"), ("X_Other", "1")];
        assert_eq!(balancer.ask("GET", "/", &sent, b"").status, 200);
        let asked = backend.wait_for(1);
        assert_eq!(asked.header("x-user"), Some("us"));
        assert_eq!([asked.header("x_user"), asked.header("x_admin"), asked.header("x-admin")], [None; 3]);
        assert_eq!(asked.header("x_other"), Some("1"), "what no rule is about");
        let head = String::from_utf8_lossy(&asked.raw).to_lowercase();
        let to: Vec<&str> =
            head.lines().filter(|line| line.starts_with("x-to") || line.starts_with("x_to")).collect();
        assert_eq!(to, [&format!("x-to: {}", backend.url()), "x-to: more"]);
    });
}

#[test]
fn an_upgraded_connection_s_answer_follows_the_rules_too() {
    for front in [true, false] {
        let (backend, balancer) = balancer_by_hand(json!({ "front": front, "response_headers": {
            "set": { "X-By": "{backend}" }, "remove": ["Server", "X-Powered-By"] } }));
        let mut client = balancer.connect();
        client.send("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        let mut exchange = backend.next();
        exchange.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nServer: x/1\r\n\
             X-Powered-By: y\r\nSec-WebSocket-Accept: z\r\n\r\n",
        );
        let answer = client.read_response();
        assert_eq!((answer.status, answer.header("upgrade")), (101, Some("websocket")));
        assert_eq!(answer.header("sec-websocket-accept"), Some("z"));
        assert_eq!((answer.header("server"), answer.header("x-powered-by")), (None, None));
        assert_eq!(answer.header("x-by"), backend.entry()[0]["url"].as_str());
    }
}

/// A service that lets everybody pass as alice, before a backend, on each listener.
fn behind_a_service(more: Value, test: impl Fn(&Backend, &Backend, &Balancer)) {
    for front in [true, false] {
        let headers = vec![("X-User", "alice"), ("X-Forwarded-User", "alice"), ("X-Forwarded-User", "admin")];
        let service = Backend::that(Behaviour::Answers(Answer { headers, ..Answer::ok("") }));
        let backend = Backend::named("default");
        let auth = json!({ "url": service.url(), "pass": ["X-User", "X-Forwarded-User"] });
        let mut config = config(&[&backend], json!({ "front": front }));
        config["routes"] = json!([{ "forward_auth": auth, "pool": "default" }]);
        lay_over(&mut config, more.clone());
        test(&service, &backend, &Balancer::start(config));
    }
}

#[test]
fn what_the_service_says_reaches_the_backend_whatever_the_client_says() {
    behind_a_service(json!({ "trusted_proxies": [] }), |_, backend, balancer| {
        let sent = [("Connection", "close, X-User"), ("X-User", "forged"), ("X_Forwarded_User", "forged")];
        assert_eq!(balancer.ask("GET", "/", &sent, b"").status, 200);
        let asked = backend.wait_for(1);
        assert_eq!(asked.header("x-user"), Some("alice"), "a client can't name it away");
        let head = String::from_utf8_lossy(&asked.raw).to_lowercase().replace('_', "-");
        let users: Vec<&str> = head.lines().filter(|line| line.starts_with("x-forwarded-user")).collect();
        assert_eq!(users, ["x-forwarded-user: alice", "x-forwarded-user: admin"]);
    });
}

#[test]
fn the_service_is_told_what_the_client_asked_and_answers_no_condition() {
    behind_a_service(json!({}), |service, backend, balancer| {
        let sent = [
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "shop.example"),
            ("If-None-Match", "*"),
            ("If-Modified-Since", "Sat, 28 Nov 2026 10:00:00 GMT"),
            ("If-Match", "\"a\""),
        ];
        assert_eq!(balancer.ask("GET", "/cart", &sent, b"").status, 200);
        let asked = service.wait_for(1);
        assert_eq!(asked.header("x-forwarded-proto"), Some("https"));
        assert_eq!(asked.header("x-forwarded-host"), Some("shop.example"));
        for gone in ["if-none-match", "if-modified-since", "if-match"] {
            assert_eq!(asked.header(gone), None, "{gone}");
            assert!(backend.wait_for(1).header(gone).is_some(), "{gone}");
        }
    });
}

#[test]
fn a_service_s_304_has_no_length_of_its_own() {
    let service = Backend::that(Behaviour::Answers(Answer { status: 304, ..Answer::ok("") }));
    let auth = json!({ "routes": [{ "forward_auth": { "url": service.url() }, "pool": "default" }] });
    each_listener(auth, |_, balancer| {
        let answer = balancer.get("/");
        assert_eq!((answer.status, answer.header("content-length")), (304, None));
    });
}

#[test]
fn the_scheme_is_the_client_s_where_a_trusted_proxy_says_so() {
    let rules = json!({
        "sticky_cookie": "lb",
        "request_headers": { "set": { "X-Scheme": "{scheme}" } },
        "routes": [{ "path": "/old", "redirect": { "to": "{scheme}://www.example.com{path}" } }],
    });
    each_listener(rules.clone(), |backend, balancer| {
        let by_https = [("X-Forwarded-Proto", "https")];
        let answer = balancer.ask("GET", "/old", &by_https, b"");
        assert_eq!(answer.header("location"), Some("https://www.example.com/old"));
        let answer = balancer.ask("GET", "/", &by_https, b"");
        assert!(answer.header("set-cookie").is_some_and(|cookie| cookie.ends_with("; Secure")));
        assert_eq!(backend.wait_for(1).header("x-scheme"), Some("https"));
        assert_eq!(balancer.get("/old").header("location"), Some("http://www.example.com/old"));
    });
    let mut strangers = rules;
    strangers["trusted_proxies"] = json!([]);
    each_listener(strangers, |_, balancer| {
        let answer = balancer.ask("GET", "/old", &[("X-Forwarded-Proto", "https")], b"");
        assert_eq!(answer.header("location"), Some("http://www.example.com/old"));
    });
}

#[test]
fn a_request_without_room_is_refused_as_its_route_says() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("shop.html");
    fs::write(&page, "<h1>Full</h1>").unwrap();
    for (front, limits, reason) in [
        (true, json!({ "limits": { "max_queue": 0 } }), "queue_full"),
        (false, json!({ "limits": { "max_queue": 0 } }), "queue_full"),
        (true, json!({ "timeouts": { "queue": "200ms" } }), "queue_timeout"),
        (false, json!({ "timeouts": { "queue": "200ms" } }), "queue_timeout"),
    ] {
        let backend = ByHand::start();
        let mut config = backend.config(json!({ "workers": 1, "front": front, "routes": [{
            "path": "/shop", "pool": "default", "error_pages": { "503": page },
            "response_headers": { "set": { "Access-Control-Allow-Origin": "*" } },
        }] }));
        lay_over(&mut config, limits);
        let balancer = Balancer::start(config);
        let _holding = balancer.asking("/holding");
        let _held = backend.next();
        let answer = balancer.get("/shop/cart");
        assert_eq!((answer.status, answer.header("x-lb-reason")), (503, Some(reason)));
        assert_eq!(answer.text(), "<h1>Full</h1>", "{reason}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        assert_eq!(balancer.get("/else").header("access-control-allow-origin"), None);
    }
}

#[test]
fn an_empty_list_of_those_who_may_is_a_mistake_and_so_is_a_field_that_nobody_may_pass() {
    for (more, mistake) in [
        (json!({ "allow": [] }), "routes[0].allow: is empty, which would keep nobody out"),
        (
            json!({ "forward_auth": { "url": "http://a", "pass": ["Host"] } }),
            "routes[0].forward_auth.pass[0]: the Host that backends see is \"host_header\"",
        ),
        (
            json!({ "forward_auth": { "url": "http://a", "pass": ["X-User", "Connection"] } }),
            "routes[0].forward_auth.pass[1]: Connection belongs to the connection",
        ),
    ] {
        let mut route = json!({ "pool": "default" });
        lay_over(&mut route, more);
        let text = json!({ "routes": [route] }).to_string();
        let run = crate::support::Run::of(["check"]).file(&text).output();
        assert!(run.stderr.contains(mistake), "{mistake}: {}", run.stderr);
    }
}

#[test]
fn a_reload_changes_what_is_guarded_for_the_next_request_of_a_connection() {
    let open = json!({ "routes": [{ "path": "/admin", "pool": "default" }] });
    each_listener(open, |_, balancer| {
        let mut client = balancer.connect();
        assert_eq!(client.get("//admin").status, 200);
        let mut closed: Value =
            serde_json::from_str(&fs::read_to_string(balancer.config_file()).unwrap()).unwrap();
        closed["routes"] = json!([{ "path": "/admin", "deny": ["127.0.0.0/8"], "pool": "default" }]);
        balancer.write_config(&closed.to_string());
        balancer.wait_for_log("configuration reloaded");
        eventually("it is closed", || client.get("//admin").status == 403);
        assert!(
            !client.is_closed_within(Duration::from_millis(50)),
            "it was no reason to end the connection"
        );
    });
}

#[test]
fn a_route_keeps_its_buckets_when_another_one_comes_before_it() {
    let limited = |path: &str| json!({ "path": path, "pool": "default", "rate_limit": { "requests_per_second": 0.001, "burst": 2 } });
    each_listener(json!({ "routes": [limited("/login")] }), |_, balancer| {
        let statuses = |path: &str| [(); 3].map(|()| balancer.get(path).status);
        assert_eq!(statuses("/login"), [200, 200, 429]);
        let mut config: Value =
            serde_json::from_str(&fs::read_to_string(balancer.config_file()).unwrap()).unwrap();
        config["routes"] = json!([limited("/new"), limited("/login")]);
        balancer.write_config(&config.to_string());
        balancer.wait_for_log("configuration reloaded");
        assert_eq!(statuses("/login"), [429; 3], "its bucket is empty still");
        assert_eq!(statuses("/new"), [200, 200, 429], "nobody has taken of this one");
    });
}

/// A service by hand before a backend, on each listener.
fn before_a_service_by_hand(test: impl Fn(&ByHand, &Balancer)) {
    for front in [true, false] {
        let (service, backend) = (ByHand::start(), Backend::named("default"));
        let mut config = config(&[&backend], json!({ "front": front }));
        let url = &service.entry()[0]["url"];
        config["routes"] = json!([{ "forward_auth": { "url": url, "timeout": "1s" }, "pool": "default" }]);
        test(&service, &Balancer::start(config));
    }
}

#[test]
fn a_service_s_connection_is_kept_and_one_that_it_closes_costs_no_request() {
    before_a_service_by_hand(|service, balancer| {
        let mut first = balancer.asking("/1");
        let mut exchange = service.next();
        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nAuthenticated");
        let kept = exchange.stream().peer_addr().unwrap();
        exchange.keep_alive();
        assert_eq!(first.read_response().status, 200);
        let mut second = balancer.asking("/2");
        let exchange = service.next();
        assert_eq!(exchange.stream().peer_addr().unwrap(), kept, "though its answer has a body");
        drop(exchange);
        service.next().send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(second.read_response().status, 200, "it is asked by another connection");
    });
}

#[test]
fn a_service_that_never_ends_its_answer_has_its_time_and_no_more() {
    before_a_service_by_hand(|service, balancer| {
        let mut client = balancer.asking("/");
        let mut exchange = service.next();
        exchange.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 100\r\n\r\n");
        let began = Instant::now();
        while !client.is_answered_within(Duration::from_millis(200)) {
            exchange.send_if_open("x");
            assert!(began.elapsed() < with_room(Duration::from_secs(8)), "each byte is waited for");
        }
        let answer = client.read_response();
        assert_eq!((answer.status, answer.header("x-lb-reason")), (503, Some("auth_unavailable")));
    });
}
