//! Whom connections to backends believe: the system's roots, or those in a file. They are read at the start and
//! at each reload, never on a request's path.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use parking_lot::RwLock;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use super::pem;
use super::server_name::server_name;
use crate::config::BackendUrl;

/// What connections to backends are verified with, by the file that is named: some hundred certificates, so
/// they are not read for each connection.
static ROOTS: RwLock<BTreeMap<String, Roots>> = RwLock::new(BTreeMap::new());
/// Stands for the system's roots; no file has this name.
const SYSTEM: &str = "";

/// Roots, and what was made of them.
#[derive(Debug, Clone)]
struct Roots {
    /// A digest of the certificates.
    digest: u64,
    config: Arc<ClientConfig>,
}

/// Roots that were read again and are not in use yet.
#[derive(Debug, Default)]
pub struct RenewedRoots(BTreeMap<String, Roots>);

/// As it is for connections that are opened now; read where it never was. Takes a lock.
///
/// # Errors
/// What is wrong with the roots, for people.
pub(super) fn in_force(ca: Option<&str>) -> Result<Arc<ClientConfig>, String> {
    let file = ca.unwrap_or(SYSTEM);
    if let Some(known) = ROOTS.read().get(file) {
        return Ok(Arc::clone(&known.config));
    }
    let roots = Roots::read(ca)?;
    let mut all = ROOTS.write();
    Ok(Arc::clone(&all.entry(file.to_owned()).or_insert(roots).config))
}

impl RenewedRoots {
    /// Reads what this backend needs, each file once. Takes a lock.
    ///
    /// # Errors
    /// What is wrong with the roots or the name, for people.
    pub fn read(&mut self, url: &BackendUrl, ca: Option<&str>) -> Result<(), String> {
        server_name(url)?;
        let file = ca.unwrap_or(SYSTEM);
        if self.0.contains_key(file) {
            return Ok(());
        }
        let mut roots = Roots::read(ca)?;
        // Where nothing has changed, sessions can still be resumed.
        if let Some(known) = ROOTS.read().get(file).filter(|known| known.digest == roots.digest) {
            roots = known.clone();
        }
        self.0.insert(file.to_owned(), roots);
        Ok(())
    }

    /// From now on new connections are verified with these. Takes a lock.
    pub fn take_effect(self) {
        ROOTS.write().extend(self.0);
    }
}

impl Roots {
    fn read(ca: Option<&str>) -> Result<Roots, String> {
        let certificates = match ca {
            Some(file) => pem::certificates(file)?,
            None => rustls_native_certs::load_native_certs().certs,
        };
        let mut hasher = DefaultHasher::new();
        certificates.hash(&mut hasher);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(store(ca, certificates)?)
            .with_no_client_auth();
        Ok(Roots { digest: hasher.finish(), config: Arc::new(config) })
    }
}

/// A system's store may hold what can't be used; a file that somebody names may not.
fn store(ca: Option<&str>, certificates: Vec<CertificateDer<'static>>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let Some(file) = ca else {
        roots.add_parsable_certificates(certificates);
        return match roots.is_empty() {
            true => Err("this system has no root certificates; name a file with \"ca\"".to_owned()),
            false => Ok(roots),
        };
    };
    for (index, certificate) in certificates.into_iter().enumerate() {
        let place = index + 1;
        roots.add(certificate).map_err(|error| format!("{file}: certificate {place} is no root: {error}"))?;
    }
    Ok(roots)
}
