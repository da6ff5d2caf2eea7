//! Converts `bind` lines into listeners.

use serde_json::json;

use super::syntax::Line;
use crate::convert::draft::{Draft, put};
use crate::convert::listen::Listeners;
use crate::convert::report::{Report, Verdict};

/// Converts one line.
pub fn bind(line: &Line, draft: &mut Draft, listeners: &mut Listeners, report: &mut Report) {
    let after = |name: &str| line.words.iter().position(|word| word == name).map(|at| line.word(at + 1));
    let has = |name: &str| line.words.iter().any(|word| word == name);
    let (mut verdict, mut note) = (Verdict::Same, "");
    for address in line.word(1).split(',') {
        let address = match address.strip_prefix("*:").or_else(|| address.strip_prefix(':')) {
            Some(port) => format!("0.0.0.0:{port}"),
            None if address.starts_with('/') => format!("unix:{address}"),
            None => match address.strip_prefix(":::") {
                Some(port) => format!("[::]:{port}"),
                None => address.trim_start_matches("ipv4@").trim_start_matches("ipv6@").to_owned(),
            },
        };
        if address.contains('-') && !address.starts_with("unix:") {
            (verdict, note) = (Verdict::NotHere, "a range of ports; name each");
            continue;
        }
        listeners.add(&address, has("ssl"));
    }
    if has("accept-proxy") {
        put(&mut draft.top, if has("ssl") { "tls.proxy_protocol" } else { "proxy_protocol" }, true);
    }
    if let Some(file) = after("crt") {
        listeners.certificate(json!({ "certificate": file, "private_key": file }));
        if file.ends_with('/') {
            (verdict, note) = (Verdict::NotHere, "a folder of certificates; name each");
        }
    }
    match after("ssl-min-ver") {
        Some("TLSv1.3") => put(&mut draft.top, "tls.min_version", "1.3"),
        Some(_) => put(&mut draft.top, "tls.min_version", "1.2"),
        None => {}
    }
    if verdict == Verdict::Same && after("alpn").is_some_and(|list| list.contains("h2")) {
        (verdict, note) = (Verdict::Differs, "HTTP/1.1 to clients");
    }
    if ["ca-file", "verify", "crl-file"].iter().any(|word| has(word)) {
        (verdict, note) = (Verdict::NotHere, "clients' certificates are not asked for");
    }
    report.note(&line.place, &line.text(), verdict, note);
}
