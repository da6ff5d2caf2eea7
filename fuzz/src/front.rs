//! A whole connection: the real front on loopback, and an application that says what it was asked.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::Duration;

use loadbalancer::client_side::ClientSide;
use loadbalancer::config::ListenAddress;
use loadbalancer::frontend::{
    ClientLimits, ClientRequest, Dispatch, Front, FrontSettings, ListenSocket, Listener,
};
use loadbalancer::http::Headers;

/// The longest input that is sent byte by byte.
const MAX_BYTES: usize = 2048;
/// No answer takes that long here.
const PATIENCE: Duration = Duration::from_secs(30);

/// Hands requests to a thread: the front's own must not wait.
struct Application(crossbeam_channel::Sender<ClientRequest>);

impl Dispatch for Application {
    fn take(&self, request: ClientRequest) {
        let _ = self.0.send(request);
    }
}

fn answer(mut request: ClientRequest) {
    if request.flaw().is_some() {
        let mut headers = Headers::default();
        headers.push("X-FramingError", b"yes");
        request.responder.close_after();
        let _ = request.answer(400, headers, b"");
        return;
    }
    let (mut length, mut buffer) = (0, [0; 512]);
    loop {
        match request.responder.read(&mut buffer) {
            Ok(0) => break,
            Ok(bytes) => length += bytes,
            // A body that breaks off has no answer, and its connection is closed.
            Err(_) => return,
        }
    }
    let text = format!("{} {} {length}\n", request.head.method, request.head.target);
    let _ = request.answer(200, Headers::default(), text.as_bytes());
}

fn start() -> io::Result<Front> {
    let (sender, requests) = crossbeam_channel::unbounded();
    thread::spawn(move || requests.into_iter().for_each(answer));
    let limits = || ClientLimits {
        client_header: PATIENCE,
        client_idle: PATIENCE,
        client_body: PATIENCE,
        client_write: PATIENCE,
        max_header_bytes: 8 << 10,
        max_connections: 64,
        max_connections_per_ip: None,
    };
    let how = FrontSettings {
        tls: None,
        proxy_protocol: false,
        may_send_proxy_header: Box::new(|_| false),
        traffic: Arc::default(),
    };
    let address = ListenAddress::Tcp(([127, 0, 0, 1], 0).into());
    Front::start(ListenSocket::bind(&address)?, how, limits, Arc::new(Application(sender)))
}

static FRONT: LazyLock<Option<Front>> = LazyLock::new(|| start().ok());

/// All that comes back, without what differs from time to time.
fn ask(front: &Front, pieces: impl Iterator<Item = impl AsRef<[u8]>>) -> io::Result<String> {
    let address = front.address().tcp().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let mut client = TcpStream::connect(address)?;
    client.set_nodelay(true)?;
    client.set_read_timeout(Some(PATIENCE))?;
    for piece in pieces {
        // What is left when the front has closed is nobody's.
        if client.write_all(piece.as_ref()).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Write);
    let mut answers = Vec::new();
    match client.read_to_end(&mut answers) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("no end after {PATIENCE:?}"),
        _ => {}
    }
    let text = String::from_utf8_lossy(&answers).replace("HTTP/1.1 100 Continue\r\n\r\n", "");
    Ok(text
        .lines()
        .filter(|line| !line.starts_with("Date: ") && !line.starts_with("X-Request-ID: "))
        .collect::<Vec<_>>()
        .join("\n"))
}

/// However a connection's bytes are cut, the same requests come of them, and the same answers; each is a whole answer
/// with a status that the front or the application gives; and the connection ends when the client's half does.
pub fn front_connection(input: &[u8]) {
    let input = &input[..input.len().min(MAX_BYTES)];
    let Some(front) = FRONT.as_ref() else { panic!("no front on loopback") };
    let Ok(whole) = ask(front, std::iter::once(input)) else { return };
    for status in whole.lines().filter_map(|line| line.strip_prefix("HTTP/1.1 ")) {
        let known = ["200", "400", "408", "413", "414", "431", "501", "505"];
        assert!(known.contains(&&status[..3]), "{status:?}");
    }
    // What follows a request to upgrade is the tunnel's if it is there in time; else it begins another request.
    if input.to_ascii_lowercase().windows(7).any(|word| word == b"upgrade") {
        return;
    }
    for step in [1, 7, 64] {
        let Ok(cut) = ask(front, input.chunks(step)) else { continue };
        assert_eq!(whole, cut, "in pieces of {step}");
    }
}
