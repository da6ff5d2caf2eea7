use super::headers::{Context, apply_to_answer, apply_to_request, location};
use super::*;
use crate::config::{Overrides, parse};
use crate::http::Headers;

fn book(text: &str) -> Book {
    Book::new(&parse(text, &Overrides::default()).unwrap())
}

fn context() -> Context<'static> {
    Context {
        client: IpAddr::from([192, 0, 2, 7]),
        host: "a.example",
        is_secure: true,
        path: "/x?y",
        request_id: "id",
        backend: "http://b",
    }
}

const LAYERS: &str = r#"{
    "request_headers": { "set": { "X-A": "top", "X-B": "top" }, "remove": ["Proxy"] },
    "retry": { "max_retries": 5 }, "timeouts": { "request": "9s" },
    "rate_limit": { "enabled": true, "requests_per_second": 7 },
    "pools": { "api": {
        "backends": [{ "url": "http://a" }], "request_headers": { "set": { "x-a": "pool" } },
        "retry": { "delay": "1s" }, "limits": { "max_body_bytes": 10 }, "circuit_breaker": { "failures": 9 } } },
    "routes": [
        { "path": "/api", "pool": "api", "request_headers": { "add": { "X-B": "{client}" } },
          "retry": { "max_retries": 1 }, "timeouts": { "request": "1s" }, "limits": { "max_body_bytes": null },
          "rate_limit": { "burst": 3 }, "circuit_breaker": { "enabled": false } }
    ]
}"#;

#[test]
fn the_narrower_stands_beside_the_wider_and_wins_where_names_are_the_same() {
    let book = book(LAYERS);
    let [default, api, route] = [0, 1, 2].map(|number| book.get(number));
    let names = |rules: &Rules| {
        let mut headers = Headers::default();
        headers.push("Proxy", b"x");
        headers.push("X-B", b"sent");
        apply_to_request(&rules.request_headers, &mut headers, &context());
        let text = |(name, value): (&str, &[u8])| format!("{name}={}", String::from_utf8_lossy(value));
        headers.iter().map(text).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names(default), "X-A=top X-B=top");
    assert_eq!(names(api), "X-B=top x-a=pool");
    assert_eq!(names(route), "X-B=sent x-a=pool X-B=192.0.2.7");
    assert_eq!([default, api, route].map(|it| it.retry.max_retries), [5, 5, 1]);
    assert_eq!([default, api, route].map(|it| it.retry.delay.as_millis()), [50, 1000, 1000]);
    assert_eq!([default, api, route].map(|it| it.request_timeout.as_secs()), [9, 9, 1]);
    assert_eq!([default, api, route].map(|it| it.max_body_bytes), [None, Some(10), None]);
    let limit = |rules: &Rules| rules.rate_limit.clone().map(|(it, _)| (it.requests_per_second, it.burst));
    assert_eq!([default, api, route].map(limit), [Some((7.0, 200)), Some((7.0, 200)), Some((7.0, 3))]);
    let owner = |rules: &Rules| rules.rate_limit.as_ref().map(|(_, owner)| *owner);
    assert_eq!((owner(default), owner(api)), (Some(0), Some(0)), "one bucket for what has none of its own");
    assert_ne!(owner(route), Some(0));
    assert_eq!(route.own_breaker, Some(None));
}

#[test]
fn all_values_of_a_field_come_even_where_one_of_them_names_the_backend() {
    let book = book(
        r#"{ "request_headers": { "set": { "X-To": "{backend}", "X-A": "a" }, "add": { "x_to": "b" } } }"#,
    );
    let rules = book.get(0);
    let mut headers = Headers::default();
    headers.push("X-To", b"sent");
    apply_to_request(&rules.request_headers, &mut headers, &context());
    apply_to_request(&rules.backend_headers, &mut headers, &context());
    let found: Vec<_> = headers.iter().collect();
    assert_eq!(found, [("X-A", &b"a"[..]), ("X-To", b"http://b"), ("x_to", b"b")]);
}

#[test]
fn what_looks_like_a_field_goes_with_it_in_requests_alone() {
    let rules = r#""set": { "X-User": "us" }, "add": { "X-More": "1" }, "remove": ["X-Admin"]"#;
    let book = book(&format!(r#"{{ "request_headers": {{ {rules} }}, "response_headers": {{ {rules} }} }}"#));
    let mut request = Headers::default();
    for name in ["X_User", "x-user", "X_ADMIN", "X_More", "X-Users"] {
        request.push(name, b"sent");
    }
    let mut answer = request.clone();
    let names =
        |headers: &Headers| headers.iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>().join(" ");
    apply_to_request(&book.get(0).request_headers, &mut request, &context());
    assert_eq!(names(&request), "X_More X-Users X-User X-More");
    apply_to_answer(book.get(0).response_headers.as_deref().unwrap(), &mut answer, &context());
    assert_eq!(names(&answer), "X_User X_ADMIN X_More X-Users X-User X-More");
}

#[test]
fn placeholders_stand_for_the_request_and_a_redirect_stays_where_it_is_meant() {
    let of = |to: &str| match &book(&format!(
        r#"{{ "routes": [{{ "redirect": {{ "to": "{to}", "status": 302 }} }}] }}"#
    ))
    .get(1)
    .answer
    {
        Some(Answer::Redirect { to, .. }) => to.clone(),
        other => panic!("{other:?}"),
    };
    let with = |to: &str, path: &'static str| location(&of(to), &Context { path, ..context() });
    assert_eq!(with("https://www.example.com{path}", "/x?y"), "https://www.example.com/x?y");
    assert_eq!(with("{scheme}://{host}/new{path}", "/x"), "https://a.example/new/x");
    assert_eq!(with("/docs/", "/"), "/docs/");
    assert_eq!(with("/{path}", "//evil.example/"), "/evil.example/");
    assert_eq!(with("/{path}", "/\\evil.example"), "/evil.example");
}

#[test]
fn a_redirect_that_could_lead_anywhere_is_a_mistake() {
    for to in ["{path}", "{host}/x", "//evil.example", "javascript:alert(1)", "https ://x", ""] {
        let text = format!(r#"{{ "routes": [{{ "redirect": {{ "to": "{to}" }} }}] }}"#);
        let found = parse(&text, &Overrides::default());
        let expected = to == "//evil.example";
        assert_eq!(found.is_ok(), expected, "{to}");
    }
}
