//! Converts ACLs and the conditions that use them into conditions of routes.

use crate::convert::expression;
use serde_json::json;

use super::syntax::Line;
use crate::convert::draft::push;
use crate::convert::report::{Remark, Verdict};
use crate::convert::terms::{Terms, each_with_each, field, inner, list};

/// The named ACLs; several lines may have the same name.
#[derive(Debug, Default, Clone)]
pub struct Acls {
    named: Vec<(String, Result<Vec<Terms>, String>)>,
    /// Names of ACLs that require a login.
    logins: Vec<String>,
    /// Whether `option forwardfor` adds the client's address, after all rules.
    pub adds_client: bool,
}

impl Acls {
    /// No ACLs yet; `adds_client` says whether `option forwardfor` is anywhere.
    pub fn new(adds_client: bool) -> Acls {
        Acls { adds_client, ..Acls::default() }
    }

    /// Reads `acl NAME CRITERION VALUES…`; returns a note on a difference, or why we can't express it.
    pub fn add(&mut self, line: &Line) -> Result<Option<&'static str>, String> {
        let found = criterion(line.words.get(2..).unwrap_or_default());
        let answer = match &found {
            Ok(terms) => Ok(terms.iter().find_map(|terms| terms.note)),
            Err(why) => Err(why.clone()),
        };
        self.named.push((line.word(1).to_owned(), found));
        if line.word(2).starts_with("http_auth") {
            self.logins.push(line.word(1).to_owned());
            return Ok(Some("http-request auth asks for a login"));
        }
        answer
    }

    /// Like [`Acls::add`], as a row of the report.
    pub fn told(&mut self, line: &Line) -> Remark {
        match self.add(line) {
            Ok(None) => (Verdict::Same, String::new()),
            Ok(Some(note)) => (Verdict::Differs, note.to_owned()),
            Err(why) => (Verdict::NotHere, why),
        }
    }

    /// Whether the condition requires a login, perhaps among others.
    pub fn has_login(&self, words: &[String]) -> bool {
        let is_login = |at: usize| {
            let is_negated = at > 0 && words[at - 1] == "!";
            self.logins.contains(&words[at]) && !is_negated
        };
        words.first().is_some_and(|word| word == "if") && (0..words.len()).any(is_login)
    }

    fn named(&self, name: &str) -> Result<Vec<Terms>, String> {
        match name {
            "TRUE" => return Ok(vec![Terms::default()]),
            "HTTP" | "HTTP_1.1" => return Ok(vec![Terms::default()]),
            "METH_GET" => return criterion(&["method".into(), "GET".into(), "HEAD".into()]),
            "METH_POST" => return criterion(&["method".into(), "POST".into()]),
            "METH_OPTIONS" => return criterion(&["method".into(), "OPTIONS".into()]),
            "LOCALHOST" => return criterion(&["src".into(), "127.0.0.1/8".into()]),
            _ => {}
        }
        let mut all = Vec::new();
        for (_, terms) in self.named.iter().filter(|(known, _)| known == name) {
            all.extend(terms.clone()?);
        }
        if all.is_empty() { Err(format!("no acl {name} is known")) } else { Ok(all) }
    }

    /// The alternatives of `if …` or `unless …`; `words` begin with that word. Without words, always true.
    ///
    /// # Errors
    /// Why we can't express it.
    pub fn condition(&self, words: &[String]) -> Result<Vec<Terms>, String> {
        let Some((first, rest)) = words.split_first() else { return Ok(vec![Terms::default()]) };
        let mut alternatives = Vec::new();
        for part in rest.split(|word| word == "||" || word == "or") {
            alternatives.extend(self.all_of(part)?);
        }
        match (first.as_str(), &alternatives[..]) {
            ("unless", [one]) => Ok(vec![one.negated()?]),
            ("unless", _) => Err("`unless` with alternatives".to_owned()),
            _ => Ok(alternatives),
        }
    }

    /// The condition without its parts on logins: the requests for which a login may matter.
    ///
    /// # Errors
    /// Why we can't express it.
    pub fn but_for_logins(&self, words: &[String]) -> Result<Vec<Terms>, String> {
        let mut rest: Vec<String> = Vec::new();
        let mut words = words.iter().peekable();
        while let Some(word) = words.next() {
            let name = word.trim_start_matches('!');
            let is_braced = name == "{" || (name.is_empty() && words.peek().is_some_and(|next| *next == "{"));
            if is_braced {
                let group: Vec<String> = words.by_ref().take_while(|word| *word != "}").cloned().collect();
                if !group.iter().any(|word| word.starts_with("http_auth")) {
                    rest.push(word.clone());
                    rest.extend(group);
                    rest.push("}".to_owned());
                }
            } else if name.is_empty() {
                // A `!` separated by a blank.
                let next = words.next_if(|next| !self.logins.contains(*next));
                if let Some(next) = next {
                    rest.extend([word.clone(), next.clone()]);
                } else {
                    words.next();
                }
            } else if !self.logins.iter().any(|login| login == name) {
                rest.push(word.clone());
            }
        }
        match &rest[..] {
            [] | [_] => Ok(vec![Terms::default()]),
            rest => self.condition(rest),
        }
    }

    fn all_of(&self, words: &[String]) -> Result<Vec<Terms>, String> {
        let mut all = vec![Terms::default()];
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let (is_negated, name) = match word.strip_prefix('!') {
                Some("") => (true, words.next().map_or("", String::as_str)),
                Some(name) => (true, name),
                None => (false, word.as_str()),
            };
            let mut terms = match name {
                "{" => {
                    let inner: Vec<String> =
                        words.by_ref().take_while(|word| *word != "}").cloned().collect();
                    criterion(&inner)?
                }
                name => self.named(name)?,
            };
            if is_negated {
                let [one] = &terms[..] else { return Err("`!` of alternatives".to_owned()) };
                terms = vec![one.negated()?];
            }
            all = each_with_each(&all, &terms)?;
        }
        Ok(all)
    }
}

