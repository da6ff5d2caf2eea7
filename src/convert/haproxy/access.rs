//! Restrictions of access: `deny` and `auth` of frontends and backends, for the routes that they concern.

use serde_json::json;

use super::conditions::Acls;
use super::syntax::Line;
use crate::convert::draft::{DraftRoute, Object, push, put};
use crate::convert::guard::Guard;
use crate::convert::report::{Place, Remark, Report, Verdict};
use crate::convert::terms::Terms;

/// Whether this line refuses requests; the text says how that differs here.
pub fn refuses(words: &[String]) -> Option<&'static str> {
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    match (word(0), word(1), word(2)) {
        ("http-request" | "tcp-request", "deny" | "reject" | "block", _) | ("block", ..) => Some(""),
        ("http-request", "tarpit" | "silent-drop", _) => Some("answered, and at once"),
        ("tcp-request", "connection" | "session" | "content", "reject") => Some("answered, with 403"),
        _ => None,
    }
}

/// Whether a backend's line may restrict access.
pub fn keeps_out(words: &[String]) -> bool {
    let is_rule = words.first().is_some_and(|word| word == "http-request");
    let may = words.get(1).is_some_and(|word| word == "auth" || word == "return");
    is_rule && may || refuses(words).is_some()
}

/// Converts `http-request auth`: a login for all requests that may need one.
pub fn auth(acls: &Acls, line: &Line, condition: &[String]) -> (Vec<Guard>, Remark) {
    let login = json!({ "realm": "restricted", "users": "users.htpasswd" });
    let alternatives = acls.but_for_logins(condition).unwrap_or_else(|_| vec![Terms::default()]);
    let guards = alternatives.into_iter().map(|terms| {
        let networks = Object::from_iter([("basic_auth".to_owned(), login.clone())]);
        Guard { terms: terms.fields, networks, place: line.place.clone(), text: line.text() }
    });
    let note = "write the userlist into users.htpasswd (htpasswd -B, bcrypt only)";
    (guards.collect(), (Verdict::NotHere, note.to_owned()))
}

/// Converts `deny`, and `return` with an error status, into `allow` or `deny` with networks, or an answer for
/// all clients.
///
/// # Errors
/// Why we can't express it.
pub fn deny(
    acls: &Acls,
    line: &Line,
    words: &[String],
    condition: &[String],
) -> Result<(Vec<Guard>, Remark), String> {
    let status = words.iter().position(|word| word == "deny_status" || word == "status");
    let status: u16 = status.and_then(|at| words.get(at + 1)?.parse().ok()).unwrap_or(403);
    let mut told = match refuses(words) {
        None | Some("") => (Verdict::Same, String::new()),
        Some(note) => (Verdict::Differs, note.to_owned()),
    };
    let mut guards = Vec::new();
    let alternatives = match acls.condition(condition) {
        Err(why) if acls.has_login(condition) => {
            told = (Verdict::Differs, "those with a login as well".to_owned());
            acls.but_for_logins(condition).map_err(|_| why)?
        }
        all => all?,
    };
    for terms in alternatives {
        if terms.secure.is_some() {
            return Err("tls.redirect_http".to_owned());
        }
        let mut guard = networks(&terms)?;
        if guard.is_empty() {
            put(&mut guard, "respond", json!({ "status": status }));
        } else if status != 403 {
            told = (Verdict::Differs, "with 403".to_owned());
        }
        if let Some(note) = terms.note {
            told = (Verdict::Differs, note.to_owned());
        }
        guards.push(Guard {
            terms: terms.fields,
            networks: guard,
            place: line.place.clone(),
            text: line.text(),
        });
    }
    Ok((guards, told))
}

/// Converts a backend's `return` that refuses requests.
///
/// # Errors
/// It does not refuse, or why we can't express it.
pub fn refusal(
    acls: &Acls,
    line: &Line,
    words: &[String],
    condition: &[String],
) -> Result<(Vec<Guard>, Remark), String> {
    let status = words.iter().position(|word| word == "status").and_then(|at| words.get(at + 1));
    match status.and_then(|status| status.parse().ok()) {
        Some(400_u16..) => {
            let (guards, _) = deny(acls, line, words, condition)?;
            Ok((guards, (Verdict::Differs, "with no body of its own (`respond`)".to_owned())))
        }
        _ => Err("`respond` of a route for these requests".to_owned()),
    }
}

/// Restrictions that refuse these clients. Refusing all clients outside of some networks means allowing only
/// those networks.
///
/// # Errors
/// Why we can't express it.
pub fn networks(terms: &Terms) -> Result<Object, String> {
    let mut guard = Object::new();
    terms.not_from.iter().for_each(|network| push(&mut guard, "allow", network.as_str()));
    terms.from.iter().for_each(|network| push(&mut guard, "deny", network.as_str()));
    match guard.len() {
        2 => Err("`allow` and `deny` of one rule".to_owned()),
        _ => Ok(guard),
    }
}

/// A backend as the target of routes.
#[derive(Debug, Clone)]
pub struct To {
    /// The backend's pool; empty for one that refuses all requests.
    pub pool: String,
    /// The restrictions by its own rules.
    pub guards: Vec<Guard>,
}

impl To {
    /// A backend without servers whose rules refuse all requests; `None` for others.
    pub fn nobody(guards: Vec<Guard>) -> Option<To> {
        let is_for_all = |guard: &Guard| guard.terms.is_empty() && guard.networks.contains_key("respond");
        guards.iter().any(is_for_all).then(|| To { pool: String::new(), guards })
    }

    /// Whether it refuses all requests.
    pub fn is_nobody(&self) -> bool {
        self.pool.is_empty()
    }

    /// The routes with these conditions that lead to it.
    pub fn routes(
        self,
        mut fields: Object,
        place: &Place,
        text: &str,
        report: &mut Report,
    ) -> Vec<DraftRoute> {
        put(&mut fields, "pool", self.pool);
        let mut routes = vec![DraftRoute { fields, place: place.clone(), name: text.to_owned() }];
        for guard in &self.guards {
            guard.keep_out(&mut routes, report);
        }
        routes
    }
}
