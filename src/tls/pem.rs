//! Reads PEM files and describes what is wrong with them. Messages begin with the file's name.

use std::path::Path;

use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::read_regular;

/// Larger files hold no certificates: a system's whole store has 250 KB.
const MOST_FILE_BYTES: u64 = 4 << 20;

/// Supported kinds of keys, for messages.
pub(super) const USABLE_KEYS: &str = "ECDSA on P-256 or P-384, Ed25519, or RSA of 2048 to 4096 bits";

/// The sections of one file.
pub(super) struct Contents {
    file: String,
    bytes: Vec<u8>,
    certificates: Vec<CertificateDer<'static>>,
    keys: Vec<PrivateKeyDer<'static>>,
    others: Vec<SectionKind>,
}

/// The certificates in a file, at least one.
///
/// # Errors
/// What is wrong with the file.
pub(super) fn certificates(file: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    Contents::read(file)?.into_certificates()
}

impl Contents {
    /// Reads all sections of a file.
    ///
    /// # Errors
    /// The file can't be read, or is damaged.
    pub fn read(file: &str) -> Result<Contents, String> {
        let bytes = read_regular(Path::new(file), MOST_FILE_BYTES).map_err(|why| format!("{file}: {why}"))?;
        let (certificates, keys, others) = Default::default();
        let mut contents = Contents { file: file.to_owned(), bytes, certificates, keys, others };
        if contents.is_encrypted() {
            // An encrypted key in the old form would look damaged.
            return Ok(contents);
        }
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(&contents.bytes) {
            let (kind, der) = section.map_err(|error| format!("{file}: damaged: {error}"))?;
            match (kind, PrivateKeyDer::from_pem(kind, der.clone())) {
                (SectionKind::Certificate, _) => contents.certificates.push(der.into()),
                (_, Some(key)) => contents.keys.push(key),
                (other, None) => contents.others.push(other),
            }
        }
        Ok(contents)
    }

    /// Whether the file has a key and no certificate.
    pub fn is_a_key(&self) -> bool {
        self.certificates.is_empty() && (self.is_encrypted() || !self.keys.is_empty())
    }

    /// Whether the file has a certificate and no key.
    pub fn is_a_certificate(&self) -> bool {
        !self.certificates.is_empty() && self.keys.is_empty()
    }

    /// The certificates.
    ///
    /// # Errors
    /// There are none; says what the file holds instead.
    pub fn into_certificates(self) -> Result<Vec<CertificateDer<'static>>, String> {
        if !self.certificates.is_empty() {
            return Ok(self.certificates);
        }
        let instead = match self.others.first() {
            _ if self.is_a_key() => "a private key, where a certificate belongs",
            Some(SectionKind::Csr) => "a request for a certificate; an authority makes the certificate of it",
            _ => return Err(self.lacks("a certificate", "CERTIFICATE", "x509")),
        };
        Err(format!("{}: {instead}", self.file))
    }

    /// The first private key.
    ///
    /// # Errors
    /// There is none that can be read; says what the file holds instead.
    pub fn into_key(mut self) -> Result<PrivateKeyDer<'static>, String> {
        if self.is_encrypted() {
            let file = &self.file;
            return Err(format!(
                "{file}: encrypted, and there is nobody to ask for its passphrase; write the key without one: \
                 openssl pkey -in {file} -out NEW_FILE"
            ));
        }
        if !self.keys.is_empty() {
            return Ok(self.keys.swap_remove(0));
        }
        let instead = match self.others.first() {
            _ if self.is_a_certificate() => "a certificate, where a private key belongs",
            Some(SectionKind::PublicKey) => "a public key, where a private key belongs",
            _ => return Err(self.lacks("a private key", "PRIVATE KEY", "pkey")),
        };
        Err(format!("{}: {instead}", self.file))
    }

    fn lacks(&self, what: &str, label: &str, command: &str) -> String {
        /// The first byte of every certificate and key in DER, and of every PKCS #12 file.
        const SEQUENCE: u8 = 0x30;
        let file = &self.file;
        match self.bytes.first() {
            _ if self.bytes.trim_ascii().is_empty() => {
                format!("{file}: empty; it should hold {what} in PEM form")
            }
            Some(&SEQUENCE) => format!(
                "{file}: binary, and not in PEM form; openssl {command} -in {file} -out NEW_FILE makes PEM of DER"
            ),
            _ => format!(
                "{file}: there is no \"-----BEGIN {label}-----\" in it; it should hold {what} in PEM form"
            ),
        }
    }

    fn is_encrypted(&self) -> bool {
        let has = |text: &str| self.bytes.windows(text.len()).any(|part| part == text.as_bytes());
        has("-----BEGIN ENCRYPTED PRIVATE KEY-----") || has("Proc-Type: 4,ENCRYPTED")
    }
}

/// The kind of a key that can't be used.
pub(super) fn unusable_kind(key: &PrivateKeyDer<'_>) -> &'static str {
    // Object identifiers in DER.
    const KINDS: [(&[u8], &str); 6] = [
        (&[0x2b, 0x81, 0x04, 0x00, 0x23], "an ECDSA key on P-521"),
        (&[0x2b, 0x81, 0x04, 0x00, 0x0a], "an ECDSA key on secp256k1"),
        (&[0x2b, 0x65, 0x71], "an Ed448 key"),
        (&[0x2a, 0x86, 0x48, 0xce, 0x38, 0x04, 0x01], "a DSA key"),
        (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a], "a key for RSA-PSS alone"),
        (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01], "an RSA key of another size"),
    ];
    /// Searches the whole key: the identifier is near the beginning or, in the old form of elliptic keys,
    /// near the end. The random bytes between hardly ever contain such a sequence of five bytes.
    fn has(key: &[u8], identifier: &[u8]) -> bool {
        let tagged = [&[0x06, identifier.len() as u8], identifier].concat();
        key.windows(tagged.len()).any(|part| part == tagged)
    }
    let der = key.secret_der();
    match KINDS.iter().find(|(identifier, _)| has(der, identifier)) {
        Some((_, kind)) => kind,
        None if matches!(key, PrivateKeyDer::Pkcs1(_)) => "an RSA key of another size",
        None => "damaged, or a key of an unknown kind",
    }
}
