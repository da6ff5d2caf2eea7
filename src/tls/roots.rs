//! The roots that backends' certificates are verified with: the system's, or those in a file. They are read
//! at the start and at each reload. Only if no backend uses the system's roots, but a forward-auth service
//! does, its first connection reads them.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use parking_lot::RwLock;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use super::pem;
use super::server_name::server_name;
use crate::config::BackendUrl;

/// The TLS settings for connections to backends, by the file with the roots. Kept, because some hundred
/// certificates are too many to read for each connection.
static ROOTS: RwLock<BTreeMap<String, Roots>> = RwLock::new(BTreeMap::new());
/// Stands for the system's roots; no file has this name.
const SYSTEM: &str = "";

/// Roots and the settings made from them.
#[derive(Debug, Clone)]
struct Roots {
    /// A digest of the certificates.
    digest: u64,
    config: Arc<ClientConfig>,
}

/// Roots that have been read again and are not in use yet.
#[derive(Debug, Default)]
pub struct RenewedRoots(BTreeMap<String, Roots>);

/// The current settings for new connections; reads the roots if they were never read. Takes a lock.
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
    /// Reads the roots for this backend, each file once. Takes a lock.
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
        // If the roots are unchanged, keep the settings, so that TLS sessions can be resumed.
        if let Some(known) = ROOTS.read().get(file).filter(|known| known.digest == roots.digest) {
            roots = known.clone();
        }
        self.0.insert(file.to_owned(), roots);
        Ok(())
    }

    /// Uses these roots for new connections. Takes a lock.
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

/// The system's store may hold certificates that can't be used; a configured file must not.
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
