//! Directives for access control, rate limits, and the answers to refused requests.

use serde_json::{Value as Json, json};

use super::settings::Settings;
use crate::convert::directive::Directive;
use crate::convert::draft::{Object, push, put};
use crate::convert::networks;
use crate::convert::quantity::size;
use crate::convert::report::{Remark, Verdict};

impl Settings {
    pub(super) fn zone(&mut self, directive: &Directive) -> Remark {
        let value = |name: &str| directive.args.iter().find_map(|arg| arg.strip_prefix(name));
        let zone = value("zone=").and_then(|zone| zone.split(':').next()).unwrap_or_default();
        let rate = value("rate=").and_then(|rate| {
            let (number, unit) = rate.split_once("r/")?;
            let number: f64 = number.parse().ok()?;
            Some(if unit == "m" { number / 60.0 } else { number })
        });
        let Some(rate) = rate else { return (Verdict::NotHere, "its rate was not understood".to_owned()) };
        self.zones.push((zone.to_owned(), rate));
        match directive.arg(0) {
            "$binary_remote_addr" | "$remote_addr" => (Verdict::Same, String::new()),
            _ => (Verdict::Differs, "a limit is for each client's address".to_owned()),
        }
    }

    pub(super) fn limit_req(&mut self, directive: &Directive) -> Remark {
        let value = |name: &str| directive.args.iter().find_map(|arg| arg.strip_prefix(name));
        let zone = value("zone=").unwrap_or_default();
        let Some((_, rate)) = self.zones.iter().find(|(known, _)| known == zone) else {
            return (Verdict::NotHere, "its zone was not found".to_owned());
        };
        let burst: u64 = value("burst=").and_then(|text| text.parse().ok()).unwrap_or(0);
        let limit = json!({ "enabled": true, "requests_per_second": rate, "burst": burst.saturating_add(1) });
        put(&mut self.fields, "rate_limit", limit);
        let waits = burst > 0 && !directive.args.iter().any(|arg| arg == "nodelay");
        let note = if waits {
            "429 instead of 503; the burst is served at once, as with nodelay"
        } else {
            "429 instead of 503"
        };
        (Verdict::Differs, note.to_owned())
    }

    /// nginx uses the first match; here `deny` takes precedence, so that a `deny` is written without the
    /// networks of the `allow`s before it.
    pub(super) fn access(&mut self, name: &str, network: &str) -> Remark {
        let behind = |all: &str| (Verdict::Ignored, format!("it stands behind `{all}`"));
        match (name, network) {
            _ if self.denies_all => return behind("deny all"),
            _ if self.allows_rest => return behind("allow all"),
            ("deny", "all") => self.denies_all = true,
            ("allow", "all") => self.allows_rest = true,
            (_, "unix:") => {
                return (Verdict::NotHere, "clients of Unix sockets count as 127.0.0.1".to_owned());
            }
            ("deny", _) => return self.deny(network),
            _ if networks::covered(network, &self.list("deny")) => return behind("deny"),
            _ => push(&mut self.fields, name, network),
        }
        (Verdict::Same, String::new())
    }

    fn deny(&mut self, network: &str) -> Remark {
        let allowed = self.list("allow");
        match networks::without(network, &allowed) {
            Some(rest) if rest.is_empty() => (Verdict::Ignored, "it stands behind `allow`".to_owned()),
            Some(rest) => {
                let is_whole = rest == [network];
                rest.into_iter().for_each(|part| push(&mut self.fields, "deny", part));
                let note = if is_whole { "" } else { "without those of each `allow` before it" };
                (Verdict::Same, note.to_owned())
            }
            None => {
                push(&mut self.fields, "deny", network);
                (Verdict::NotHere, "it wins over each `allow`, also over those before it".to_owned())
            }
        }
    }

    fn list(&self, name: &str) -> Vec<String> {
        let list = self.fields.get(name).and_then(Json::as_array);
        list.into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect()
    }

    /// Adds the lists of who may ask. Without `deny all`, others than those of the `allow`s may ask as well;
    /// with it, only a `deny` for a part of an `allow` matters.
    pub(super) fn may_ask(&self, fields: &mut Object) {
        let (allowed, denied) = (self.list("allow"), self.list("deny"));
        let matters = |network: &&String| !self.denies_all || networks::meets(network, &allowed);
        denied.iter().filter(matters).for_each(|network| push(fields, "deny", network.as_str()));
        if self.denies_all {
            allowed.iter().for_each(|network| push(fields, "allow", network.as_str()));
        }
    }

    pub(super) fn login(&mut self) {
        self.fields.remove("basic_auth");
        if let (Some(realm), Some(users)) = &self.auth {
            let login = json!({ "realm": realm, "users": users });
            put(&mut self.fields, "basic_auth", login);
        }
    }

    pub(super) fn gzip(&mut self, directive: &Directive) -> Remark {
        let arg = directive.arg(0);
        match directive.name.as_str() {
            "gzip" => {
                self.gzip = arg == "on";
                if self.gzip {
                    return (
                        Verdict::Differs,
                        "also for clients that come through a proxy (gzip_proxied any)".to_owned(),
                    );
                }
            }
            "gzip_types" => {
                let mut types = vec!["text/html".to_owned()];
                types.extend(
                    directive.args.iter().filter(|kind| *kind != "*" && *kind != "text/html").cloned(),
                );
                put(&mut self.fields, "compress.types", types);
            }
            _ => {
                return self
                    .set("compress.min_bytes", size(arg).map(Json::from))
                    .unwrap_or((Verdict::Same, String::new()));
            }
        }
        (Verdict::Same, String::new())
    }

    pub(super) fn error_page(&mut self, directive: &Directive) -> Remark {
        let Some((page, statuses)) = directive.args.split_last() else {
            return (Verdict::NotHere, "it names no page".to_owned());
        };
        let Some(root) = self.root.as_ref().filter(|_| page.starts_with('/')) else {
            return (Verdict::NotHere, "error_pages names files".to_owned());
        };
        if statuses.iter().any(|it| it.starts_with('=')) {
            return (Verdict::NotHere, "the status stays as it is".to_owned());
        }
        for status in statuses {
            put(&mut self.fields, &format!("error_pages.{status}"), format!("{root}{page}"));
        }
        (
            Verdict::Differs,
            "for answers of the balancer's own; for a backend that can't be reached 503 or 504 is answered"
                .to_owned(),
        )
    }
}
