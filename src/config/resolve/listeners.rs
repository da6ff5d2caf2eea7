//! The listeners beside the plain one: TLS and admin.

use std::net::SocketAddr;

use super::secret;
use crate::config::error::quoted;
use crate::config::raw::{Fields, Scalar, Value};
use crate::config::read::{boolean, text};
use crate::config::{AdminConfig, CertificateConfig, Config, TlsConfig, address, defaults, names};

const CERTIFICATES: &str = r#"a list such as [ { "certificate": "cert.pem", "private_key": "key.pem" } ]"#;
const FILE: &str = r#"the name of a PEM file, such as "cert.pem""#;

pub(super) fn tls(fields: &Fields<'_>) -> Option<TlsConfig> {
    let value = fields.get("tls").filter(not_null)?;
    Some(value.object(|tls| TlsConfig {
        listen: listen(tls, defaults::tls_listen()),
        certificates: certificates(tls),
        min_version: tls.value(
            "min_version",
            defaults::TLS_MIN_VERSION,
            text(names::TLS_VERSION, names::tls_version),
        ),
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
    let plain: Vec<_> = config.listen.iter().filter_map(|it| Some(("listen", it.tcp()?))).collect();
    let tls = config.tls.as_ref().map(|tls| ("tls.listen", tls.listen));
    let admin = config.admin.as_ref().map(|admin| ("admin.listen", admin.listen));
    let before_admin: Vec<_> = plain.iter().copied().chain(tls).collect();
    for (object, own, others) in [("tls", tls, plain), ("admin", admin, before_admin)] {
        let (Some((_, own)), Some(value)) = (own, fields.get(object)) else { continue };
        if let Some((other, address)) = others.iter().find(|(_, other)| address::clash(own, *other)) {
            let message =
                format!("{own} overlaps `{other}`, which is {address}; write another address or port");
            value.mistake_in("listen", message);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Overrides, parse};

    #[test]
    fn the_field_is_named_where_it_is_left_out_too() {
        let errors = parse(r#"{ "listen": ":9090", "admin": {} }"#, &Overrides::default()).unwrap_err();
        assert_eq!(errors.mistakes()[0].path, "admin.listen");
    }
}
