//! Converts directives that change or check a request on its way to a backend.

use serde_json::{Value as Json, json};

use super::values::{template, with_variables};
use crate::convert::directive::Directive;
use crate::convert::draft::{Draft, Object, header, put};
use crate::convert::forwarded::is_ours;
use crate::convert::quantity::size;
use crate::convert::report::{Remark, Verdict};

/// What the user must do to complete a converted login.
pub const USERS: &str = "write NAME:HASH of each line into users.htpasswd";

/// A login with the file of [`USERS`].
pub fn login() -> Json {
    json!({ "realm": "restricted", "users": "users.htpasswd" })
}

/// Converts a directive that does not end the request.
pub fn handler(
    directive: &Directive,
    args: &[String],
    has_condition: bool,
    common: &mut Object,
    draft: &mut Draft,
) -> Remark {
    let arg = |at: usize| args.get(at).map_or("", String::as_str);
    let differs = |how: &str| (Verdict::Differs, how.to_owned());
    let not_here = |what: &str| (Verdict::NotHere, what.to_owned());
    let same = (Verdict::Same, String::new());
    if has_condition && !matches!(directive.name.as_str(), "log_skip" | "skip_log") {
        return not_here("a route for these requests, which says it");
    }
    match directive.name.as_str() {
        "header" => {
            let lines: Vec<Vec<String>> = match directive.block.as_deref() {
                Some(lines) => {
                    lines.iter().map(|it| [vec![it.name.clone()], it.args.clone()].concat()).collect()
                }
                None => vec![args.to_vec()],
            };
            let mut worst = same;
            for line in lines.iter().filter(|line| !line.is_empty() && line[0] != "defer") {
                let word = |at: usize| line.get(at).map_or("", String::as_str);
                let told = response_header(common, word(0), line.get(1).map(String::as_str), word(2));
                if told.0 > worst.0 {
                    worst = told;
                }
            }
            worst
        }
        "request_header" => {
            let name = arg(0);
            let bare = name.trim_start_matches(['-', '+', '?', '>']);
            if is_ours(bare) && !bare.eq_ignore_ascii_case("x-real-ip") {
                return (
                    Verdict::Ignored,
                    "reverse_proxy sets it again, as here; header_up counts".to_owned(),
                );
            }
            match (name.strip_prefix('-'), template(arg(1))) {
                (Some(name), _) => header(common, "request_headers", "remove", name, ""),
                (None, Ok(value)) => {
                    let how = if name.starts_with('+') { "add" } else { "set" };
                    header(common, "request_headers", how, name.trim_start_matches('+'), &value);
                }
                (None, Err(name)) => return not_here(&format!("there is no placeholder for {name}")),
            }
            same
        }
        "encode" => {
            put(common, "compress", json!({}));
            match directive
                .args
                .iter()
                .chain(directive.inside().iter().map(|it| &it.name))
                .any(|it| it == "zstd" || it == "br")
            {
                true => differs("gzip only"),
                false => same,
            }
        }
        "request_body" => {
            match directive.inside().iter().find(|it| it.name == "max_size").and_then(|it| size(it.arg(0))) {
                Some(most) => {
                    put(common, "limits.max_body_bytes", most);
                    same
                }
                None => not_here("limits.max_body_bytes"),
            }
        }
        "uri" if arg(0) == "strip_prefix" => {
            put(common, "strip_prefix", arg(1).trim_end_matches('/'));
            differs("by whole segments")
        }
        "uri" | "rewrite" | "try_files" | "method" | "vars" | "map" | "push" | "invoke" | "intercept"
        | "templates" => not_here("strip_prefix and add_prefix"),
        "forward_auth" => {
            let word = |name: &str| directive.inside().iter().find(|it| it.name == name);
            let uri = word("uri").map_or("", |it| it.arg(0));
            let base = if arg(0).contains("://") {
                arg(0).to_owned()
            } else {
                format!("http://{}", with_variables(arg(0)))
            };
            put(common, "forward_auth.url", format!("{base}{uri}"));
            if let Some(pass) = word("copy_headers") {
                let names: Vec<String> =
                    pass.args.iter().cloned().chain(pass.inside().iter().map(|it| it.name.clone())).collect();
                put(common, "forward_auth.pass", names);
            }
            same
        }
        "tls" => match directive.inside() {
            [] => same,
            words if words.iter().any(|it| it.name == "client_auth") => {
                not_here("clients' certificates are not asked for")
            }
            _ => differs("certificates are files; tls.min_version"),
        },
        "log" => {
            let file = directive.inside().iter().find(|it| it.name == "output" && it.arg(0) == "file");
            if let Some(file) = file {
                put(&mut draft.top, "access_log", json!({ "format": "json", "file": file.arg(1) }));
            }
            differs("logfmt, json or combined (LOGS.md)")
        }
        "log_skip" | "skip_log" | "log_append" | "log_name" | "tracing" | "fs" | "metrics" => {
            (Verdict::Ignored, "the balancer's own pages and LOGS.md".to_owned())
        }
        "root" => (Verdict::Ignored, "no files here".to_owned()),
        "bind" => not_here("listen has addresses"),
        "handle_errors" => not_here("error_pages has files, for the balancer's own answers"),
        "php_fastcgi" | "acme_server" => not_here("backends are asked by HTTP/1.1"),
        _ => not_here("this word is not known here"),
    }
}

/// Converts `header NAME VALUE`, `-NAME`, `+NAME VALUE`, `?NAME VALUE` or `>NAME VALUE`.
pub fn response_header(fields: &mut Object, name: &str, value: Option<&str>, more: &str) -> Remark {
    let (sign, bare) = match name.chars().next() {
        Some(sign @ ('-' | '+' | '?' | '>')) => (sign, name.trim_start_matches(sign)),
        _ => (' ', name),
    };
    if !more.is_empty() || bare.contains('*') {
        return (Verdict::NotHere, "a field is set, added or removed".to_owned());
    }
    match (sign, template(value.unwrap_or_default())) {
        ('-', _) => {
            header(fields, "response_headers", "remove", bare, "");
            (Verdict::Same, String::new())
        }
        (_, Err(name)) => (Verdict::NotHere, format!("there is no placeholder for {name}")),
        (sign, Ok(value)) => {
            header(fields, "response_headers", if sign == '+' { "add" } else { "set" }, bare, &value);
            match sign {
                '?' => (Verdict::Differs, "also where the backend has one".to_owned()),
                _ => (Verdict::Same, String::new()),
            }
        }
    }
}
