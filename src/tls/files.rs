//! The TLS files that a configuration names: read at the start, by `check` and at a reload, so that errors
//! are reported before anything depends on the files.

use super::{RenewedRoots, ServerSettings};
use crate::config::{BackendUrl, Config, ConfigErrors};

/// Files read at a reload, not in use yet.
#[derive(Debug)]
pub struct Renewed {
    /// For the TLS listener, if there is one.
    pub server: Option<ServerSettings>,
    /// For connections to backends.
    pub roots: RenewedRoots,
}

/// Reads all TLS files, and uses the roots for connections to backends from now on. Returns the settings of
/// the TLS listener, if there is one.
///
/// # Errors
/// Each field whose files can't be used, and why.
pub fn read(config: &Config) -> Result<Option<ServerSettings>, Vec<String>> {
    let renewed = read_again(config)?;
    renewed.roots.take_effect();
    Ok(renewed.server)
}

/// The same without using the roots.
///
/// # Errors
/// Each field whose files can't be used, and why.
pub fn read_again(config: &Config) -> Result<Renewed, Vec<String>> {
    let (mut roots, mut problems) = (RenewedRoots::default(), Vec::new());
    for (place, url, ca) in https(config) {
        if let Err(problem) = roots.read(&url, ca) {
            let field = if ca.is_some() { "ca" } else { "url" };
            problems.push(format!("{place}.{field}: {problem}"));
        }
    }
    let server = config.tls.as_ref().map(ServerSettings::load).transpose();
    match server {
        Ok(server) if problems.is_empty() => Ok(Renewed { server, roots }),
        Ok(_) => Err(problems),
        Err(found) => {
            problems.extend(found);
            Err(problems)
        }
    }
}

/// Everybody who is asked by https: the object in the file, its URL and its `ca`.
fn https(config: &Config) -> impl Iterator<Item = (String, BackendUrl, Option<&str>)> {
    let backends = config.all_pools().flat_map(|pool| {
        pool.backends.iter().enumerate().map(|(index, backend)| {
            (pool.path_of(&format!("backends[{index}]")), backend.url.clone(), &backend.ca)
        })
    });
    let services = config.routes.iter().enumerate().filter_map(|(index, route)| {
        let auth = route.access.forward_auth.as_ref()?;
        Some((format!("routes[{index}].forward_auth"), auth.origin()?, &auth.ca))
    });
    let all = backends.chain(services).filter(|(_, url, _)| matches!(url, BackendUrl::Https { .. }));
    all.map(|(place, url, ca)| (place, url, ca.as_deref()))
}

/// The mistakes of a configuration together with problems of the files that it names, so that all can be
/// fixed at once.
pub fn told_with(mistakes: &ConfigErrors) -> String {
    let of_files = mistakes.rest().and_then(|rest| read_again(rest).err()).unwrap_or_default();
    let mut lines = vec![mistakes.to_string().trim_end().to_owned()];
    lines.extend(of_files);
    lines.join("\n")
}

/// All TLS files that a configuration names.
pub fn names(config: &Config) -> Vec<String> {
    let certificates = config.tls.iter().flat_map(|tls| &tls.certificates);
    let mut names: Vec<String> =
        certificates.flat_map(|pair| [pair.certificate.clone(), pair.private_key.clone()]).collect();
    names.extend(https(config).filter_map(|(_, _, ca)| ca.map(str::to_owned)));
    names
}

#[cfg(all(test, feature = "tls"))]
mod tests {
    use super::*;
    use crate::config::{Overrides, parse};

    #[test]
    fn a_file_with_roots_is_told_by_its_field() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(path("empty.pem"), "").unwrap();
        let text = format!(
            r#"{{ "backends": [ {{ "url": "http://a" }}, {{ "url": "https://b", "ca": "{}" }} ],
                 "pools": {{ "api": {{ "backends": [ {{ "url": "https://c", "ca": "{}" }} ] }} }},
                 "routes": [ {{ "pool": "api", "forward_auth": {{ "url": "https://d/verify", "ca": "{}" }} }} ] }}"#,
            path("empty.pem"),
            path("missing.pem"),
            path("nowhere.pem"),
        );
        let config = parse(&text, &Overrides::default()).unwrap();
        let problems = read(&config).unwrap_err();
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(problems[2].starts_with("routes[0].forward_auth.ca: "), "{problems:?}");
        assert_eq!(names(&config), ["empty.pem", "missing.pem", "nowhere.pem"].map(path));
        assert!(problems[0].starts_with("backends[1].ca: ") && problems[0].contains("empty"), "{problems:?}");
        assert!(problems[1].starts_with("pools.api.backends[0].ca: "), "{problems:?}");
        assert!(problems[1].contains("No such file"), "{problems:?}");
    }
}
