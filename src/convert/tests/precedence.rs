//! What stands first counts in other programs: answers before locations, and the first match of `allow` and `deny`.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::{converted, readable, untold};
use crate::config::{Overrides, parse};

fn routes(config: &Json) -> Vec<Json> {
    config["routes"].as_array().cloned().unwrap_or_default()
}

const CERTBOT: &str = "server {\n    if ($host = a.example.com) {\n        return 301 https://$host$request_uri;\n    }\n\n\
                       listen 80;\n    server_name a.example.com;\n    return 404;\n}\n";

#[test]
fn certbot_s_redirect_stays_beside_other_servers() {
    let other = "server {\n listen 80;\n server_name b.example.com;\n location / { proxy_pass http://10.0.0.1; }\n}\n";
    let redirect =
        json!({ "host": "a.example.com", "redirect": { "to": "https://{host}{path}", "status": 301 } });
    // First, certbot's is for all other hosts, too.
    let text = format!("{CERTBOT}{other}");
    let (config, rows) = converted("nginx", &text);
    assert!(routes(&config).contains(&redirect), "{config}");
    let rest = routes(&config).into_iter().find(|route| route["host"].is_null()).expect("others");
    assert_eq!(rest["respond"]["status"], 404, "{config}");
    assert!(
        routes(&config).iter().any(|route| route["host"] == "b.example.com" && route["pool"].is_string())
    );
    assert_eq!(untold(&text, &rows), Vec::<String>::new());
    assert!(rows.iter().all(|row| row["verdict"] != "not here"), "{rows:?}");
    // Behind another, it is for its own host only, of which nothing is left for the 404.
    let (config, rows) = converted("nginx", &format!("{other}{CERTBOT}"));
    assert!(routes(&config).contains(&redirect), "{config}");
    assert!(routes(&config).iter().all(|route| route["respond"].is_null()), "{config}");
    assert!(rows.iter().all(|row| row["verdict"] != "not here"), "{rows:?}");
    // With two names, one of them without a condition.
    let two = CERTBOT.replace("server_name a.example.com", "server_name a.example.com c.example.com");
    let (config, _) = converted("nginx", &format!("{other}{two}"));
    assert!(routes(&config).contains(&redirect), "{config}");
    let rest = routes(&config).into_iter().find(|route| route["host"] == "c.example.com").expect("the rest");
    assert_eq!(rest["respond"]["status"], 404, "{config}");
}

#[test]
fn a_redirect_to_https_is_not_for_those_who_came_by_it() {
    let by_tls = "server {\n listen 443 ssl;\n server_name a.example.com;\n ssl_certificate c;\n ssl_certificate_key k;\n location / { proxy_pass http://10.0.0.1; }\n}\n";
    let other = "server {\n listen 80;\n server_name b.example.com;\n location / { proxy_pass http://10.0.0.2; }\n}\n";
    // All that is plain is redirected: one setting.
    let text = format!("{CERTBOT}{by_tls}");
    let (config, rows) = converted("nginx", &text);
    assert_eq!(config["tls"]["redirect_http"], true, "{config}");
    assert_eq!(untold(&text, &rows), Vec::<String>::new());
    assert!(
        rows.iter().any(|row| row["directive"] == "return 404" && row["verdict"] == "differs"),
        "{rows:?}"
    );
    // Another plain server is not to be redirected; a route would be for TLS as well, and go in circles.
    for text in [format!("{CERTBOT}{by_tls}{other}"), format!("{other}{by_tls}{CERTBOT}")] {
        let (config, rows) = converted("nginx", &text);
        assert!(routes(&config).iter().all(|route| route["redirect"].is_null()), "{config}");
        let is_told = |row: &Json| {
            row["directive"].as_str().is_some_and(|it| it.starts_with("if (")) && row["verdict"] == "not here"
        };
        assert!(rows.iter().any(is_told), "{rows:?}");
        let is_same =
            |row: &Json| is_told(row) || row["directive"].as_str().is_none_or(|it| !it.starts_with("if ("));
        assert!(rows.iter().all(is_same), "{rows:?}");
        assert!(readable(&config, &rows));
    }
    // A server that answers on its own besides is more than a redirect.
    let plain = "server {\n listen 80;\n server_name a.example.com;\n location /up { return 200 ok; }\n location / { return 301 https://$host$request_uri; }\n}\n";
    let (config, _) = converted("nginx", &format!("{by_tls}{plain}"));
    assert!(routes(&config).iter().any(|route| route["path"] == "/up"), "{config}");
}