/// Reads a criterion such as `path_beg -i /api /v1`, whose values are alternatives.
fn criterion(words: &[String]) -> Result<Vec<Terms>, String> {
    let Some((what, rest)) = words.split_first() else { return Err("a condition without words".to_owned()) };
    let mut values: Vec<&str> = Vec::new();
    let mut how = "";
    let mut rest = rest.iter().map(String::as_str);
    while let Some(word) = rest.next() {
        match word {
            "-i" | "--" | "-n" => {}
            "-m" => how = rest.next().unwrap_or(""),
            "-f" | "-M" | "-u" => return Err("values from a file; write them".to_owned()),
            value => values.push(value),
        }
    }
    let (name, argument) =
        what.split_once('(').map_or((what.as_str(), ""), |(name, rest)| (name, rest.trim_end_matches(')')));
    let name = name.strip_prefix("req.").unwrap_or(name);
    let argument = argument.split(',').next().unwrap_or_default();
    let each =
        |make: &dyn Fn(&str) -> Result<Terms, String>| values.iter().map(|value| make(value)).collect();
    match (name, how) {
        ("path" | "url", "" | "str") => each(&|value| Ok(field("path_exact", value))),
        ("path_beg" | "url_beg", "") | ("path" | "url", "beg") => each(&|value| {
            let note = Some("by whole segments");
            let bare = value.trim_end_matches('/');
            Ok(Terms { note, ..field("path", if bare.is_empty() { "/" } else { bare }) })
        }),
        ("path_reg" | "url_reg", "") | ("path" | "url", "reg") => {
            each(&|value| match expression::read(value) {
                Some(_) => Ok(field("path_regex", value)),
                None => Err("look-around and back-references (path_regex)".to_owned()),
            })
        }
        ("path_end" | "url_end", "") | ("path" | "url", "end") => {
            each(&|value| Ok(field("path_regex", &format!("{}$", expression::literal(value)))))
        }
        ("path_sub" | "url_sub", "") | ("path" | "url", "sub") => {
            each(&|value| Ok(field("path_regex", &expression::literal(value))))
        }
        ("path_dir" | "url_dir", "") | ("path" | "url", "dir") => {
            each(&|value| Ok(field("path_regex", &format!("(^|/){}(/|$)", expression::literal(value)))))
        }
        ("method", "" | "str") => Ok(vec![list("methods", &values)]),
        ("src", "" | "ip") => {
            Ok(vec![Terms { from: values.iter().map(|it| (*it).to_owned()).collect(), ..Terms::default() }])
        }
        ("ssl_fc", _) => Ok(vec![Terms { secure: Some(true), ..Terms::default() }]),
        ("always_true", _) => Ok(vec![Terms::default()]),
        _ if argument.eq_ignore_ascii_case("host") => hosts(name, how, &values).map(|terms| vec![terms]),
        ("hdr", "" | "str") => each(&|value| Ok(inner("headers", argument, json!(value)))),
        ("url_param" | "urlp", "" | "str") => each(&|value| Ok(inner("query", argument, json!(value)))),
        _ => Err(format!("a condition on {what}")),
    }
}

