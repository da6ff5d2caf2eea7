//! Converts rules on header fields.

use serde_json::{Value as Json, json};

use super::conditions::Acls;
use super::values::template;
use crate::convert::draft::{Object, header, put};
use crate::convert::forwarded::{BY_ITSELF, has_by_itself, is_ours};
use crate::convert::report::{Remark, Verdict};
use crate::convert::terms::Terms;

/// Converts `http-request set-header` and the like, for a frontend's routes or a backend's pool.
pub fn rule(words: &[String], condition: &[String], fields: &mut Object, acls: &Acls) -> Option<Remark> {
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    let which = match word(0) {
        "http-request" => "request_headers",
        "http-response" | "http-after-response" => "response_headers",
        _ => return None,
    };
    let how = match word(1) {
        "set-header" => "set",
        "add-header" => "add",
        "del-header" => "remove",
        _ => return None,
    };
    if which == "request_headers" && is_of_the_connection(word(2), word(3), condition, acls) {
        return Some((Verdict::Same, BY_ITSELF.to_owned()));
    }
    if !condition.is_empty() {
        let is_always = acls.condition(condition).is_ok_and(|all| all == [Terms::default()]);
        if !is_always {
            return Some((Verdict::NotHere, format!("{which} of a route for these requests")));
        }
    }
    if which == "request_headers" && word(2).eq_ignore_ascii_case("host") {
        return Some(match word(3).contains('%') {
            true => (Verdict::NotHere, "host_header is a fixed host, or the backend's".to_owned()),
            false => {
                put(fields, "host_header", word(3));
                (Verdict::Same, String::new())
            }
        });
    }
    if which == "request_headers" && is_ours(word(2)) {
        return Some(on_the_way(how, word(2), word(3), fields, acls.adds_client));
    }
    Some(match template(word(3)) {
        Ok(value) => {
            header(fields, which, how, word(2), &value);
            match word(0) {
                "http-response" => (Verdict::Differs, "for answers of the balancer's own as well".to_owned()),
                _ => (Verdict::Same, String::new()),
            }
        }
        Err(sample) => (Verdict::NotHere, format!("there is no placeholder for {sample}")),
    })
}

/// Whether this is `X-Forwarded-Proto https if { ssl_fc }`, or the opposite.
fn is_of_the_connection(name: &str, value: &str, condition: &[String], acls: &Acls) -> bool {
    let is_secure = match value {
        "https" => true,
        "http" => false,
        _ => return false,
    };
    let only = Terms { secure: Some(is_secure), ..Terms::default() };
    name.eq_ignore_ascii_case("x-forwarded-proto")
        && !condition.is_empty()
        && acls.condition(condition).is_ok_and(|all| all == [only])
}

/// A rule on a field that the balancer sets by itself. Rules follow one another there: the last one counts.
fn on_the_way(how: &str, name: &str, value: &str, fields: &mut Object, adds_client: bool) -> Remark {
    let by_itself = (Verdict::Same, BY_ITSELF.to_owned());
    let value = match template(value) {
        Ok(value) => value,
        Err(sample) => return (Verdict::NotHere, format!("there is no placeholder for {sample}")),
    };
    forget(fields, name);
    match how {
        // `option forwardfor` adds it again, after all rules.
        "remove" if adds_client && name.eq_ignore_ascii_case("x-forwarded-for") => by_itself,
        "remove" => {
            header(fields, "request_headers", "remove", name, "");
            (Verdict::Same, String::new())
        }
        _ if has_by_itself(name, &value) => by_itself,
        _ => {
            header(fields, "request_headers", "set", name, &value);
            match how {
                "set" => (Verdict::Same, String::new()),
                _ => (Verdict::Differs, "in the place of what clients send".to_owned()),
            }
        }
    }
}

/// Takes out earlier rules on this field of requests.
fn forget(fields: &mut Object, name: &str) {
    let Some(rules) = fields.get_mut("request_headers").and_then(Json::as_object_mut) else { return };
    for names in rules.values_mut() {
        match names {
            Json::Array(list) => {
                list.retain(|known| known.as_str().is_none_or(|known| !known.eq_ignore_ascii_case(name)));
            }
            Json::Object(values) => values.retain(|known, _| !known.eq_ignore_ascii_case(name)),
            _ => {}
        }
    }
    rules.retain(|_, names| *names != json!([]) && *names != json!({}));
    if rules.is_empty() {
        fields.remove("request_headers");
    }
}
