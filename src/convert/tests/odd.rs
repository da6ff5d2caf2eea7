//! Words of all four programs with what a file should not have in them: never a panic, and what is written can be
//! read or is told.

use proptest::prelude::*;
use serde_json::Value as Json;

use super::readable;
use crate::cli::ConvertOptions;
use crate::convert;

fn odd_word() -> impl Strategy<Value = String> {
    let odd = proptest::sample::select(vec![
        "é",
        "\u{1F600}xx",
        "ß",
        "\u{0}",
        "%[",
        "${",
        "{",
        "$",
        "!",
        "\\",
        "'",
        "@",
        "/",
        "*",
        ":",
        "[::1]",
        "-",
        "=",
        "~",
        "a@",
        "not",
        "a b",
        "18446744073709551615",
        "xx",
        "éxx",
        ".é",
        "*é",
        "/é/*",
        "{é}",
        "%é",
        "$é",
        "{$é}",
    ]);
    (odd, "[a-z0-9/:.*é]{0,4}").prop_map(|(odd, rest)| format!("{odd}{rest}"))
}

const WORDS: [&str; 53] = [
    "acl a path_beg",
    "acl a src",
    "acl a hdr(host)",
    "acl a hdr(é)",
    "use_backend b if",
    "http-request deny if",
    "http-request deny unless !",
    "http-request redirect location",
    "http-request return status",
    "server a",
    "http-request set-header X-Forwarded-Proto",
    "bind",
    "option httpchk",
    "http-check send",
    "balance",
    "timeout check",
    "header",
    "header_up",
    "request_header",
    "health_status",
    "health_uri",
    "lb_policy",
    "respond",
    "redir",
    "@m path",
    "@m not not",
    "@m remote_ip",
    "@m header",
    "handle",
    "handle_path",
    "reverse_proxy",
    "unhealthy_status",
    "import a",
    "uri strip_prefix",
    "dynamic a",
    "proxy_pass",
    "return 301",
    "return 200",
    "rewrite ^",
    "allow",
    "deny",
    "listen",
    "server_name",
    "if ($host =",
    "proxy_set_header X-Real-IP",
    "limit_req zone=a",
    "error_page",
    "location",
    "location ~",
    "hash",
    "add_header X",
    "client_max_body_size",
    "ssl_certificate",
];

fn odd_lines() -> impl Strategy<Value = Vec<(&'static str, Vec<String>)>> {
    let words = proptest::collection::vec(odd_word(), 0..4);
    proptest::collection::vec((proptest::sample::select(&WORDS[..]), words), 0..8)
}

fn odd_texts() -> impl Strategy<Value = (&'static str, String)> {
    (proptest::sample::select(vec!["nginx", "haproxy", "caddy", "traefik"]), odd_lines(), 0_usize..4).prop_map(
        |(program, lines, depth)| {
            let joined = |end: &str| {
                let line = |(word, rest): &(&str, Vec<String>)| format!("{word} {}{end}\n", rest.join(" "));
                lines.iter().map(line).collect::<String>()
            };
            let text = match program {
                "nginx" => format!(
                    "server {{\nlisten 80;\n{}{}{}{}\n}}\n",
                    joined(";"),
                    "location /é {\n".repeat(depth),
                    joined(";"),
                    "}\n".repeat(depth)
                ),
                "haproxy" => format!(
                    "defaults d from d\n mode http\n{0}frontend f\n bind :80\n{0} default_backend b\nbackend b from d\n{0} server s a:1\n",
                    joined("")
                ),
                "caddy" => format!(
                    "(a) {{\n{0} import a\n}}\nhttp://a {{\n{0}{1}reverse_proxy b:1 {{\n{0}}}\n{2}}}\n",
                    joined(""),
                    "handle {\n".repeat(depth),
                    "}\n".repeat(depth)
                ),
                _ => {
                    let word = |at: usize| {
                        let words = lines.iter().flat_map(|(_, words)| words);
                        format!("{:?}", words.clone().nth(at).map_or("a", String::as_str))
                    };
                    format!(
                        "http:\n  routers: {{r: {{rule: {0}, middlewares: [{1}, a], service: {2}, priority: {3}}}}}\n  \
                         middlewares: {{a: {{chain: {{middlewares: [{1}, a, b]}}}}, b: {{stripPrefix: {{prefixes: [{0}]}}, \
                         redirectRegex: {{regex: {2}, replacement: {3}}}}}}}\n  \
                         services: {{s: {{loadBalancer: {{servers: [{{url: {2}, weight: {3}}}], healthCheck: {{interval: {0}, path: {1}}}}}}}, \
                         w: {{weighted: {{services: [{{name: s}}, {{name: w}}, {{name: {1}}}]}}}}}}\n",
                        word(0), word(1), word(2), word(3)
                    )
                }
            };
            (program, text)
        },
    )
}

proptest! {
    #[test]
    fn odd_files_are_refused_in_words_or_told((program, text) in odd_texts()) {
        let options = ConvertOptions {
            from: Some(program.to_owned()),
            report: Some("json".to_owned()),
            ..ConvertOptions::default()
        };
        match convert::text(&text, &options) {
            Err(why) => prop_assert!(!why.is_empty()),
            Ok(done) => {
                let config = serde_json::from_str(&done.config).unwrap();
                let rows: Vec<Json> = serde_json::from_str(&done.report).unwrap();
                prop_assert!(readable(&config, &rows), "{}", config);
            }
        }
    }
}