fn hosts(name: &str, how: &str, values: &[&str]) -> Result<Terms, String> {
    let hosts = |list: Vec<String>| {
        list.iter().fold(Terms::default(), |mut terms, host| {
            push(&mut terms.fields, "host", host.to_ascii_lowercase());
            terms
        })
    };
    match (name, how) {
        ("hdr", "" | "str") => Ok(hosts(
            values.iter().map(|host| host.split(':').next().unwrap_or_default().to_owned()).collect(),
        )),
        ("hdr_end", _) | ("hdr", "end") => {
            let is_domain = values.iter().all(|value| value.starts_with('.'));
            match is_domain {
                true => Ok(hosts(values.iter().map(|value| format!("*{value}")).collect())),
                false => Err("hosts by their end; *.example.com".to_owned()),
            }
        }
        ("hdr_dom", _) | ("hdr", "dom") => {
            let both = values.iter().flat_map(|value| [(*value).to_owned(), format!("*.{value}")]).collect();
            Ok(Terms { note: Some("the host and those below it"), ..hosts(both) })
        }
        _ => Err("hosts by their parts; a host is a name or *.name".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value as Json;

    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn conditions_become_alternatives_of_a_route_s_conditions() {
        let mut acls = Acls::default();
        for line in [
            "acl api path_beg /api /v1/",
            "acl api path /ping",
            "acl mine src 10.0.0.0/8",
            "acl shop hdr(host) -i Shop.example.com:80",
            "acl odd rand(100) lt 5",
        ] {
            let _ = acls.add(&Line { place: crate::convert::report::Place::default(), words: words(line) });
        }
        let check = |text: &str, expected: Json| {
            let found: Vec<Json> = acls
                .condition(&words(text))
                .unwrap()
                .into_iter()
                .map(|terms| Json::Object(terms.fields))
                .collect();
            assert_eq!(json!(found), expected, "{text}");
        };
        check("if api", json!([{ "path": "/api" }, { "path": "/v1" }, { "path_exact": "/ping" }]));
        check(
            "if shop { path_end .php }",
            json!([{ "host": ["shop.example.com"], "path_regex": "\\.php$" }]),
        );
        check(
            "if shop or { method POST PUT }",
            json!([{ "host": ["shop.example.com"] }, { "methods": ["POST", "PUT"] }]),
        );
        assert_eq!(acls.condition(&words("unless mine")).unwrap()[0].not_from, ["10.0.0.0/8"]);
        assert_eq!(acls.condition(&words("if !{ ssl_fc }")).unwrap()[0].secure, Some(false));
        for no in ["if !api", "unless shop", "if odd", "if nobody", "if api { path /x }"] {
            assert!(acls.condition(&words(no)).is_err(), "{no}");
        }
    }
}