#[test]
fn what_stands_outside_of_locations_comes_first_and_what_is_behind_it_is_told() {
    let text = "server {\n listen 80 default_server;\n if ($request_method = TRACE) { return 405; }\n location /api {\n  proxy_pass http://10.0.0.1;\n  return 410;\n }\n}\n\
                server {\n listen 80;\n server_name c.example.com;\n return 403;\n if ($host = x) { return 200; }\n location / {\n  proxy_pass http://10.0.0.2;\n }\n return 200;\n}\n";
    let (config, rows) = converted("nginx", text);
    let all = routes(&config);
    let api = |methods: Json| {
        let is_it = |route: &&Json| route["path"] == "/api" && route["methods"] == methods;
        all.iter().find(is_it).unwrap_or_else(|| panic!("{config}"))
    };
    assert_eq!(api(json!(["TRACE"]))["respond"]["status"], 405);
    assert_eq!(api(Json::Null)["respond"]["status"], 410, "`return` comes before proxy_pass");
    assert!(all.iter().all(|route| route["methods"].is_null() || route["host"].is_null()), "{config}");
    let of_host: Vec<&Json> = all.iter().filter(|route| route["host"] == "c.example.com").collect();
    assert_eq!((of_host.len(), &of_host[0]["respond"]["status"]), (1, &json!(403)), "{config}");
    assert_eq!(untold(text, &rows), Vec::<String>::new());
    for never in [
        "location /",
        "return 200",
        "if ($host = x)",
        "proxy_pass http://10.0.0.2",
        "proxy_pass http://10.0.0.1",
    ] {
        let row = rows.iter().rfind(|row| row["directive"] == never).expect(never);
        assert_eq!(row["verdict"], "ignored", "{never}");
    }
}

fn access(lines: &str) -> (Json, Vec<String>) {
    let text = format!("server {{ listen 80; location / {{ {lines} proxy_pass http://a; }} }}");
    let (config, rows) = converted("nginx", &text);
    let verdicts = rows.iter().filter(|row| {
        row["directive"].as_str().is_some_and(|it| it.starts_with("allow ") || it.starts_with("deny "))
    });
    (config["routes"][0].clone(), verdicts.map(|row| row["verdict"].as_str().unwrap().to_owned()).collect())
}

#[test]
fn the_first_of_nginx_s_lists_counts() {
    let (route, verdicts) = access("allow all; deny 192.0.2.1;");
    assert_eq!(
        (&route["deny"], &verdicts[..]),
        (&Json::Null, &["same".to_owned(), "ignored".to_owned()][..])
    );
    let (route, _) = access("allow 10.0.0.5; deny 10.0.0.4/30;");
    assert_eq!(route["deny"], json!(["10.0.0.6/31", "10.0.0.4/32"]), "{route}");
    assert!(route["allow"].is_null());
    let (route, verdicts) = access("allow 10.0.0.5; deny 10.0.0.0/8; deny all;");
    assert_eq!((&route["allow"], &route["deny"]), (&json!(["10.0.0.5"]), &Json::Null), "{route}");
    assert!(verdicts.iter().all(|it| it == "same"), "{verdicts:?}");
    let (route, _) = access("deny 10.0.0.5; allow 10.0.0.0/8; deny all;");
    assert_eq!((&route["allow"], &route["deny"]), (&json!(["10.0.0.0/8"]), &json!(["10.0.0.5"])));
    let (route, verdicts) = access("allow ::1; deny 2000::/3; deny ::/0;");
    assert_eq!(verdicts, ["same", "same", "not here"], "{route}");
}

