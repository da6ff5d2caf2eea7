use proptest::prelude::*;

use super::*;

fn head(fields: &[(&str, &str)]) -> RequestHead {
    let mut headers = Headers::default();
    headers.push("Host", b"example.com");
    for (name, value) in fields {
        headers.push(name, value.as_bytes());
    }
    RequestHead { method: "GET".into(), target: "/".into(), version: Version::Http11, headers }
}

fn forwarding(trusted: bool) -> Forwarding<'static> {
    Forwarding {
        peer: "127.0.0.1".parse().unwrap(),
        peer_is_trusted: trusted,
        client: "192.0.2.7".parse().unwrap(),
        is_https: false,
        request_id: "id-1",
        name: "lb-me",
        via: true,
    }
}

fn sent(head: &RequestHead, trusted: bool) -> Vec<(String, String)> {
    let is_https = is_https(&head.headers, trusted, false);
    let headers = to_backend(head, &Forwarding { is_https, ..forwarding(trusted) });
    headers
        .iter()
        .map(|(name, value)| (name.to_owned(), String::from_utf8_lossy(value).into_owned()))
        .collect()
}

fn value(fields: &[(String, String)], name: &str) -> String {
    let mut found = fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
    let value = found.next().map(|(_, value)| value.clone()).unwrap_or_default();
    assert!(found.next().is_none(), "{name} twice");
    value
}

#[test]
fn a_bare_request_gets_the_forwarding_fields_and_nothing_else() {
    let names: Vec<_> = sent(&head(&[]), true).into_iter().map(|(name, _)| name).collect();
    let expected = [
        "Host",
        "X-Forwarded-For",
        "X-Real-IP",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "X-Request-ID",
        "Via",
    ];
    assert_eq!(names, expected);
}

#[test]
fn hop_by_hop_fields_and_those_named_end_here() {
    let head = head(&[
        ("Connection", "close, X-Secret"),
        ("connection", "host, x-two"),
        ("X-Secret", "1"),
        ("X-Two", "2"),
        ("TE", "trailers"),
        ("Upgrade", "h2c"),
        ("Proxy-Authorization", "x"),
        ("Expect", "100-continue"),
        ("Content-Length", "3"),
        ("X-Kept", "k"),
    ]);
    let names: Vec<_> = sent(&head, false).into_iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    for gone in [
        "connection",
        "x-secret",
        "x-two",
        "te",
        "upgrade",
        "proxy-authorization",
        "expect",
        "content-length",
    ] {
        assert!(!names.contains(&gone.to_owned()), "{gone}");
    }
    assert!(names.contains(&"host".to_owned()) && names.contains(&"x-kept".to_owned()));
}

#[test]
fn the_way_is_appended_to_for_a_trusted_peer_and_replaced_for_a_stranger() {
    let head = head(&[("X-Forwarded-For", "1.1.1.1"), ("x-forwarded-for", "2.2.2.2")]);
    assert_eq!(value(&sent(&head, true), "x-forwarded-for"), "1.1.1.1, 2.2.2.2, 127.0.0.1");
    assert_eq!(value(&sent(&head, false), "x-forwarded-for"), "127.0.0.1");
}

