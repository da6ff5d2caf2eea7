//! Reads certificates with their keys, as a configuration names them, and describes pairs that don't match.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{Error, InconsistentKeys};

use super::pem::{self, Contents, USABLE_KEYS};
use crate::config::CertificateConfig;

type Chain = Vec<CertificateDer<'static>>;
/// The two files of one pair.
type Pair = (Chain, Arc<dyn SigningKey>);

/// Reads all pairs.
///
/// # Errors
/// Each wrong field, by its path, with the file and what would be right.
pub(super) fn read(
    certificates: &[CertificateConfig],
    provider: &CryptoProvider,
) -> Result<Vec<Arc<CertifiedKey>>, Vec<String>> {
    let mut problems = Vec::new();
    let mut pairs: Vec<Option<Pair>> = Vec::new();
    for (index, files) in certificates.iter().enumerate() {
        let read = read_pair(files, provider);
        let field = |(field, problem): (&str, String)| format!("tls.certificates[{index}]{field}: {problem}");
        pairs.push(read.map_err(|found| problems.extend(found.into_iter().map(field))).ok());
    }
    let mut keys = Vec::new();
    for (index, pair) in pairs.iter().enumerate() {
        let Some((chain, key)) = pair else { continue };
        match fits(chain, key) {
            Ok(key) => keys.push(Arc::new(key)),
            Err(None) => problems.push(misfit(certificates, &pairs, index)),
            Err(Some(error)) => {
                let file = &certificates[index].certificate;
                problems.push(format!("tls.certificates[{index}].certificate: {file}: {error}"));
            }
        }
    }
    if problems.is_empty() { Ok(keys) } else { Err(problems) }
}

fn read_pair(
    files: &CertificateConfig,
    provider: &CryptoProvider,
) -> Result<Pair, Vec<(&'static str, String)>> {
    let chain = Contents::read(&files.certificate);
    let key = Contents::read(&files.private_key);
    if let (Ok(chain), Ok(key)) = (&chain, &key)
        && chain.is_a_key()
        && key.is_a_certificate()
    {
        let text = format!(
            "certificate and private_key are mixed up: {} has the key, and {} the certificate",
            files.certificate, files.private_key
        );
        return Err(vec![("", text)]);
    }
    let chain = chain.and_then(Contents::into_certificates);
    let key = key.and_then(Contents::into_key).and_then(|secret| {
        let kind = pem::unusable_kind(&secret);
        provider.key_provider.load_private_key(secret).map_err(|_| {
            format!(
                "{}: {kind}, which can't be used here; write one that is {USABLE_KEYS}",
                files.private_key
            )
        })
    });
    match (chain, key) {
        (Ok(chain), Ok(key)) => Ok((chain, key)),
        (chain, key) => {
            let chain = chain.err().map(|problem| (".certificate", files.certificate.as_str(), problem));
            let key = key.err().map(|problem| (".private_key", files.private_key.as_str(), problem));
            // The configuration itself reports a missing file name.
            let found = chain.into_iter().chain(key).filter(|(_, file, _)| !file.is_empty());
            Err(found.map(|(field, _, problem)| (field, problem)).collect())
        }
    }
}