proptest! {
    /// Lists of networks in 10.0.0.0/29, asked for each of its addresses.
    #[test]
    fn lists_decide_as_nginx_s_do(
        rules in proptest::collection::vec((any::<bool>(), 0_u8..8, 29_u8..=32), 0..5), last in 0_u8..3
    ) {
        let word = |allows: bool| if allows { "allow" } else { "deny" };
        let network = |low: u8, length: u8| format!("10.0.0.{}/{length}", u32::from(low) & (u32::MAX << (32 - length)));
        let mut lines: String =
            rules.iter().map(|(allows, low, length)| format!("{} {}; ", word(*allows), network(*low, *length))).collect();
        lines.push_str(["", "deny all;", "allow all;"][usize::from(last)]);
        let text = format!("server {{ listen 80; location /x {{ {lines} proxy_pass http://a; }} location / {{ proxy_pass http://a; }} }}");
        let (config, _) = converted("nginx", &text);
        let written = parse(&config.to_string(), &Overrides::default()).unwrap();
        let route = routes(&config).iter().position(|route| route["path"] == "/x");
        for low in 0..8_u8 {
            let first = rules.iter().find(|(_, net, length)| network(low, *length) == network(*net, *length));
            let expected = first.map_or(last != 1, |(allows, ..)| *allows);
            let address: std::net::IpAddr = format!("10.0.0.{low}").parse().unwrap();
            let may = route.is_none_or(|at| {
                let route = &written.routes[at];
                let is_in = |list: &[ipnet::IpNet]| list.iter().any(|it| it.contains(&address));
                let is_open = routes(&config)[at]["respond"].is_null();
                is_open && !is_in(&route.access.deny) && (route.access.allow.is_empty() || is_in(&route.access.allow))
            });
            prop_assert_eq!(may, expected, "{} {}: {}", address, lines, config);
        }
    }
}

#[test]
fn haproxy_s_refusals_come_before_the_answers_behind_them() {
    let text = "frontend f\n mode http\n bind :80\n http-request return status 200 string up if { path /up }\n \
                http-request deny if { src 192.0.2.0/24 }\n http-request redirect location https://b.example/ if { path /old }\n \
                tcp-request connection reject if { src 198.51.100.0/24 }\n default_backend b\nbackend b\n mode http\n server s 10.0.0.1:80\n";
    let (config, _) = converted("haproxy", text);
    let of =
        |path: &str| routes(&config).into_iter().find(|route| route["path_exact"] == path).expect("a route");
    assert_eq!(of("/up")["deny"], json!(["198.51.100.0/24"]), "{config}");
    assert_eq!(of("/old")["deny"], json!(["198.51.100.0/24", "192.0.2.0/24"]), "{config}");
}

#[test]
fn caddy_s_answers_for_some_and_traefik_s_order_are_told() {
    let text = "http://a {\n @in remote_ip 10.0.0.0/8\n respond @in ok 200\n reverse_proxy b:1\n}\n";
    let (_, rows) = converted("caddy", text);
    assert!(rows.iter().any(|row| row["directive"] == "respond @in ok 200" && row["verdict"] == "not here"));
    let traefik = |names: &str| {
        let text = format!(
            "http:\n  routers: {{r: {{rule: 'PathPrefix(`/`)', middlewares: [{names}], service: s}}}}\n  \
             services: {{s: {{loadBalancer: {{servers: [{{url: 'http://a'}}]}}}}}}\n  middlewares:\n    \
             go: {{redirectRegex: {{regex: '.*', replacement: 'https://b.example/'}}}}\n    \
             in: {{ipAllowList: {{sourceRange: [10.0.0.0/8]}}}}\n    none: {{ipAllowList: {{sourceRange: []}}}}\n"
        );
        let (config, rows) = converted("traefik", &text);
        let row =
            rows.iter().find(|row| row["directive"].as_str().is_some_and(|it| it.contains("r.middlewares")));
        (config, row.unwrap()["verdict"].as_str().unwrap().to_owned())
    };
    assert_eq!(traefik("in, go").1, "same");
    assert_eq!(traefik("go, in").1, "differs");
    assert_eq!(traefik("none").0["routes"][0]["deny"], json!(["0.0.0.0/0", "::/0"]));
}
