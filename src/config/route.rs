//! A route: which requests it is for, what it lets pass, and what becomes of them. As somebody wrote it.

use std::time::Duration;

use ipnet::IpNet;
use serde_json::{Map, Value as Json, json};

use super::policy::{Local, NamedFile};
use super::template::Template;

/// See the module.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Route {
    /// Exact hosts, or `*.example.com`; empty is any. Lower-cased.
    pub hosts: Vec<String>,
    /// Which paths.
    pub path: PathMatch,
    /// Which methods; empty is any.
    pub methods: Vec<String>,
    /// Fields that have this value, or that are not there.
    pub headers: Vec<(String, Option<String>)>,
    /// Parameters of the query that have this value, or that are not there.
    pub query: Vec<(String, Option<String>)>,
    /// Who may ask.
    pub access: Access,
    /// Taken off the beginning of the path.
    pub strip_prefix: Option<String>,
    /// Put before the path, after something was taken off.
    pub add_prefix: Option<String>,
    /// What becomes of them.
    pub action: Action,
    /// What else is said for them alone.
    pub local: Local,
}

/// Which paths a route is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathMatch {
    /// Whole leading segments; `/` is any.
    Prefix(String),
    /// This one.
    Exact(String),
    /// Those in which this regular expression is found.
    Regex(String),
}

impl Default for PathMatch {
    fn default() -> PathMatch {
        PathMatch::Prefix("/".to_owned())
    }
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// A backend of one of these pools answers, each with its share of the clients.
    Pools(Vec<(String, u32)>),
    /// The client is sent elsewhere.
    Redirect {
        /// Where.
        to: Template,
        /// 301, 302, 303, 307 or 308.
        status: u16,
    },
    /// The balancer answers.
    Respond {
        /// With this status ...
        status: u16,
        /// ... this text ...
        body: String,
        /// ... of this type.
        content_type: String,
    },
}

impl Default for Action {
    fn default() -> Action {
        Action::Pools(Vec::new())
    }
}

/// Who may ask.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Access {
    /// Only clients from these; empty is all.
    pub allow: Vec<IpNet>,
    /// None from these, whatever `allow` says.
    pub deny: Vec<IpNet>,
    /// Who knows a password of this file.
    pub basic_auth: Option<BasicAuth>,
    /// Who is let pass by somebody else.
    pub forward_auth: Option<ForwardAuth>,
}

/// A login with a name and a password.
#[derive(Debug, Clone, PartialEq)]
pub struct BasicAuth {
    /// What people are told that it is for.
    pub realm: String,
    /// The file with names and hashes, as `htpasswd -B` writes it.
    pub users: NamedFile,
}

/// A service that says who may pass.
#[derive(Debug, Clone, PartialEq)]
pub struct ForwardAuth {
    /// Where it is asked, by GET.
    pub url: String,
    /// Fields of its answer that the backend gets.
    pub pass: Vec<String>,
    /// How long it may take.
    pub timeout: Duration,
}

impl Route {
    /// Whether no request passes it by.
    pub fn takes_all(&self) -> bool {
        self.hosts.is_empty()
            && self.path == PathMatch::default()
            && self.methods.is_empty()
            && self.headers.is_empty()
            && self.query.is_empty()
    }

    /// The pools that it may lead to.
    pub fn pools(&self) -> impl Iterator<Item = &str> {
        let pools: &[(String, u32)] = match &self.action {
            Action::Pools(pools) => pools,
            _ => &[],
        };
        pools.iter().map(|(name, _)| name.as_str())
    }

    /// Whether it may lead to this pool.
    pub fn leads_to(&self, pool: &str) -> bool {
        self.pools().any(|name| name == pool)
    }

    /// As the file says it; of what is seldom said only what is.
    pub(super) fn to_json(&self) -> Json {
        let mut fields = Map::new();
        let host = match self.hosts.as_slice() {
            [] => Json::Null,
            [one] => json!(one),
            several => json!(several),
        };
        fields.insert("host".into(), host);
        let (name, path) = match &self.path {
            PathMatch::Prefix(path) => ("path", path),
            PathMatch::Exact(path) => ("path_exact", path),
            PathMatch::Regex(path) => ("path_regex", path),
        };
        fields.insert(name.into(), json!(path));
        self.write_conditions(&mut fields);
        self.access.write(&mut fields);
        for (name, value) in [("strip_prefix", &self.strip_prefix), ("add_prefix", &self.add_prefix)] {
            if let Some(value) = value {
                fields.insert(name.into(), json!(value));
            }
        }
        self.local.write(&mut fields);
        match &self.action {
            Action::Pools(pools) => match pools.as_slice() {
                [(one, _)] => fields.insert("pool".into(), json!(one)),
                several => {
                    let shares: Map<String, Json> =
                        several.iter().map(|(name, share)| (name.clone(), json!(share))).collect();
                    fields.insert("pools".into(), Json::Object(shares))
                }
            },
            Action::Redirect { to, status } => {
                fields.insert("redirect".into(), json!({ "to": to.to_string(), "status": status }))
            }
            Action::Respond { status, body, content_type } => fields
                .insert("respond".into(), json!({ "status": status, "body": body, "type": content_type })),
        };
        Json::Object(fields)
    }

    fn write_conditions(&self, fields: &mut Map<String, Json>) {
        if !self.methods.is_empty() {
            fields.insert("methods".into(), json!(self.methods));
        }
        for (name, conditions) in [("headers", &self.headers), ("query", &self.query)] {
            if !conditions.is_empty() {
                let all: Map<String, Json> =
                    conditions.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
                fields.insert(name.into(), Json::Object(all));
            }
        }
    }

    /// The files that it names.
    pub(super) fn files(&mut self) -> impl Iterator<Item = (String, &mut NamedFile)> {
        let users =
            self.access.basic_auth.as_mut().map(|auth| ("basic_auth.users".to_owned(), &mut auth.users));
        self.local.files().chain(users)
    }
}

impl Access {
    fn write(&self, fields: &mut Map<String, Json>) {
        for (name, networks) in [("allow", &self.allow), ("deny", &self.deny)] {
            if !networks.is_empty() {
                fields.insert(name.into(), networks.iter().map(ToString::to_string).collect());
            }
        }
        if let Some(auth) = &self.basic_auth {
            fields.insert("basic_auth".into(), json!({ "realm": auth.realm, "users": auth.users.name }));
        }
        if let Some(auth) = &self.forward_auth {
            let timeout = super::write_duration(auth.timeout);
            fields.insert(
                "forward_auth".into(),
                json!({ "url": auth.url, "pass": auth.pass, "timeout": timeout }),
            );
        }
    }
}
