//! The name that a backend's certificate must be valid for.

use rustls::pki_types::ServerName;

use crate::config::BackendUrl;

/// The name that the backend's certificate must be valid for.
///
/// # Errors
/// The host is not a valid name, or the backend is not `https`.
pub(super) fn server_name(url: &BackendUrl) -> Result<ServerName<'static>, String> {
    let BackendUrl::Https { host, .. } = url else { return Err("not an https backend".to_owned()) };
    ServerName::try_from(host.clone()).map_err(|_| format!("{host:?} is no name for TLS"))
}
