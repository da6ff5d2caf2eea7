//! Configuration files and the URLs in them.

use loadbalancer::config::{BackendUrl, Config, ConfigErrors, Overrides, parse};

fn read(text: &str) -> Result<Config, ConfigErrors> {
    parse(text, &Overrides::default())
}

/// Input: a configuration file.
///
/// No text makes it panic. What is wrong is said on one line a mistake. What is right reads back from
/// its own words as the same.
pub fn config_text(input: &[u8]) {
    match read(&String::from_utf8_lossy(input)) {
        Ok(config) => {
            let written = config.to_json().to_string();
            assert_eq!(read(&written).as_ref(), Ok(&config), "reads back otherwise: {written}");
        }
        Err(errors) => {
            let said = errors.to_string();
            assert!(!errors.mistakes().is_empty(), "refused without a reason");
            assert_eq!(said.lines().count(), errors.mistakes().len(), "not a line a mistake: {said}");
            assert!(!said.chars().any(|c| c.is_control() && c != '\n'), "raw controls: {said:?}");
        }
    }
}

/// Input: a backend's URL.
///
/// It has one written form, which reads back as the same, also within a configuration; nothing in it
/// can end a line, a header or the host. What is refused is not repeated where it may be a password.
pub fn url(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let in_a_file = read(&format!("{{\"backends\": [{{\"url\": {}}}]}}", json_string(&text)));
    match BackendUrl::parse(&text) {
        Ok(url) => {
            let written = url.to_string();
            let again = BackendUrl::parse(&written);
            assert_eq!(again.as_ref(), Ok(&url), "{written:?} reads back otherwise");
            assert!(!written.chars().any(|c| c.is_control() || c.is_whitespace()), "{written:?}");
            check_parts(&url);
            // A kind of URL may not be supported yet, so an error proves nothing.
            if let Ok(config) = in_a_file {
                assert_eq!(config.default_pool.backends[0].url, url, "another URL in a file");
            }
        }
        Err(message) => {
            assert!(in_a_file.is_err(), "refused alone, taken in a file: {text:?}");
            assert_eq!(message.lines().count(), 1, "not one line: {message:?}");
            assert!(!message.chars().any(char::is_control), "raw controls: {message:?}");
            assert!(!(text.contains('@') && message.contains('@')), "may be a password: {message:?}");
        }
    }
}

fn check_parts(url: &BackendUrl) {
    match url {
        BackendUrl::Http { host, port } | BackendUrl::Https { host, port } => {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.:".contains(&b);
            assert!(!host.is_empty() && host.bytes().all(plain), "host {host:?}");
            assert!(!host.bytes().any(|b| b.is_ascii_uppercase()), "host {host:?}");
            assert!(*port > 0);
        }
        BackendUrl::Unix { path } => assert!(path.starts_with('/'), "path {path:?}"),
    }
}

fn json_string(text: &str) -> String {
    let mut json = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            c if u32::from(c) < 0x20 => json.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => json.push(c),
        }
    }
    json.push('"');
    json
}
