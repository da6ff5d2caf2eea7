//! The listeners beside the plain one: TLS and admin.

use std::net::{IpAddr, SocketAddr};

use super::secret;
use crate::config::error::quoted;
use crate::config::raw::{Fields, Scalar, Value};
use crate::config::read::{boolean, text};
use crate::config::{AdminConfig, CertificateConfig, Config, TlsConfig, address, defaults};

const CERTIFICATES: &str = r#"a list such as [ { "certificate": "cert.pem", "private_key": "key.pem" } ]"#;
const FILE: &str = r#"the name of a PEM file, such as "cert.pem""#;

pub(super) fn tls(fields: &Fields<'_>) -> Option<TlsConfig> {
    let value = fields.get("tls").filter(not_null)?;
    Some(value.object(|tls| TlsConfig {
        listen: listen(tls, defaults::tls_listen()),
        certificates: certificates(tls),
        redirect_http: tls.value("redirect_http", false, boolean),
        proxy_protocol: tls.value("proxy_protocol", false, boolean),
    }))
}

pub(super) fn not_null(value: &Value<'_>) -> bool {
    !matches!(value.scalar(), Scalar::Null)
}

fn listen(fields: &Fields<'_>, default: SocketAddr) -> SocketAddr {
    fields.value("listen", default, text(address::LISTEN, address::listen))
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
    let file = |fields: &Fields<'_>, name| fields.required(name, FILE, file_name);
    let certificate = |fields: &Fields<'_>| CertificateConfig {
        certificate: file(fields, "certificate").unwrap_or_default(),
        private_key: file(fields, "private_key").unwrap_or_default(),
    };
    items.iter().map(|item| item.object(certificate)).collect()
}

/// A file's name; whether there is such a file is for whoever opens it.
pub(super) fn file_name(value: &Value<'_>) -> Result<String, String> {
    text(FILE, |name| match name.is_empty() || name.contains('\0') {
        true => Err(format!("{} is not a file's name; write {FILE}", quoted(name))),
        false => Ok(name.to_string()),
    })(value)
}

pub(super) fn admin(fields: &Fields<'_>) -> Option<AdminConfig> {
    let value = fields.get("admin").filter(not_null)?;
    Some(value.object(|fields| {
        let admin = AdminConfig {
            listen: listen(fields, defaults::admin_listen()),
            token: fields.nullable("token", None, secret::token),
        };
        // A token that was reported already is not missing as well.
        let has_token = fields.get("token").is_some_and(|token| not_null(&token));
        if !admin.listen.ip().is_loopback() && !has_token {
            fields.missing("token", "one, because the address is not loopback");
        }
        admin
    }))
}

/// No two listeners can have one address, and one on all addresses has each of them.
pub(super) fn check_distinct(fields: &Fields<'_>, config: &Config) {
    let plain = ("listen", Some(config.listen));
    let tls = ("tls.listen", config.tls.as_ref().map(|tls| tls.listen));
    let admin = ("admin.listen", config.admin.as_ref().map(|admin| admin.listen));
    for (object, (_, own), others) in [("tls", tls, &[plain][..]), ("admin", admin, &[plain, tls])] {
        let (Some(own), Some(value)) = (own, fields.get(object)) else { continue };
        let is_taken = |other: &&(&str, Option<SocketAddr>)| other.1.is_some_and(|other| clash(own, other));
        if let Some((other, Some(address))) = others.iter().find(is_taken) {
            let message =
                format!("{own} overlaps `{other}`, which is {address}; write another address or port");
            value.mistake_in("listen", message);
        }
    }
}

/// `[::]` has the addresses of both families, `0.0.0.0` those of IPv4.
fn clash(one: SocketAddr, other: SocketAddr) -> bool {
    let has = |one: IpAddr, other: IpAddr| one.is_unspecified() && (one.is_ipv6() || other.is_ipv4());
    let overlap = one.ip() == other.ip() || has(one.ip(), other.ip()) || has(other.ip(), one.ip());
    overlap && one.port() == other.port() && one.port() != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Overrides, parse};

    #[test]
    fn two_listeners_clash_where_one_has_the_other_s_address() {
        for (one, other, expected) in [
            ("0.0.0.0:1", "127.0.0.1:1", true),
            ("127.0.0.1:1", "0.0.0.0:1", true),
            ("127.0.0.1:1", "127.0.0.2:1", false),
            ("[::]:1", "[::1]:1", true),
            ("[::]:1", "127.0.0.1:1", true),
            ("0.0.0.0:1", "[::]:1", true),
            ("0.0.0.0:1", "[::1]:1", false),
            ("0.0.0.0:0", "0.0.0.0:0", false),
        ] {
            assert_eq!(clash(one.parse().unwrap(), other.parse().unwrap()), expected, "{one} {other}");
        }
    }

    #[test]
    fn the_field_is_named_where_it_is_left_out_too() {
        let errors = parse(r#"{ "listen": ":9090", "admin": {} }"#, &Overrides::default()).unwrap_err();
        assert_eq!(errors.mistakes()[0].path, "admin.listen");
    }
}
