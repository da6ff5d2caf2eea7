//! `tls`: the TLS listener.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::Serialize;

use super::listen::listen;
use super::raw::Fields;
use super::read::{boolean, not_null, required_pem_file, text};
use super::{ListenAddress, TlsVersion, names, write};

const CERTIFICATES: &str = r#"a list such as [ { "certificate": "cert.pem", "private_key": "key.pem" } ]"#;
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8443);
/// The default port of https (RFC 9110 section 4.2.2).
const HTTPS_PORT: u16 = 443;
/// Older versions are broken (RFC 8996).
const MIN_VERSION: TlsVersion = TlsVersion::Tls12;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TlsConfig {
    /// The listening addresses; never empty.
    #[serde(serialize_with = "write::one_or_several")]
    pub listen: Vec<ListenAddress>,
    /// The first is used for clients that name no known host.
    pub certificates: Vec<CertificateConfig>,
    /// The lowest TLS version accepted.
    pub min_version: TlsVersion,
    /// Whether the plain listener redirects all requests here.
    pub redirect_http: bool,
    /// Whether connections begin with a PROXY header.
    pub proxy_protocol: bool,
}

/// A certificate chain and its key, both PEM files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CertificateConfig {
    /// Path of the chain.
    pub certificate: String,
    /// Path of the key.
    pub private_key: String,
}

impl TlsConfig {
    /// The port for redirects: 443 if there is a listener on it, else that of the first listener. With only
    /// Unix sockets it is 443, the port of the proxy in front of them.
    pub fn port(&self) -> u16 {
        let ports = || self.listen.iter().filter_map(|listen| Some(listen.tcp()?.port()));
        let usual = ports().find(|port| *port == HTTPS_PORT);
        usual.or_else(|| ports().next()).unwrap_or(HTTPS_PORT)
    }
}

/// Reads `tls`.
pub(super) fn tls(fields: &Fields<'_>) -> Option<TlsConfig> {
    let value = fields.get("tls").filter(not_null)?;
    Some(value.object(|tls| TlsConfig {
        listen: listen(tls, "tls.", vec![ListenAddress::Tcp(LISTEN)]),
        certificates: certificates(tls),
        min_version: tls.value("min_version", MIN_VERSION, text(names::TLS_VERSION, names::tls_version)),
        redirect_http: tls.value("redirect_http", false, boolean),
        proxy_protocol: tls.value("proxy_protocol", false, boolean),
    }))
}

fn certificates(fields: &Fields<'_>) -> Vec<CertificateConfig> {
    let Some(value) = fields.get("certificates") else {
        fields.missing("certificates", CERTIFICATES);
        return Vec::new();
    };
    let Some(items) = value.items() else {
        value.mistake(value.wrong_type(CERTIFICATES));
        return Vec::new();
    };
    if items.is_empty() {
        value.mistake(format!("empty; write {CERTIFICATES}"));
    }
    let certificate = |fields: &Fields<'_>| CertificateConfig {
        certificate: required_pem_file(fields, "certificate"),
        private_key: required_pem_file(fields, "private_key"),
    };
    items.iter().map(|item| item.object(certificate)).collect()
}
