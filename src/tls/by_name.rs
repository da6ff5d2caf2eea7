//! Chooses a certificate by the name that the client asks for (SNI). The names are read from the certificates
//! once, so that a handshake's cost does not depend on their number.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use webpki::EndEntityCert;

/// Certificates by the names in them. An exact name is preferred to a `*` for it, and of several certificates
/// the first in the configuration.
#[derive(Debug)]
pub(super) struct ByName {
    keys: Vec<Arc<CertifiedKey>>,
    exact: HashMap<String, usize>,
    /// By the part behind `*.`
    wildcards: HashMap<String, usize>,
}

impl ByName {
    /// The first certificate is for clients that name no known host.
    pub fn new(keys: Vec<Arc<CertifiedKey>>) -> ByName {
        let (mut exact, mut wildcards) = (HashMap::new(), HashMap::new());
        for (index, key) in keys.iter().enumerate() {
            for name in key.cert.first().map(names_in).unwrap_or_default() {
                let (map, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut wildcards, parent),
                    None => (&mut exact, name.as_str()),
                };
                map.entry(name.to_owned()).or_insert(index);
            }
        }
        ByName { keys, exact, wildcards }
    }

    fn index_for(&self, name: Option<&str>) -> usize {
        let Some(name) = name.map(|name| name.trim_end_matches('.').to_ascii_lowercase()) else { return 0 };
        let by_wildcard = || self.wildcards.get(name.split_once('.')?.1);
        self.exact.get(&name).or_else(by_wildcard).copied().unwrap_or(0)
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.keys.get(self.index_for(hello.server_name())).map(Arc::clone)
    }
}

/// The certificate's DNS names in lower case; none if it can't be parsed.
pub(super) fn names_in(certificate: &CertificateDer<'_>) -> Vec<String> {
    let parsed = EndEntityCert::try_from(certificate);
    parsed.map_or_else(
        |_| Vec::new(),
        |certificate| certificate.valid_dns_names().map(str::to_ascii_lowercase).collect(),
    )
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::PrivateKeyDer;

    use super::*;

    fn key(names: &[&str]) -> Arc<CertifiedKey> {
        let secret = rcgen::KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let certificate = rcgen::CertificateParams::new(names).unwrap().self_signed(&secret).unwrap();
        let der = PrivateKeyDer::try_from(secret.serialize_der()).unwrap();
        let provider = rustls::crypto::ring::default_provider();
        Arc::new(CertifiedKey::from_der(vec![certificate.der().clone()], der, &provider).unwrap())
    }

    #[test]
    fn a_name_of_its_own_goes_before_a_wildcard_and_the_first_is_for_all_others() {
        let all = ByName::new(vec![
            key(&["first.example"]),
            key(&["*.example.com", "Upper.example"]),
            key(&["www.example.com", "first.example"]),
            key(&["127.0.0.1"]),
        ]);
        for (name, index) in [
            (None, 0),
            (Some("first.example"), 0),
            (Some("api.example.com"), 1),
            (Some("API.example.COM"), 1),
            (Some("upper.example"), 1),
            (Some("www.example.com"), 2),
            (Some("a.b.example.com"), 0),
            (Some("example.com"), 0),
            (Some("com"), 0),
            (Some("elsewhere.example"), 0),
        ] {
            assert_eq!(all.index_for(name), index, "{name:?}");
        }
    }
}
