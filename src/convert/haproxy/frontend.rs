//! Converts `frontend` sections into routes: immediate answers, restrictions, and the choice of a backend.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use super::access::{self, To};
use super::conditions::Acls;
use super::rule::rule;
use super::syntax::Line;
use super::values::template;
use crate::convert::draft::{Draft, DraftRoute, Object, put};
use crate::convert::guard::Guard;
use crate::convert::listen::Listeners;
use crate::convert::report::{Place, Remark, Report, Verdict};
use crate::convert::terms::Terms;
use crate::convert::text::{MOST_DIRECTIVES, MOST_ROUTES};

/// A frontend under construction.
#[derive(Debug, Default)]
pub struct Frontend {
    acls: Acls,
    /// Its answers that need no backend, each with the number of restrictions before it.
    answers: Vec<(DraftRoute, usize)>,
    /// The conditions of each `use_backend`, and the backend's name.
    uses: Vec<(Terms, String, Place, String)>,
    default: Option<(String, Place)>,
    /// Its restrictions: conditions, and `allow` or `deny` with networks.
    guards: Vec<Guard>,
    /// Fields for all of its routes.
    common: Object,
}

fn same() -> Remark {
    (Verdict::Same, String::new())
}

/// Splits a line where its condition begins.
fn split(words: &[String]) -> (&[String], &[String]) {
    let at = words.iter().position(|word| word == "if" || word == "unless").unwrap_or(words.len());
    words.split_at(at)
}

impl Frontend {
    /// An empty frontend; `adds_client` says whether `option forwardfor` is anywhere.
    pub fn new(adds_client: bool) -> Frontend {
        Frontend { acls: Acls::new(adds_client), ..Frontend::default() }
    }

    /// Converts a line on requests; `None` for other lines.
    pub fn line(&mut self, line: &Line, listeners: &mut Listeners) -> Option<Remark> {
        let (words, condition) = split(&line.words);
        let word = |at: usize| words.get(at).map_or("", String::as_str);
        let told = match (word(0), word(1)) {
            ("acl", _) => Ok(self.acls.told(line)),
            ("default_backend", name) => {
                self.default = Some((name.to_owned(), line.place.clone()));
                Ok(same())
            }
            ("use_backend", name) if name.contains('%') => Err("a backend by a value; name each".to_owned()),
            ("use_backend", name) => self.acls.condition(condition).map(|all| {
                let note = all.iter().find_map(|terms| terms.note).unwrap_or("");
                for terms in all {
                    self.uses.push((terms, name.to_owned(), line.place.clone(), line.text()));
                }
                (if note.is_empty() { Verdict::Same } else { Verdict::Differs }, note.to_owned())
            }),
            _ if access::refuses(words).is_some() => self.deny(line, words, condition),
            ("http-request", "auth") => Ok(self.auth(line, condition)),
            ("http-request", "redirect") => self.redirect(line, &words[1..], condition, listeners),
            ("redirect", _) => self.redirect(line, words, condition, listeners),
            ("http-request", "return") => self.returns(line, words, condition),
            ("http-request", "allow") | ("tcp-request", "inspect-delay") => {
                Err("rules have no order here".to_owned())
            }
            _ => return rule(words, condition, &mut self.common, &self.acls),
        };
        Some(told.unwrap_or_else(|why| (Verdict::NotHere, why)))
    }

    fn auth(&mut self, line: &Line, condition: &[String]) -> Remark {
        let (guards, told) = access::auth(&self.acls, line, condition);
        self.guards.extend(guards);
        told
    }

    fn deny(&mut self, line: &Line, words: &[String], condition: &[String]) -> Result<Remark, String> {
        let (guards, told) = access::deny(&self.acls, line, words, condition)?;
        for guard in guards {
            // The refusal also applies where no route leads to a backend.
            if let Some(answer) = guard.networks.get("respond") {
                let mut fields = guard.terms.clone();
                put(&mut fields, "respond", answer.clone());
                self.answer(fields, line);
            }
            match line.word(0) {
                // Connections are looked at before requests.
                "tcp-request" => {
                    self.guards.insert(0, guard);
                    self.answers.iter_mut().for_each(|(_, before)| *before += 1);
                }
                _ => self.guards.push(guard),
            }
        }
        Ok(told)
    }

    fn answer(&mut self, fields: Object, line: &Line) {
        let route = DraftRoute { fields, place: line.place.clone(), name: line.text() };
        // `redirect` without `http-request` comes behind all of its rules.
        let before = if line.word(0) == "redirect" { MOST_DIRECTIVES } else { self.guards.len() };
        self.answers.push((route, before));
    }

