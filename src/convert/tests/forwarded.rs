//! Fields on a request's way with another value than ours have by themselves.

use serde_json::{Value as Json, json};

use super::converted;

/// The rules on requests, wherever they ended up, and the row for the first directive that begins so.
fn found(program: &str, text: &str, directive: &str) -> (Json, String) {
    let (config, rows) = converted(program, text);
    let start: String = directive.chars().take(59).collect();
    let row = rows.iter().find(|row| row["directive"].as_str().is_some_and(|it| it.starts_with(&start)));
    let row = row.unwrap_or_else(|| panic!("no {directive}: {rows:?}"));
    let rules = match &config["request_headers"] {
        Json::Null => config["routes"][0]["request_headers"].clone(),
        rules => rules.clone(),
    };
    (rules, format!("{}: {}", row["verdict"].as_str().unwrap(), row["note"].as_str().unwrap()))
}

const BY_ITSELF: &str =
    "same: set without being asked for; what clients send counts from trusted_proxies only";

#[test]
fn haproxy_s_fixed_fields_are_set_and_those_of_the_connection_are_not() {
    let frontend = |rules: &str| {
        format!(
            "frontend f\n mode http\n bind :80\n{rules} default_backend b\nbackend b\n mode http\n server s 10.0.0.1:80\n"
        )
    };
    let check = |rule: &str, expected: Json, said: &str| {
        let (rules, row) = found("haproxy", &frontend(&format!(" {rule}\n")), rule);
        assert_eq!(rules, expected, "{rule}");
        assert!(row.starts_with(said), "{rule}: {row}");
    };
    let set = |name: &str, value: &str| json!({ "set": { name: value } });
    check("http-request set-header X-Forwarded-Proto https", set("X-Forwarded-Proto", "https"), "same: ");
    check(
        "http-request set-header X-Forwarded-Host a.example",
        set("X-Forwarded-Host", "a.example"),
        "same: ",
    );
    check("http-request set-header X-Real-IP 192.0.2.1", set("X-Real-IP", "192.0.2.1"), "same: ");
    check("http-request add-header X-Forwarded-Proto https", set("X-Forwarded-Proto", "https"), "differs: ");
    for by_itself in [
        "http-request set-header X-Forwarded-Proto https if { ssl_fc }",
        "http-request set-header X-Forwarded-Proto http if !{ ssl_fc }",
        "http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]",
        "http-request set-header X-Forwarded-For %[src]",
        "http-request set-header X-Real-IP %[src]",
        "http-request set-header X-Forwarded-Host %[req.hdr(Host)]",
    ] {
        check(by_itself, Json::Null, BY_ITSELF);
    }
    for not_here in [
        "http-request set-header X-Forwarded-Proto https if !{ ssl_fc }",
        "http-request set-header X-Forwarded-Proto https if { path_beg /a }",
        "http-request set-header X-Forwarded-Proto %[req.hdr(X-Proto)]",
        "http-request set-header X-Real-IP %[req.hdr(CF-Connecting-IP)]",
    ] {
        check(not_here, Json::Null, "not here: ");
    }
    // The last rule counts, and `option forwardfor` adds the client after all of them.
    let del =
        " http-request del-header X-Forwarded-Proto\n http-request set-header x-forwarded-proto https\n";
    assert_eq!(found("haproxy", &frontend(del), "http-request del").0, set("x-forwarded-proto", "https"));
    let del = " http-request del-header X-Real-IP\n http-request set-header X-Real-IP %[src]\n";
    assert_eq!(found("haproxy", &frontend(del), "http-request del").0, Json::Null);
    let del = " option forwardfor\n http-request del-header X-Forwarded-For\n";
    assert_eq!(found("haproxy", &frontend(del), "http-request del"), (Json::Null, BY_ITSELF.to_owned()));
    let del = " http-request del-header X-Forwarded-For\n";
    assert_eq!(
        found("haproxy", &frontend(del), "http-request del").0,
        json!({ "remove": ["X-Forwarded-For"] })
    );
}

#[test]
fn caddy_s_fixed_fields_are_set_behind_its_own() {
    let check = |line: &str, expected: Json, said: &str| {
        let text = format!("http://a.example {{\n reverse_proxy b:1 {{\n  {line}\n }}\n}}\n");
        let (rules, row) = found("caddy", &text, line);
        assert_eq!((rules, row.starts_with(said)), (expected, true), "{line}: {row}");
    };
    check("header_up X-Forwarded-Proto https", json!({ "set": { "X-Forwarded-Proto": "https" } }), "same: ");
    check("header_up X-Forwarded-Host a", json!({ "set": { "X-Forwarded-Host": "a" } }), "same: ");
    check("header_up X-Forwarded-Proto {scheme}", Json::Null, BY_ITSELF);
    check("header_up X-Real-IP {remote_host}", Json::Null, BY_ITSELF);
    check("header_up X-Real-IP {http.request.header.CF-Connecting-IP}", Json::Null, "not here: ");
    check("header_up -X-Forwarded-For", json!({ "remove": ["X-Forwarded-For"] }), "same: ");
    // `request_header` comes before reverse_proxy, which sets three of them again.
    let text = |line: &str| format!("http://a.example {{\n {line}\n reverse_proxy b:1\n}}\n");
    let line = "request_header X-Forwarded-Proto https";
    let (rules, row) = found("caddy", &text(line), line);
    assert_eq!((rules, &row[..8]), (Json::Null, "ignored:"));
    let line = "request_header X-Real-IP 192.0.2.1";
    assert_eq!(found("caddy", &text(line), line).0, json!({ "set": { "X-Real-IP": "192.0.2.1" } }));
}

#[test]
fn nginx_s_and_traefik_s_fixed_fields_are_set() {
    let check = |line: &str, expected: Json, said: &str| {
        let text = format!("server {{ listen 80; location / {{ proxy_pass http://b; {line}; }} }}");
        let (rules, row) = found("nginx", &text, line);
        assert_eq!((rules, row.starts_with(said)), (expected, true), "{line}: {row}");
    };
    let set = |name: &str, value: &str| json!({ "set": { name: value } });
    check("proxy_set_header X-Forwarded-Proto https", set("X-Forwarded-Proto", "https"), "same: ");
    check("proxy_set_header X-Forwarded-Host a.example", set("X-Forwarded-Host", "a.example"), "same: ");
    check("proxy_set_header X-Forwarded-Proto $scheme", Json::Null, BY_ITSELF);
    check("proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for", Json::Null, BY_ITSELF);
    check("proxy_set_header X-Forwarded-Proto $http_x_forwarded_proto", Json::Null, "differs: ");
    check("proxy_set_header X-Real-IP $http_cf_connecting_ip", Json::Null, "not here: ");

    let traefik = |fields: &str| {
        let text = format!(
            "http:\n  routers: {{r: {{rule: 'PathPrefix(`/`)', middlewares: [h], service: s}}}}\n  \
             services: {{s: {{loadBalancer: {{servers: [{{url: 'http://a'}}]}}}}}}\n  \
             middlewares: {{h: {{headers: {{customRequestHeaders: {{{fields}}}}}}}}}\n"
        );
        found("traefik", &text, "http.middlewares.h.headers.customRequestHeaders")
    };
    let (rules, row) = traefik("X-Forwarded-Proto: https");
    assert_eq!((rules, &row[..5]), (set("X-Forwarded-Proto", "https"), "same:"));
    let (rules, row) = traefik("X-Forwarded-For: 192.0.2.1");
    assert_eq!((rules, &row[..8]), (set("X-Forwarded-For", "192.0.2.1"), "differs:"));
}
