//! A route: which requests it is for, what it lets pass, and what becomes of them. As somebody wrote it.

use std::time::Duration;

use ipnet::IpNet;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value as Json, json};

use super::policy::{Local, NamedFile};
use super::template::Template;
use super::url::BackendUrl;
use super::write;

/// See the module.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Route {
    /// Exact hosts, or `*.example.com`; empty is any. Lower-cased.
    #[serde(rename = "host", serialize_with = "write::one_or_several")]
    pub hosts: Vec<String>,
    /// Which paths.
    #[serde(flatten)]
    pub path: PathMatch,
    /// Which methods; empty is any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// Fields that have this value, or that are not there.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "write::object")]
    pub headers: Vec<(String, Option<String>)>,
    /// Parameters of the query that have this value, or that are not there.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "write::object")]
    pub query: Vec<(String, Option<String>)>,
    /// Who may ask.
    #[serde(flatten)]
    pub access: Access,
    /// Taken off the beginning of the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strip_prefix: Option<String>,
    /// Put before the path, after something was taken off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add_prefix: Option<String>,
    /// What becomes of them.
    #[serde(flatten)]
    pub action: Action,
    /// What else is said for them alone.
    #[serde(flatten)]
    pub local: Local,
}

/// Which paths a route is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum PathMatch {
    /// Whole leading segments; `/` is any.
    #[serde(rename = "path")]
    Prefix(String),
    /// This one.
    #[serde(rename = "path_exact")]
    Exact(String),
    /// Those in which this regular expression is found.
    #[serde(rename = "path_regex")]
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
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Access {
    /// Only clients from these; empty is all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<IpNet>,
    /// None from these, whatever `allow` says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<IpNet>,
    /// Who knows a password of this file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuth>,
    /// Who is let pass by somebody else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward_auth: Option<ForwardAuth>,
}

/// A login with a name and a password.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BasicAuth {
    /// What people are told that it is for.
    pub realm: String,
    /// The file with names and hashes, as `htpasswd -B` writes it.
    pub users: NamedFile,
}

/// A service that says who may pass.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ForwardAuth {
    /// Where it is asked, by GET.
    pub url: String,
    /// A PEM file that replaces the system's roots, for `https`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// Fields of its answer that the backend gets.
    pub pass: Vec<String>,
    /// How long it may take.
    #[serde(serialize_with = "write::duration")]
    pub timeout: Duration,
}

impl ForwardAuth {
    /// The URL without its path. There is always one: the URL was checked when the file was read.
    pub fn origin(&self) -> Option<BackendUrl> {
        let parts: Vec<&str> = self.url.splitn(4, '/').take(3).collect();
        BackendUrl::parse(&parts.join("/")).ok()
    }
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

    /// The files that it names.
    pub(super) fn files(&mut self) -> impl Iterator<Item = (String, &mut NamedFile)> {
        let users =
            self.access.basic_auth.as_mut().map(|auth| ("basic_auth.users".to_owned(), &mut auth.users));
        self.local.files().chain(users)
    }
}

impl Serialize for Action {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut object = to.serialize_map(Some(1))?;
        match self {
            Action::Pools(pools) => match pools.as_slice() {
                [(one, _)] => object.serialize_entry("pool", one)?,
                several => {
                    let shares: Map<String, Json> =
                        several.iter().map(|(name, share)| (name.clone(), json!(share))).collect();
                    object.serialize_entry("pools", &shares)?;
                }
            },
            Action::Redirect { to, status } => {
                object.serialize_entry("redirect", &json!({ "to": to, "status": status }))?;
            }
            Action::Respond { status, body, content_type } => {
                let respond = json!({ "status": status, "body": body, "type": content_type });
                object.serialize_entry("respond", &respond)?;
            }
        }
        object.end()
    }
}
