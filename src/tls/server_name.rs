//! The name that a backend's certificate must have.

use rustls::pki_types::ServerName;

use crate::config::BackendUrl;

/// What the backend's certificate has to be for.
///
/// # Errors
/// There is no such name, or no need for it.
pub(super) fn server_name(url: &BackendUrl) -> Result<ServerName<'static>, String> {
    let BackendUrl::Https { host, .. } = url else { return Err("not an https backend".to_owned()) };
    ServerName::try_from(host.clone()).map_err(|_| format!("{host:?} is no name for TLS"))
}
