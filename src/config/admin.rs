//! `admin`: the listener for operators.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::Serialize;

use super::raw::Fields;
use super::read::{not_null, text};
use super::{address, secret};

const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AdminConfig {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The bearer token required from callers; mandatory if `listen` is not loopback.
    pub token: Option<String>,
}

/// Reads `admin`.
pub(super) fn admin(fields: &Fields<'_>) -> Option<AdminConfig> {
    let value = fields.get("admin").filter(not_null)?;
    Some(value.object(|fields| {
        let admin = AdminConfig {
            listen: fields.value("listen", LISTEN, text(address::LISTEN, address::listen)),
            token: fields.nullable("token", None, secret::token),
        };
        // A wrong token is reported already and does not count as missing.
        let has_token = fields.get("token").is_some_and(|token| not_null(&token));
        if !admin.listen.ip().is_loopback() && !has_token {
            fields.missing("token", "one, because the address is not loopback");
        }
        admin
    }))
}
