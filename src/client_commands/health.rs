//! `loadbalancer health`: asks the running balancer's `/lb-health` and returns an exit status, for a
//! container's health check. Uses only the listeners' settings in the configuration: a mistake elsewhere in
//! the file does not make a process unhealthy that still runs with the previous configuration.

use std::fmt;
use std::io::{self, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use socket2::Socket;

use super::Failure;
use crate::config::{self, Config, ConfigErrors, ListenAddress, Overrides};
use crate::http_client::{Whole, read_answer};
use crate::transport::connect_unix;

/// Time limit for the whole command; shorter than the caller's own limit (30 s in Docker, 5 s in our
/// manifests).
const LIMIT: Duration = Duration::from_secs(3);
/// Shortest timeout of a socket; the system takes zero for no timeout.
const MIN_WAIT: Duration = Duration::from_millis(1);
/// The PROXY header (version 1) of a proxy that speaks for itself.
const FOR_ITSELF: &str = "PROXY UNKNOWN\r\n";

/// A listener to ask.
#[derive(Debug, PartialEq, Eq)]
struct Candidate {
    at: ListenAddress,
    /// Whether the listener expects a PROXY header.
    wants_proxy_header: bool,
    /// The admin listener's token.
    token: Option<String>,
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            ListenAddress::Tcp(address) => address.fmt(f),
            ListenAddress::Unix { path, .. } => write!(f, "unix:{path}"),
        }
    }
}

/// Returns the text to print if the balancer is healthy.
///
/// # Errors
/// Why it is not healthy, or why it could not be asked.
pub fn run(file: Option<&Path>, overrides: &Overrides) -> Result<String, Failure> {
    let config = match config::load(file, overrides) {
        Ok(config) => config,
        Err(mistakes) => of_listeners(mistakes)?,
    };
    ask_all(&candidates(&config), LIMIT)
}

/// The configuration despite its mistakes, if they don't concern the listeners.
fn of_listeners(mistakes: ConfigErrors) -> Result<Config, Failure> {
    let is_of_listeners =
        |path: &str| ["listen", "LB_LISTEN", "proxy_protocol"].iter().any(|name| path.starts_with(name));
    let spoilt = mistakes.mistakes().iter().any(|mistake| is_of_listeners(&mistake.path));
    match mistakes.rest().filter(|_| !spoilt) {
        Some(config) => Ok(config.clone()),
        None => Err(Failure::Usage(mistakes.to_string().trim_end().to_owned())),
    }
}

/// The plain listeners, then the admin listener. `proxy_protocol_from` may close the former to this machine,
/// but never the latter.
fn candidates(config: &Config) -> Vec<Candidate> {
    let is_open = !config.proxy_protocol || config.may_send_proxy_header(Ipv4Addr::LOCALHOST.into());
    let plain = config.listen.iter().filter(|_| is_open).flat_map(reachable);
    let plain = plain.map(|at| Candidate { at, wants_proxy_header: config.proxy_protocol, token: None });
    let admin = config.admin.iter().flat_map(|admin| {
        let to = |at| Candidate { at, wants_proxy_header: false, token: admin.token.clone() };
        reachable(&ListenAddress::Tcp(admin.listen)).into_iter().map(to)
    });
    plain.chain(admin).collect()
}

/// How this machine reaches a listener.
fn reachable(listen: &ListenAddress) -> Vec<ListenAddress> {
    match listen.tcp() {
        Some(address) => super::reachable(address).into_iter().map(ListenAddress::Tcp).collect(),
        None => vec![listen.clone()],
    }
}

/// The first listener that answers decides.
fn ask_all(candidates: &[Candidate], limit: Duration) -> Result<String, Failure> {
    let deadline = Instant::now() + limit;
    let mut failures = Vec::new();
    for candidate in candidates {
        match ask(candidate, deadline) {
            Ok(answer) => return verdict(candidate, &answer),
            Err(error) => failures.push(format!("{candidate}: {}", words(&error))),
        }
    }
    Err(Failure::Run(match failures.is_empty() {
        true => "nobody to ask: `listen` has port 0, which the system chooses anew at each start, or \
                 `proxy_protocol_from` does not name 127.0.0.1, and there is no `admin` listener"
            .to_owned(),
        false => format!("no answer from {}", failures.join("; ")),
    }))
}

fn verdict(candidate: &Candidate, answer: &Whole) -> Result<String, Failure> {
    let text = String::from_utf8_lossy(&answer.body);
    // Escaped, since another program may have answered.
    let line: String = text.lines().next().unwrap_or_default().escape_debug().take(200).collect();
    match (answer.status, answer.field("x-lb-reason")) {
        (200, _) if line == "ok" => Ok(format!("{line}\n")),
        (503, Some(_)) => Err(Failure::Run(line)),
        (401, _) => {
            Err(Failure::Run(format!("{candidate} wants another admin.token than the configuration has")))
        }
        (status, _) => Err(Failure::Run(format!(
            "{candidate} answers {status}, which is not this balancer's /lb-health"
        ))),
    }
}

fn ask(candidate: &Candidate, deadline: Instant) -> io::Result<Whole> {
    let mut wire = Wire { socket: connect(&candidate.at, deadline)?, deadline };
    let preface = if candidate.wants_proxy_header { FOR_ITSELF } else { "" };
    let token = candidate.token.as_ref().map(|token| format!("Authorization: Bearer {token}\r\n"));
    let host = match &candidate.at {
        ListenAddress::Tcp(address) => address.to_string(),
        ListenAddress::Unix { .. } => "localhost".to_owned(),
    };
    let agent = concat!("loadbalancer/", env!("CARGO_PKG_VERSION"), " (health)");
    let request = format!(
        "{preface}GET /lb-health HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\n{}Connection: close\r\n\r\n",
        token.unwrap_or_default()
    );
    wire.write_all(request.as_bytes())?;
    read_answer(&mut BufReader::new(wire))
}