/// The certificate with its key; `Err(None)` if the key belongs to another certificate.
fn fits(
    chain: &[CertificateDer<'static>],
    key: &Arc<dyn SigningKey>,
) -> Result<CertifiedKey, Option<String>> {
    let pair = CertifiedKey::new(chain.to_vec(), Arc::clone(key));
    match pair.keys_match() {
        // Unknown: it can't be checked, so assume that they match.
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(pair),
        Err(Error::InconsistentKeys(_)) => Err(None),
        Err(error) => Err(Some(format!("its first certificate can't be used: {error}"))),
    }
}

/// Why a pair does not match: wrong order in the file, wrong order in the list, or neither.
fn misfit(certificates: &[CertificateConfig], pairs: &[Option<Pair>], index: usize) -> String {
    let CertificateConfig { certificate, private_key } = &certificates[index];
    let path = format!("tls.certificates[{index}]");
    let Some((chain, key)) = &pairs[index] else { return path };
    if let Some(place) = (1..chain.len()).find(|place| fits(&chain[*place..], key).is_ok()) {
        let place = place + 1;
        return format!(
            "{path}.certificate: {certificate}: {private_key} is the key of certificate {place} in it, which has to \
             come first; those that vouch for it follow"
        );
    }
    let is_owner = |pair: &&Option<Pair>| pair.as_ref().is_some_and(|(chain, _)| fits(chain, key).is_ok());
    match pairs.iter().position(|pair| is_owner(&pair)) {
        Some(owner) => format!(
            "{path}.private_key: {private_key}: the key of {} (tls.certificates[{owner}]), and not of {certificate}",
            certificates[owner].certificate
        ),
        None => format!("{path}.private_key: {private_key}: not the key of {certificate}"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

    use super::*;

    /// A folder with a chain of two (`chain.pem`, `chain.key`), the same in the wrong order
    /// (`upside_down.pem`), and another pair (`other.pem`, `other.key`).
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let (root, key, other) =
            (KeyPair::generate().unwrap(), KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&root).unwrap().pem();
        let issuer = Issuer::new(params, root);
        let issued = |key: &KeyPair| {
            CertificateParams::new(vec!["a.example".to_owned()]).unwrap().signed_by(key, &issuer).unwrap()
        };
        let own = issued(&key);
        write("chain.pem", &format!("{}{authority}", own.pem()));
        write("upside_down.pem", &format!("{authority}{}", own.pem()));
        write("chain.key", &key.serialize_pem());
        write("other.pem", &issued(&other).pem());
        write("other.key", &other.serialize_pem());
        write("public.pem", &key.public_key_pem());
        write("empty", "\n");
        write("text", "nothing of the kind");
        std::fs::write(folder.path().join("der"), own.der()).unwrap();
        folder
    }

    fn read_pairs(folder: &Path, pairs: &[(&str, &str)]) -> Result<(), Vec<String>> {
        let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/tls");
        let file = |name: &str| -> String {
            let here = folder.join(name);
            let file: PathBuf = if cases.join(name).exists() { cases.join(name) } else { here };
            file.display().to_string()
        };
        let pair = |(certificate, key): &(&str, &str)| CertificateConfig {
            certificate: file(certificate),
            private_key: file(key),
        };
        let pairs: Vec<_> = pairs.iter().map(pair).collect();
        read(&pairs, &rustls::crypto::ring::default_provider()).map(drop)
    }

    #[test]
    fn each_file_that_does_not_do_is_told_by_field_and_kind() {
        let folder = folder();
        let check = |certificate: &str, key: &str, field: &str, words: &str| {
            let problems = read_pairs(folder.path(), &[(certificate, key)]).expect_err(key);
            assert_eq!(problems.len(), 1, "{problems:?}");
            let path = format!("tls.certificates[0]{field}: ");
            assert!(problems[0].starts_with(&path) && problems[0].contains(words), "{problems:?}");
        };
        assert_eq!(
            read_pairs(folder.path(), &[("chain.pem", "chain.key"), ("other.pem", "other.key")]),
            Ok(())
        );
        check("chain.key", "chain.pem", "", "mixed up");
        check("upside_down.pem", "chain.key", ".certificate", "is the key of certificate 2 in it");
        check("chain.pem", "other.key", ".private_key", "not the key of");
        check("chain.pem", "missing.key", ".private_key", "No such file");
        check("chain.key", "chain.key", ".certificate", "a private key, where a certificate belongs");
        check("chain.pem", "other.pem", ".private_key", "a certificate, where a private key belongs");
        check("chain.pem", "public.pem", ".private_key", "a public key");
        check("empty", "chain.key", ".certificate", "empty; it should hold a certificate");
        check("chain.pem", "empty", ".private_key", "empty; it should hold a private key");
        check("text", "chain.key", ".certificate", "no \"-----BEGIN CERTIFICATE-----\"");
        check("der", "chain.key", ".certificate", "binary, and not in PEM form");
        check("chain.pem", "encrypted.key", ".private_key", "encrypted");
        check("chain.pem", "encrypted_old_form.key", ".private_key", "encrypted");
        check("chain.pem", "p521.key", ".private_key", "ECDSA key on P-521");
        check("chain.pem", "p521_old_form.key", ".private_key", "ECDSA key on P-521");
        check("chain.pem", "rsa1024.key", ".private_key", "RSA key of another size");
        check("chain.pem", "rsa1024_old_form.key", ".private_key", "RSA key of another size");
    }

    #[test]
    fn keys_in_another_order_than_their_certificates_are_told_so() {
        let folder = folder();
        let problems =
            read_pairs(folder.path(), &[("chain.pem", "other.key"), ("other.pem", "chain.key")]).unwrap_err();
        assert!(problems[0].starts_with("tls.certificates[0].private_key: "), "{problems:?}");
        assert!(problems[0].contains("(tls.certificates[1])"), "{problems:?}");
        assert!(problems[1].contains("(tls.certificates[0])"), "{problems:?}");
    }
}
