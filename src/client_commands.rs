//! Commands that ask a running balancer: `loadbalancer explain` asks its admin listener and prints the answer
//! for people; `loadbalancer health` is in [`health`].

pub mod health;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use serde_json::Value;

use crate::cli::Question;
use crate::config::{AdminConfig, Config};
use crate::http::percent::encoded;

/// Time limit for the whole answer.
const LIMIT: Duration = Duration::from_secs(5);

/// No answer is longer.
const MAX_PAGE_BYTES: u64 = 16 << 20;

/// Why there is no answer.
pub enum Failure {
    /// The configuration has no admin listener to ask.
    Usage(String),
    /// The balancer could not be asked, or does not know the answer.
    Run(String),
}

/// Asks, and returns the text to print.
///
/// # Errors
/// See [`Failure`].
pub fn run(config: &Config, question: &Question) -> Result<String, Failure> {
    let Some(admin) = &config.admin else {
        let text = "explain asks the admin listener, and this configuration has none: set \
                    \"admin\": { \"listen\": \"127.0.0.1:9090\" }";
        return Err(Failure::Usage(text.to_owned()));
    };
    let asked = |address: &SocketAddr| ask(*address, admin, &target(question), LIMIT);
    let (mut addresses, mut last) = (reachable(admin.listen).into_iter(), None);
    let (status, body) = loop {
        let Some(address) = addresses.next() else {
            return Err(Failure::Run(
                last.unwrap_or_else(|| format!("{} is no address to ask", admin.listen)),
            ));
        };
        match asked(&address) {
            Ok(answer) => break answer,
            Err(error) => last = Some(format!("cannot ask the admin listener at {address}: {error}")),
        }
    };
    match (status, serde_json::from_slice::<Value>(&body)) {
        (200, Ok(page)) => Ok(match page["slowest"].as_array() {
            Some(pages) => table(pages),
            None => text(&page),
        }),
        _ => Err(Failure::Run(String::from_utf8_lossy(&body).trim().to_owned())),
    }
}

/// How this machine reaches a listener: one on all addresses at a loopback address. `[::]` stands for both
/// families, of which the machine may have only one. A listener on port 0 can't be found.
pub fn reachable(listen: SocketAddr) -> Vec<SocketAddr> {
    let (four, six) = (IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST));
    let ips = match listen.ip() {
        _ if listen.port() == 0 => vec![],
        ip if !ip.is_unspecified() => vec![ip],
        IpAddr::V4(_) => vec![four],
        IpAddr::V6(_) => vec![four, six],
    };
    ips.into_iter().map(|ip| SocketAddr::new(ip, listen.port())).collect()
}

fn target(question: &Question) -> String {
    let pairs = [
        ("id", &question.id),
        ("client", &question.client),
        ("path", &question.path),
        ("host", &question.host),
        ("slowest", &question.slowest),
    ];
    let given = pairs.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    let query: Vec<String> = given
        .map(|(name, value)| {
            format!("{name}={}", encoded(value.as_bytes(), |byte| byte.is_ascii_alphanumeric()))
        })
        .collect();
    format!("/explain?{}", query.join("&"))
}

fn ask(
    address: SocketAddr,
    admin: &AdminConfig,
    target: &str,
    limit: Duration,
) -> Result<(u16, Vec<u8>), ureq::Error> {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .timeout_global(Some(limit))
        .build();
    let mut request = ureq::Agent::new_with_config(config).get(format!("http://{address}{target}"));
    if let Some(token) = &admin.token {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    let mut answer = request.call()?;
    let page = answer.body_mut().with_config().limit(MAX_PAGE_BYTES).read_to_vec()?;
    Ok((answer.status().as_u16(), page))
}

/// A table with one line for each of the slowest requests, with how its time was spent.
fn table(pages: &[Value]) -> String {
    let columns = ["took_ms", "queue_ms", "connect_ms", "backend_ms", "client_ms"];
    let heads: Vec<String> = columns.iter().map(|name| format!("{name:>11}")).collect();
    let mut text = format!("{}  status  request_id, request\n", heads.join(""));
    for page in pages {
        for name in columns {
            text.push_str(&format!("{:>11.1}", page[name].as_f64().unwrap_or_default()));
        }
        let word = |name: &str| page[name].as_str().unwrap_or("-");
        text.push_str(&format!("  {:>6}  {} {}\n", page["status"], word("id"), word("request")));
    }
    text
}

/// The sentence, then each attempt with the reasons against the other backends.
fn text(page: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let mut text = format!("{}\n", word(&page["sentence"]));
    let attempts = page["attempts"].as_array().cloned().unwrap_or_else(|| vec![page.clone()]);
    for attempt in attempts.iter().filter(|attempt| attempt["others"].is_array()) {
        text.push_str(&format!("\n  {}  {}", word(&attempt["backend"]), word(&attempt["why"])));
        if let (Some(fate), Some(took)) = (attempt["fate"].as_str(), attempt["took_ms"].as_f64()) {
            text.push_str(&format!("; {fate} after {took} ms"));
        }
        text.push('\n');
        for other in attempt["others"].as_array().into_iter().flatten() {
            text.push_str(&format!("    not {}  {}\n", word(&other["backend"]), word(&other["lost"])));
        }
        if let Some(more) = attempt["others_not_shown"].as_u64() {
            text.push_str(&format!("    and {more} more\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;
    use std::thread;
    use std::time::Instant;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_listener_on_all_addresses_is_asked_in_each_family_that_it_may_have() {
        let check = |listen: &str, expected: &[&str]| {
            let found: Vec<String> =
                reachable(listen.parse().unwrap()).iter().map(ToString::to_string).collect();
            assert_eq!(found, expected, "{listen}");
        };
        check("[::]:9090", &["127.0.0.1:9090", "[::1]:9090"]);
        check("0.0.0.0:9090", &["127.0.0.1:9090"]);
        check("192.0.2.1:9090", &["192.0.2.1:9090"]);
        check("127.0.0.1:0", &[]);
    }

    #[test]
    fn a_question_becomes_a_query() {
        let question = Question {
            client: Some("2001:db8::1".into()),
            path: Some("/a b&c".into()),
            ..Question::default()
        };
        assert_eq!(target(&question), "/explain?client=2001%3Adb8%3A%3A1&path=%2Fa%20b%26c");
    }

    #[test]
    fn a_page_becomes_lines() {
        let page = json!({ "sentence": "It went.", "attempts": [
            { "backend": "http://a", "why": "its turn", "fate": "answered 200", "took_ms": 1.5,
              "others": [{ "backend": "http://b", "lost": "not its turn" }], "others_not_shown": 3 } ] });
        let expected = "It went.\n\n  http://a  its turn; answered 200 after 1.5 ms\n    \
                        not http://b  not its turn\n    and 3 more\n";
        assert_eq!(text(&page), expected);
        assert_eq!(text(&json!({ "sentence": "It was limited." })), "It was limited.\n");
    }

    #[test]
    fn a_page_that_trickles_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut peer, _) = listener.accept().unwrap();
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
            // Would take five hours.
            head.iter().chain(&[b'x'; 1_000_000]).all(|byte| {
                thread::park_timeout(Duration::from_millis(20));
                peer.write_all(&[*byte]).is_ok()
            });
        });
        let (admin, begun) = (AdminConfig { listen, token: None }, Instant::now());
        let error = ask(listen, &admin, "/explain", Duration::from_millis(300)).unwrap_err();
        assert!(error.to_string().contains("timeout"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    }
}