    fn redirect(
        &mut self,
        line: &Line,
        words: &[String],
        condition: &[String],
        listeners: &mut Listeners,
    ) -> Result<Remark, String> {
        let after = |name: &str| words.iter().position(|word| word == name).and_then(|at| words.get(at + 1));
        let status: u16 = after("code").and_then(|code| code.parse().ok()).unwrap_or(302);
        let alternatives = self.acls.condition(condition)?;
        if let Some(scheme) = after("scheme") {
            if scheme == "https"
                && alternatives.iter().all(|terms| terms.fields.is_empty() && terms.secure != Some(true))
            {
                listeners.redirect_http = true;
                return Ok((Verdict::Differs, "tls.redirect_http, with 308".to_owned()));
            }
            return Err("tls.redirect_http is for all".to_owned());
        }
        let to = match (after("location"), after("prefix")) {
            (Some(to), _) => template(to),
            (None, Some(prefix)) => template(prefix).map(|prefix| format!("{prefix}{{path}}")),
            _ => return Err("a redirect without its target".to_owned()),
        };
        let to = to.map_err(|sample| format!("there is no placeholder for {sample}"))?;
        if alternatives.iter().all(|terms| terms.from.is_empty() && !terms.not_from.is_empty()) {
            self.deny(line, &[], condition)?;
            return Ok((Verdict::Differs, "403 for these clients instead".to_owned()));
        }
        for terms in alternatives {
            if !terms.from.is_empty() || !terms.not_from.is_empty() || terms.secure.is_some() {
                return Err("a redirect for some clients only".to_owned());
            }
            let mut fields = terms.fields;
            put(&mut fields, "redirect", json!({ "to": to, "status": status }));
            self.answer(fields, line);
        }
        Ok(same())
    }

    fn returns(&mut self, line: &Line, words: &[String], condition: &[String]) -> Result<Remark, String> {
        let after = |name: &str| words.iter().position(|word| word == name).and_then(|at| words.get(at + 1));
        let status: u16 = after("status").and_then(|code| code.parse().ok()).unwrap_or(200);
        if ["file", "lf-file", "errorfile", "errorfiles"].iter().any(|word| after(word).is_some()) {
            return Err("respond has its body in the file".to_owned());
        }
        let body = after("string").or_else(|| after("lf-string")).map_or("", String::as_str);
        let alternatives = self.acls.condition(condition)?;
        if alternatives.iter().any(|terms| terms.secure.is_some()) {
            return Err("both listeners serve all routes".to_owned());
        }
        if alternatives.iter().any(|terms| !terms.from.is_empty() || !terms.not_from.is_empty()) {
            return match status {
                400.. => self.deny(line, words, condition),
                _ => Err("an answer for some clients only".to_owned()),
            };
        }
        for terms in alternatives {
            let mut fields = terms.fields;
            let kind = after("content-type").map_or("text/plain", String::as_str);
            put(&mut fields, "respond", json!({ "status": status, "body": body, "type": kind }));
            self.answer(fields, line);
        }
        Ok(same())
    }

    /// Sets the default backend of a `listen` section, which has its own servers.
    pub fn serves(&mut self, name: &str, place: &Place) {
        self.default.get_or_insert_with(|| (name.to_owned(), place.clone()));
    }

    /// Finishes the routes. `pool` finds a backend by its name.
    pub fn finish(self, draft: &mut Draft, pool: &dyn Fn(&str) -> Option<To>, report: &mut Report) {
        let mut routes: Vec<DraftRoute> = Vec::new();
        let mut guards = self.guards.clone();
        for (terms, name, place, text) in self.uses {
            let is_of_clients = !terms.from.is_empty() || !terms.not_from.is_empty();
            let is_nobody = pool(&name).is_some_and(|to| to.is_nobody());
            if let (true, None, Ok(networks)) =
                (is_of_clients && is_nobody, terms.secure, access::networks(&terms))
            {
                guards.push(Guard { terms: terms.fields, networks, place, text });
                continue;
            }
            let why = match &terms {
                terms if terms.secure.is_some() => Some("both listeners serve all routes"),
                // Other clients go on to the next rule, which we can't express.
                _ if is_of_clients => Some("a backend for some clients only"),
                _ => None,
            };
            match (why, pool(&name)) {
                (None, Some(to)) => routes.extend(to.routes(terms.fields, &place, &text, report)),
                (why, _) => {
                    report.note(
                        &place,
                        &text,
                        Verdict::NotHere,
                        why.unwrap_or("its backend is not there, or not HTTP"),
                    );
                }
            }
        }
        if let Some((name, place)) = &self.default {
            let text = format!("default_backend {name}");
            match pool(name) {
                Some(to) => routes.extend(to.routes(Object::new(), place, &text, report)),
                None => report.note(place, &text, Verdict::NotHere, "its backend is not there, or not HTTP"),
            }
        }
        // Here the most specific route wins: an answer for all hosts must be repeated for each host that has
        // routes.
        let hosts: BTreeSet<String> =
            routes.iter().filter_map(|it| it.fields.get("host")).map(Json::to_string).collect();
        let mut answers = self.answers.clone();
        for (answer, before) in self.answers.iter().filter(|(it, _)| !it.fields.contains_key("host")) {
            for host in hosts.iter().take(MOST_ROUTES.saturating_sub(answers.len())) {
                let mut of_host = answer.clone();
                put(&mut of_host.fields, "host", serde_json::from_str(host).unwrap_or(Json::Null));
                answers.push((of_host, *before));
            }
        }
        let mut guarded: Vec<DraftRoute> = Vec::new();
        for (answer, before) in answers {
            let mut parts = vec![answer];
            let rules = self.guards.iter().take(if guarded.len() > MOST_ROUTES { 0 } else { before });
            rules.for_each(|guard| guard.keep_out(&mut parts, report));
            guarded.append(&mut parts);
        }
        for guard in &guards {
            guard.keep_out(&mut routes, report);
        }
        for mut route in guarded.into_iter().chain(routes) {
            for (field, value) in &self.common {
                route.fields.entry(field.as_str()).or_insert_with(|| value.clone());
            }
            draft.routes.push(route);
        }
    }
}
