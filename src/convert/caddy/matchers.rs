//! Converts matchers into conditions of routes.

use crate::convert::directive::Directive;
use crate::convert::expression;
use crate::convert::terms::{Terms, each_with_each, field, inner, list};
use crate::convert::text::MOST_DEPTH;

/// The named matchers of a site, `@name`.
pub type Named = Vec<(String, Result<Vec<Terms>, String>)>;

/// Converts a named matcher: `@name path /x` on one line, or a block.
pub fn named(directive: &Directive) -> Result<Vec<Terms>, String> {
    match &directive.block {
        None => one(directive.arg(0), directive.args.get(1..).unwrap_or_default(), &[]),
        Some(block) => {
            let mut all = vec![Terms::default()];
            for matcher in block {
                let right = one(&matcher.name, &matcher.args, matcher.inside())?;
                all = each_with_each(&all, &right)?;
            }
            Ok(all)
        }
    }
}

/// The matcher at the beginning of a directive's arguments, and the other arguments.
pub fn of<'a>(args: &'a [String], named: &Named) -> (Result<Vec<Terms>, String>, &'a [String]) {
    match args.first().map(String::as_str) {
        Some("*") => (Ok(vec![Terms::default()]), &args[1..]),
        Some(path) if path.starts_with('/') => (one("path", &args[..1], &[]), &args[1..]),
        Some(name) if name.starts_with('@') => {
            let found = named.iter().find(|(known, _)| known == name).map(|(_, terms)| terms.clone());
            (found.unwrap_or_else(|| Err(format!("no matcher {name} is known"))), &args[1..])
        }
        _ => (Ok(vec![Terms::default()]), args),
    }
}

fn one(name: &str, args: &[String], block: &[Directive]) -> Result<Vec<Terms>, String> {
    let texts: Vec<&str> = args.iter().map(String::as_str).collect();
    match name {
        "path" => args.iter().map(|path| self::path(path)).collect(),
        "path_regexp" => {
            let expression = args.last().map_or("", String::as_str);
            match expression::read(expression) {
                Some(_) => Ok(vec![field("path_regex", expression)]),
                None => Err("this expression can't be said here (path_regex)".to_owned()),
            }
        }
        "host" => {
            let hosts: Vec<String> = texts.iter().map(|host| host.to_ascii_lowercase()).collect();
            Ok(vec![list("host", &hosts.iter().map(String::as_str).collect::<Vec<_>>())])
        }
        "method" => Ok(vec![list("methods", &texts)]),
        "header" => match &texts[..] {
            [name, value] if !value.contains('*') && !name.starts_with('!') => {
                Ok(vec![inner("headers", name, (*value).into())])
            }
            [name] => match name.strip_prefix('!') {
                Some(name) => Ok(vec![inner("headers", name, serde_json::Value::Null)]),
                None => Err("a field with exactly one value, or absent".to_owned()),
            },
            _ => Err("a field with exactly one value, or absent".to_owned()),
        },
        "query" => texts
            .iter()
            .map(|pair| match pair.split_once('=') {
                Some((name, value)) if value != "*" => Ok(inner("query", name, value.into())),
                _ => Err("a parameter with exactly one value".to_owned()),
            })
            .collect(),
        "remote_ip" | "client_ip" => {
            let mut from = Vec::new();
            for network in texts.iter().filter(|it| **it != "forwarded") {
                match *network {
                    "private_ranges" => from.extend(
                        ["192.168.0.0/16", "172.16.0.0/12", "10.0.0.0/8", "127.0.0.1/8", "fd00::/8", "::1"]
                            .map(str::to_owned),
                    ),
                    network => from.push(network.to_owned()),
                }
            }
            Ok(vec![Terms { from, ..Terms::default() }])
        }
        "protocol" => match texts.first() {
            Some(&"https") => Ok(vec![Terms { secure: Some(true), ..Terms::default() }]),
            Some(&"http") => Ok(vec![Terms { secure: Some(false), ..Terms::default() }]),
            _ => Err("a condition on the protocol".to_owned()),
        },
        "not" if args.iter().filter(|word| *word == "not").count() > MOST_DEPTH => {
            Err("the opposite of too many opposites".to_owned())
        }
        "not" => {
            let inner = match (args.split_first(), block) {
                (Some((name, rest)), _) => one(name, rest, &[])?,
                (None, [only]) => one(&only.name, &only.args, only.inside())?,
                _ => return Err("the opposite of several conditions".to_owned()),
            };
            let [only] = &inner[..] else { return Err("the opposite of alternatives".to_owned()) };
            Ok(vec![only.negated()?])
        }
        _ => Err(format!("a condition by {name}")),
    }
}

fn path(path: &str) -> Result<Terms, String> {
    match path.strip_suffix("/*") {
        Some("") => Ok(Terms::default()),
        Some(prefix) if !prefix.contains('*') => {
            Ok(Terms { note: Some("takes the path without the slash as well"), ..field("path", prefix) })
        }
        _ if path == "*" => Ok(Terms::default()),
        // Caddy ignores the case of paths.
        _ if path.contains('*') => {
            let parts: Vec<String> = path.split('*').map(expression::literal).collect();
            let middle =
                parts.join(if path.starts_with('*') || path.ends_with('*') { ".*" } else { "[^/]*" });
            Ok(field("path_regex", &format!("(?i)^{middle}$")))
        }
        _ => Ok(field("path_exact", path)),
    }
}