#[test]
fn proto_and_host_are_believed_from_a_trusted_peer_only() {
    let head =
        head(&[("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "shop"), ("X-Real-IP", "6.6.6.6")]);
    for (trusted, proto, host) in [(true, "https", "shop"), (false, "http", "example.com")] {
        let fields = sent(&head, trusted);
        assert_eq!(value(&fields, "x-forwarded-proto"), proto);
        assert_eq!(value(&fields, "x-forwarded-host"), host);
        assert_eq!(value(&fields, "x-real-ip"), "192.0.2.7");
    }
}

#[test]
fn a_target_in_absolute_form_overrules_host() {
    let mut head = head(&[]);
    head.target = "http://other:81/x".into();
    assert_eq!(value(&sent(&head, false), "host"), "other:81");
}

#[test]
fn our_own_via_is_recognised_and_others_are_not() {
    assert!(has_passed(&head(&[("Via", "1.1 a, 1.0 lb-me (x)")]), "lb-me"));
    assert!(has_passed(&head(&[("Via", "1.1 a"), ("via", "1.1 lb-me")]), "lb-me"));
    assert!(!has_passed(&head(&[("Via", "1.1 lb-me-not, lb-me")]), "lb-me"));
    let fields = sent(&head(&[("Via", "1.0 a")]), false);
    let vias: Vec<_> =
        fields.iter().filter(|(name, _)| name == "Via").map(|(_, value)| value.as_str()).collect();
    assert_eq!(vias, ["1.0 a", "1.1 lb-me"]);
}

#[test]
fn without_via_a_field_of_ours_shows_that_a_request_comes_round_again() {
    let head = head(&[("Via", "1.0 a"), ("X-LB-Passed", "lb-other")]);
    let headers = to_backend(&head, &Forwarding { via: false, ..forwarding(false) });
    assert_eq!(headers.get_all("via").collect::<Vec<_>>(), [b"1.0 a"], "what others say stays");
    assert_eq!(headers.get_all("x-lb-passed").collect::<Vec<_>>(), [&b"lb-other"[..], b"lb-me"]);
    let again = RequestHead { headers, ..head };
    assert!(has_passed(&again, "lb-me") && has_passed(&again, "lb-other") && !has_passed(&again, "lb"));
}

#[test]
fn a_stranger_s_other_stories_are_dropped_and_a_trusted_peer_s_kept() {
    let stories = [
        ("Forwarded", "for=6.6.6.6"),
        ("X-Forwarded-Port", "443"),
        ("X-Forwarded-Prefix", "/admin"),
        ("X-Forwarded-Server", "inside"),
        ("X_Forwarded_Ssl", "on"),
    ];
    let head = head(&stories);
    let names = |trusted| sent(&head, trusted).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    for (name, _) in stories {
        assert!(!names(false).contains(&name.to_owned()), "{name} of a stranger");
        assert!(names(true).contains(&name.to_owned()), "{name} of a trusted peer");
    }
}

#[test]
fn nobody_s_look_alike_stands_beside_what_we_set() {
    let head = head(&[("X_Forwarded_For", "6.6.6.6"), ("x_real_ip", "6.6.6.6"), ("X_REQUEST_ID", "x")]);
    for trusted in [false, true] {
        let fields = sent(&head, trusted);
        assert!(fields.iter().all(|(name, _)| !name.contains('_')), "{fields:?}");
    }
}

#[test]
fn what_is_no_host_and_no_scheme_is_not_believed() {
    let head = head(&[("X-Forwarded-Proto", "javascript"), ("X-Forwarded-Host", "evil.example/?")]);
    let fields = sent(&head, true);
    assert_eq!(value(&fields, "x-forwarded-proto"), "http");
    assert_eq!(value(&fields, "x-forwarded-host"), "example.com");
}

#[test]
fn a_426_keeps_what_it_asks_for() {
    let mut backend = Headers::default();
    for (name, value) in [("Upgrade", "TLS/1.2"), ("connection", "upgrade"), ("upgrade", "HTTP/1.1")] {
        backend.push(name, value.as_bytes());
    }
    let found = to_client(426, &backend, "id-1");
    assert_eq!(found.get_all("upgrade").collect::<Vec<_>>(), [b"TLS/1.2, HTTP/1.1"]);
    assert_eq!(found.get("connection"), Some(&b"Upgrade"[..]));
    assert_eq!(to_client(200, &backend, "id-1").get("upgrade"), None);
}

#[test]
fn the_answer_loses_hop_by_hop_fields_and_gains_the_id() {
    let mut backend = Headers::default();
    for (name, value) in [
        ("set-cookie", "a=1"),
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("keep-alive", "5"),
        ("x-request-id", "theirs"),
        ("transfer-encoding", "chunked"),
        ("set-cookie", "b=2"),
    ] {
        backend.push(name, value.as_bytes());
    }
    let found = to_client(200, &backend, "id-1");
    let expected = [("set-cookie", &b"a=1"[..]), ("set-cookie", b"b=2"), ("X-Request-ID", b"id-1")];
    assert_eq!(found.iter().collect::<Vec<_>>(), expected);
}

proptest! {
    /// All other fields of a client arrive once, in order, byte for byte.
    #[test]
    fn other_fields_pass_unchanged(fields in proptest::collection::vec(("x-[a-e]", "[ -~]{0,8}"), 0..10)) {
        let list: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let passed: Vec<_> = sent(&head(&list), false).into_iter().filter(|(name, _)| name.starts_with("x-")).collect();
        prop_assert_eq!(passed, fields);
    }
}