fn connect(at: &ListenAddress, deadline: Instant) -> io::Result<Socket> {
    let limit = left_until(deadline)?;
    match at {
        ListenAddress::Tcp(address) => TcpStream::connect_timeout(address, limit).map(Socket::from),
        ListenAddress::Unix { path, .. } => connect_unix(path, limit).map(Socket::from),
    }
}

/// The time left for a wait.
fn left_until(deadline: Instant) -> io::Result<Duration> {
    match deadline.saturating_duration_since(Instant::now()) {
        left if left.is_zero() => Err(io::ErrorKind::TimedOut.into()),
        left => Ok(left.max(MIN_WAIT)),
    }
}

fn words(error: &io::Error) -> String {
    match error.kind() {
        // A socket timeout is reported as `WouldBlock`.
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "timed out".to_owned(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
            "closed the connection without an answer".to_owned()
        }
        _ => error.to_string(),
    }
}

/// A connection with one deadline for everything that is read and written.
struct Wire {
    socket: Socket,
    deadline: Instant,
}

impl Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(left_until(self.deadline)?))?;
        self.socket.read(buf)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(left_until(self.deadline)?))?;
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    fn asked(text: &str) -> Vec<String> {
        let config = config::parse(text, &Overrides::default()).unwrap();
        let with = |it: &Candidate| if it.wants_proxy_header { " with PROXY" } else { "" };
        candidates(&config).iter().map(|it| format!("{it}{}", with(it))).collect()
    }

    #[test]
    fn a_listener_is_asked_where_this_machine_finds_it() {
        for (text, expected) in [
            ("{}", &["127.0.0.1:8080"][..]),
            (r#"{ "listen": ":81" }"#, &["127.0.0.1:81", "[::1]:81"]),
            (r#"{ "listen": "192.0.2.1:81" }"#, &["192.0.2.1:81"]),
            (r#"{ "listen": ["unix:/a?mode=0600", "[::1]:81"] }"#, &["unix:/a", "[::1]:81"]),
            (r#"{ "listen": "0.0.0.0:0" }"#, &[]),
            (r#"{ "listen": ":0", "admin": { "listen": "127.0.0.1:9" } }"#, &["127.0.0.1:9"]),
            (r#"{ "proxy_protocol": true }"#, &["127.0.0.1:8080 with PROXY"]),
            (
                r#"{ "proxy_protocol": true, "proxy_protocol_from": ["10.0.0.0/8"], "admin": { "listen": ":9", "token": "0123456789abcdef" } }"#,
                &["127.0.0.1:9", "[::1]:9"],
            ),
        ] {
            assert_eq!(asked(text), expected, "{text}");
        }
    }

    /// The result of asking a server that sends these pieces, one every few milliseconds.
    fn told(pieces: &'static [&'static str], limit: Duration) -> Result<String, String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = ListenAddress::Tcp(listener.local_addr().unwrap());
        thread::spawn(move || {
            let (mut peer, _) = listener.accept().unwrap();
            let _ = peer.read(&mut [0; 1024]);
            pieces.iter().all(|piece| {
                thread::park_timeout(Duration::from_millis(20));
                peer.write_all(piece.as_bytes()).is_ok()
            });
        });
        let port = at.tcp().unwrap().port().to_string();
        let candidate = Candidate { at, wants_proxy_header: false, token: None };
        ask_all(&[candidate], limit).map_err(|failure| match failure {
            Failure::Usage(text) | Failure::Run(text) => text.replace(&port, "PORT"),
        })
    }

    #[test]
    fn who_answers_decides_and_who_does_not_is_given_up() {
        let long = Duration::from_secs(30);
        let ok = &["HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"];
        assert_eq!(told(ok, long), Ok("ok\n".to_owned()));
        let drains = &["HTTP/1.1 503 X\r\nX-LB-Reason: draining\r\nContent-Length: 9\r\n\r\ndraining\n"];
        assert_eq!(told(drains, long), Err("draining".to_owned()));
        for other in [
            &["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"][..],
            &["HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n"],
        ] {
            assert!(told(other, long).unwrap_err().ends_with("which is not this balancer's /lb-health"));
        }
        let closes = told(&[], long).unwrap_err();
        assert_eq!(closes, "no answer from 127.0.0.1:PORT: closed the connection without an answer");
        let trickles = told(&["H"; 10_000], Duration::from_millis(200)).unwrap_err();
        assert!(trickles.ends_with("PORT: timed out"), "{trickles}");
    }

    #[test]
    fn a_mistake_elsewhere_in_the_file_does_not_matter() {
        let of = |text: &str| {
            let mistakes = config::parse(text, &Overrides::default()).unwrap_err();
            of_listeners(mistakes).map(|config| config.listen).map_err(|failure| match failure {
                Failure::Usage(text) | Failure::Run(text) => text,
            })
        };
        let listen = of(r#"{ "listen": "127.0.0.1:81", "workers": "many" }"#).unwrap();
        assert_eq!(listen, ["127.0.0.1:81".parse::<std::net::SocketAddr>().map(ListenAddress::Tcp).unwrap()]);
        assert!(of(r#"{ "listen": 5 }"#).unwrap_err().contains("listen: found the number 5"));
        assert!(of("{").is_err());
    }
}
