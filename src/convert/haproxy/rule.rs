//! Converts rules on header fields.

use super::conditions::Acls;
use super::values::template;
use crate::convert::draft::{Object, header, put};
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
    // We set these fields ourselves, as with `X-Forwarded-Proto https if { ssl_fc }`.
    let is_ours = ["x-forwarded-proto", "x-forwarded-for", "x-forwarded-host", "x-real-ip"]
        .contains(&word(2).to_ascii_lowercase().as_str());
    if which == "request_headers" && how != "remove" && is_ours {
        return Some((Verdict::Same, "set without being asked for".to_owned()));
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
