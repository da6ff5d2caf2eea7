//! A route, as written: which requests it matches, which it allows, and what is done with them.

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
    /// Exact hosts, or `*.example.com`, in lower case; empty matches any.
    #[serde(rename = "host", serialize_with = "write::one_or_several")]
    pub hosts: Vec<String>,
    /// The paths to match.
    #[serde(flatten)]
    pub path: PathMatch,
    /// The methods to match; empty matches any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// Header fields that must have this value, or with `None` must be absent.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "write::object")]
    pub headers: Vec<(String, Option<String>)>,
    /// Query parameters that must have this value, or with `None` must be absent.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "write::object")]
    pub query: Vec<(String, Option<String>)>,
    /// Which clients are allowed.
    #[serde(flatten)]
    pub access: Access,
    /// Stripped from the beginning of the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strip_prefix: Option<String>,
    /// Put before the path, after stripping.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add_prefix: Option<String>,
    /// What is done with the requests.
    #[serde(flatten)]
    pub action: Action,
    /// Settings for these requests alone.
    #[serde(flatten)]
    pub local: Local,
}

/// The paths that a route matches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum PathMatch {
    /// Whole leading segments; `/` matches any path.
    #[serde(rename = "path")]
    Prefix(String),
    /// Exactly this path.
    #[serde(rename = "path_exact")]
    Exact(String),
    /// Paths in which this regular expression finds a match.
    #[serde(rename = "path_regex")]
    Regex(String),
}

impl Default for PathMatch {
    fn default() -> PathMatch {
        PathMatch::Prefix("/".to_owned())
    }
}

/// What is done with a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// It is forwarded to one of these pools, which share the clients as given.
    Pools(Vec<(String, u32)>),
    /// The client is redirected.
    Redirect {
        /// The target.
        to: Template,
        /// 301, 302, 303, 307 or 308.
        status: u16,
    },
    /// The balancer answers.
    Respond {
        /// The status.
        status: u16,
        /// The body.
        body: String,
        /// The content type.
        content_type: String,
    },
}

impl Default for Action {
    fn default() -> Action {
        Action::Pools(Vec::new())
    }
}

/// Restrictions on the clients.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Access {
    /// Only clients in these networks; empty allows all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<IpNet>,
    /// No clients in these networks, even if `allow` contains them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<IpNet>,
    /// Only clients with a login from this file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuth>,
    /// Only requests that another service approves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward_auth: Option<ForwardAuth>,
}

/// A login with a user name and password.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BasicAuth {
    /// The purpose of the login, shown to users.
    pub realm: String,
    /// The file with user names and hashes, as written by `htpasswd -B`.
    pub users: NamedFile,
}

/// A service that approves requests.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ForwardAuth {
    /// The URL of the service, requested with GET.
    pub url: String,
    /// A PEM file that replaces the system's roots, for `https`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// Fields of its answer that are passed to the backend.
    pub pass: Vec<String>,
    /// Time limit for its answer.
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
    /// Whether the route matches all requests.
    pub fn takes_all(&self) -> bool {
        self.hosts.is_empty()
            && self.path == PathMatch::default()
            && self.methods.is_empty()
            && self.headers.is_empty()
            && self.query.is_empty()
    }

    /// The pools that it may forward to.
    pub fn pools(&self) -> impl Iterator<Item = &str> {
        let pools: &[(String, u32)] = match &self.action {
            Action::Pools(pools) => pools,
            _ => &[],
        };
        pools.iter().map(|(name, _)| name.as_str())
    }

    /// Whether it may forward to this pool.
    pub fn leads_to(&self, pool: &str) -> bool {
        self.pools().any(|name| name == pool)
    }

    /// The files that the route names.
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
