//! The files that a configuration names for TLS: read at the start, by `check` and at a reload, so that
//! what is wrong with one is known before anything depends on it.

use super::{ClientSettings, ServerSettings};
use crate::config::{BackendUrl, Config};

/// Settings of the TLS listener, if there is one; all other files are looked at as well.
///
/// # Errors
/// Each field whose files can't be used, and why.
pub fn read(config: &Config) -> Result<Option<ServerSettings>, Vec<String>> {
    let mut problems = Vec::new();
    for pool in config.all_pools() {
        for backend in &pool.backends {
            if let BackendUrl::Https { .. } = backend.url
                && let Err(problem) = ClientSettings::of(&backend.url, backend.ca.as_deref())
            {
                problems.push(format!("{}: {problem}", backend.url));
            }
        }
    }
    let settings = config.tls.as_ref().map(|tls| ServerSettings::load(&tls.certificates)).transpose();
    match settings {
        Ok(settings) if problems.is_empty() => Ok(settings),
        Ok(_) => Err(problems),
        Err(found) => {
            problems.extend(found.into_iter().map(|problem| format!("tls.certificates: {problem}")));
            Err(problems)
        }
    }
}

/// Every file that a configuration names.
pub fn names(config: &Config) -> Vec<String> {
    let certificates = config.tls.iter().flat_map(|tls| &tls.certificates);
    let mut names: Vec<String> =
        certificates.flat_map(|pair| [pair.certificate.clone(), pair.private_key.clone()]).collect();
    let pools = config.all_pools();
    names.extend(pools.flat_map(|pool| &pool.backends).filter_map(|backend| backend.ca.clone()));
    names
}
