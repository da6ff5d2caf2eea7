//! Converts Traefik's rules (``Host(`a`) && PathPrefix(`/b`)``) into conditions of routes.

use crate::convert::expression;
use serde_json::json;

use crate::convert::draft::push;
use crate::convert::terms::{Terms, bounded, each_with_each, field, inner, list};
use crate::convert::text::MOST_DEPTH;

/// The alternatives of a rule.
///
/// # Errors
/// Why we can't express it.
pub fn read(rule: &str) -> Result<Vec<Terms>, String> {
    let mut parser = Parser { rest: rule.trim() };
    let alternatives = parser.any(0)?;
    match parser.rest.trim() {
        "" => Ok(alternatives),
        rest => Err(format!("{rest:?} was not understood")),
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn eat(&mut self, sign: &str) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(sign) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn any(&mut self, depth: usize) -> Result<Vec<Terms>, String> {
        let mut alternatives = self.all(depth)?;
        while self.eat("||") {
            alternatives.extend(self.all(depth)?);
        }
        bounded(&alternatives)?;
        Ok(alternatives)
    }

    fn all(&mut self, depth: usize) -> Result<Vec<Terms>, String> {
        let mut all = self.one(depth)?;
        while self.eat("&&") {
            let right = self.one(depth)?;
            all = each_with_each(&all, &right)?;
        }
        Ok(all)
    }

    fn one(&mut self, depth: usize) -> Result<Vec<Terms>, String> {
        if depth > MOST_DEPTH {
            return Err("too deep".to_owned());
        }
        if self.eat("!") {
            let inner = self.one(depth + 1)?;
            let [one] = &inner[..] else { return Err("the opposite of alternatives".to_owned()) };
            return Ok(vec![one.negated()?]);
        }
        if self.eat("(") {
            let inner = self.any(depth + 1)?;
            return if self.eat(")") { Ok(inner) } else { Err("a bracket is not closed".to_owned()) };
        }
        let end = self.rest.find('(').ok_or_else(|| format!("{:?} was not understood", self.rest))?;
        let name = self.rest[..end].trim().to_owned();
        self.rest = &self.rest[end + 1..];
        let mut arguments = Vec::new();
        while !self.eat(")") {
            let quote = ['`', '"', '\''].into_iter().find(|quote| self.eat(&quote.to_string()));
            let quote = quote.ok_or_else(|| format!("{name}: a value without quotes"))?;
            let end = self.rest.find(quote).ok_or_else(|| format!("{name}: a quote is not closed"))?;
            arguments.push(self.rest[..end].to_owned());
            self.rest = &self.rest[end + 1..];
            self.eat(",");
        }
        matcher(&name, &arguments)
    }
}

fn matcher(name: &str, arguments: &[String]) -> Result<Vec<Terms>, String> {
    let each = |make: &dyn Fn(&str) -> Result<Terms, String>| arguments.iter().map(|it| make(it)).collect();
    let pair = || match arguments {
        [key, value] => Ok((key.as_str(), value.as_str())),
        _ => Err(format!("{name} has a name and a value")),
    };
    match name {
        "Host" | "HostHeader" => {
            let mut terms = Terms::default();
            arguments.iter().for_each(|host| push(&mut terms.fields, "host", host.to_ascii_lowercase()));
            Ok(vec![terms])
        }
        "HostRegexp" => each(&host_by_expression),
        "Path" => each(&|path| Ok(field("path_exact", path))),
        "PathPrefix" => each(&|path| {
            let bare = path.trim_end_matches('/');
            let note = (path != "/").then_some("by whole segments");
            Ok(Terms { note, ..field("path", if bare.is_empty() { "/" } else { bare }) })
        }),
        "PathRegexp" => each(&|path| match expression::read(path) {
            Some(_) => Ok(field("path_regex", path)),
            None => Err("this expression can't be said here (path_regex)".to_owned()),
        }),
        "Method" => Ok(vec![list("methods", &arguments.iter().map(String::as_str).collect::<Vec<_>>())]),
        "Header" | "Headers" => pair().map(|(key, value)| vec![inner("headers", key, json!(value))]),
        "Query" => match arguments {
            // Version 2 has `key=value`.
            [both] if both.contains('=') => {
                let (key, value) = both.split_once('=').unwrap_or((both, ""));
                Ok(vec![inner("query", key, json!(value))])
            }
            _ => pair().map(|(key, value)| vec![inner("query", key, json!(value))]),
        },
        "ClientIP" => Ok(vec![Terms { from: arguments.to_vec(), ..Terms::default() }]),
        _ => Err(format!("a condition by {name}")),
    }
}

/// Converts ``^.+\.example\.com$`` and version 2's `{name:.+}.example.com` into `*.example.com`.
fn host_by_expression(expression: &str) -> Result<Terms, String> {
    const ANY: [&str; 8] =
        [".+", "[^.]+", "[a-z0-9-]+", "[a-zA-Z0-9-]+", "[a-z]+", "(.+)", "([^.]+)", "\\w+"];
    let text = expression.trim_start_matches('^').trim_end_matches('$');
    let text = match (text.strip_prefix('{'), text.find("}.")) {
        (Some(_), Some(end)) => format!(".+{}", text[end + 1..].replace('.', "\\.")),
        _ => text.to_owned(),
    };
    let suffix = ANY.iter().find_map(|any| text.strip_prefix(any)?.strip_prefix("\\.").map(str::to_owned));
    let plain = suffix.map(|suffix| suffix.replace("\\.", "."));
    let is_name = |name: &String| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.');
    match plain.filter(is_name) {
        Some(name) => {
            let mut terms = Terms::default();
            push(&mut terms.fields, "host", format!("*.{name}"));
            Ok(terms)
        }
        None => Err("a host is a name or *.name".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value as Json;

    use super::*;

    #[test]
    fn rules_become_alternatives() {
        let check = |rule: &str, expected: Json| {
            let found: Vec<Json> =
                read(rule).unwrap().into_iter().map(|terms| Json::Object(terms.fields)).collect();
            assert_eq!(json!(found), expected, "{rule}");
        };
        check("Host(`A.example.com`)", json!([{ "host": ["a.example.com"] }]));
        check(
            "Host(`a`) && (PathPrefix(`/x/`) || Path(`/y`))",
            json!([{ "host": ["a"], "path": "/x" }, { "host": ["a"], "path_exact": "/y" }]),
        );
        check("HostRegexp(`^[^.]+\\.example\\.com$`)", json!([{ "host": ["*.example.com"] }]));
        check("HostRegexp(`{sub:[a-z]+}.example.com`)", json!([{ "host": ["*.example.com"] }]));
        check(
            "Method(`GET`) && Header(`X-A`, `1`)",
            json!([{ "methods": ["GET"], "headers": { "X-A": "1" } }]),
        );
        assert_eq!(read("!ClientIP(`10.0.0.0/8`)").unwrap()[0].not_from, ["10.0.0.0/8"]);
        for no in [
            "!Path(`/x`)",
            "Host(",
            "Host(`a`",
            "Host(`a`) Path(`/`)",
            "Nothing(`a`)",
            "",
            "HostRegexp(`a.*b`)",
        ] {
            assert!(read(no).is_err(), "{no}");
        }
    }

    proptest! {
        #[test]
        fn no_rule_is_a_panic(rule in "[A-Za-z(`)&|! ,\"'/]{0,60}") {
            let _ = read(&rule);
        }
    }
}
