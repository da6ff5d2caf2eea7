//! Files with user names and hashed passwords, as written by `htpasswd -B`.

/// Prefixes of bcrypt hashes. The other formats of htpasswd are too weak against guessing.
const BCRYPT: [&str; 3] = ["$2y$", "$2b$", "$2a$"];
/// Limit of users in a file; more belong in a directory service.
const MOST_USERS: usize = 10_000;

/// The user names and their hashes, in the file's order.
///
/// # Errors
/// A message for operators: the line and what is wrong with it, without the line's content.
pub fn users(content: &[u8]) -> Result<Vec<(String, String)>, String> {
    let text = std::str::from_utf8(content).map_err(|_| "is not UTF-8 text".to_owned())?;
    let mut users: Vec<(String, String)> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, hash) = line.split_once(':').ok_or_else(|| format!("line {number} is not NAME:HASH"))?;
        if !BCRYPT.iter().any(|kind| hash.starts_with(kind)) || hash.len() != 60 {
            return Err(format!("line {number} has no bcrypt hash; write it with htpasswd -B"));
        }
        if users.iter().any(|(known, _)| known == name) {
            return Err(format!("line {number} has a name that an earlier line has"));
        }
        users.push((name.to_owned(), hash.to_owned()));
        if users.len() > MOST_USERS {
            return Err(format!("has more than {MOST_USERS} names"));
        }
    }
    if users.is_empty() { Err("names nobody".to_owned()) } else { Ok(users) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_names_and_bcrypt_hashes_and_mistakes_tell_no_secret() {
        let hash = format!("$2y$05${}", "a".repeat(53));
        let read = users(format!("# people\n\nalice:{hash}\r\nbob:{hash}\n").as_bytes()).unwrap();
        assert_eq!(read.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["alice", "bob"]);
        for (text, word) in [
            ("alice:{SHA}c2VjcmV0\n".to_owned(), "line 1 has no bcrypt hash"),
            ("alice:secret".to_owned(), "htpasswd -B"),
            ("secret".to_owned(), "NAME:HASH"),
            (format!("a:{hash}\na:{hash}"), "line 2 has a name"),
            ("# nobody".to_owned(), "names nobody"),
        ] {
            let error = users(text.as_bytes()).unwrap_err();
            assert!(error.contains(word) && !error.contains("secret"), "{error}");
        }
    }
}
