//! A backend whose connections the test holds in its own hands; only probes are answered for it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use serde_json::{Value, json};

use super::wire::{self, Head};
use super::{Balancer, config, patience};

/// Listens on a port of its own.
pub struct ByHand {
    listener: TcpListener,
    address: SocketAddr,
    arrived: Receiver<Exchange>,
}

/// A request whose head has come, and the connection.
pub struct Exchange {
    /// The request's head.
    pub head: Head,
    reader: BufReader<TcpStream>,
    again: Sender<Exchange>,
}

impl ByHand {
    /// Starts to listen.
    pub fn start() -> ByHand {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, arrived) = unbounded();
        let accepting = listener.try_clone().unwrap();
        thread::spawn(move || {
            while let Ok((stream, _)) = accepting.accept() {
                stream.set_nodelay(true).unwrap();
                let sender = sender.clone();
                thread::spawn(move || await_head(BufReader::new(stream), sender));
            }
        });
        ByHand { listener, address, arrived }
    }

    /// A configuration with this backend alone; `more` is laid over it.
    pub fn config(&self, more: Value) -> Value {
        let mut config = config(&[], more);
        config["backends"] = self.entry();
        config
    }

    /// For a configuration.
    pub fn entry(&self) -> Value {
        json!([{ "url": format!("http://{}", self.address) }])
    }

    /// The next request.
    #[track_caller]
    pub fn next(&self) -> Exchange {
        self.arrived.recv_timeout(patience()).expect("a request")
    }

    /// The next request, if one comes within this time.
    pub fn next_within(&self, time: Duration) -> Option<Exchange> {
        self.arrived.recv_timeout(time).ok()
    }

    /// Whether no request comes within this time.
    pub fn is_left_alone_for(&self, time: Duration) -> bool {
        self.next_within(time).is_none()
    }
}

/// One before a balancer with this laid over its configuration.
pub fn balancer_by_hand(more: Value) -> (ByHand, Balancer) {
    let backend = ByHand::start();
    let balancer = Balancer::start(backend.config(more));
    (backend, balancer)
}

impl Drop for ByHand {
    fn drop(&mut self) {
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Read);
    }
}

/// Answers probes, and hands over the first other request. An error is the other side's end.
fn await_head(mut reader: BufReader<TcpStream>, sender: Sender<Exchange>) {
    reader.get_ref().set_read_timeout(None).unwrap();
    while let Ok(Some(head)) = wire::read_head(&mut reader, &mut Vec::new()) {
        if !head.start.contains(" /health ") {
            reader.get_ref().set_read_timeout(Some(patience())).unwrap();
            let again = sender.clone();
            let _ = sender.send(Exchange { head, reader, again });
            return;
        }
        if reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").is_err() {
            return;
        }
    }
}

impl Exchange {
    /// The request's target.
    pub fn target(&self) -> &str {
        self.head.start.split(' ').nth(1).unwrap()
    }

    /// Sends these bytes.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.reader.get_mut().write_all(bytes.as_ref()).expect("the connection is open");
    }

    /// Sends these bytes to one that may have closed already.
    pub fn send_if_open(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.reader.get_mut().write_all(bytes.as_ref());
    }

    /// The request's body, which has to be whole.
    ///
    /// # Errors
    /// It is not.
    pub fn try_read_body(&mut self) -> io::Result<Vec<u8>> {
        let mut raw = Vec::new();
        if self.head.is_chunked() {
            wire::read_chunked(&mut self.reader, &mut raw)
        } else {
            wire::read_length(&mut self.reader, &mut raw, self.head.content_length().unwrap_or(0))
        }
    }

    /// Exactly so many bytes of what comes next.
    #[track_caller]
    pub fn read(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.reader.read_exact(&mut bytes).expect("that much comes");
        bytes
    }

    /// Reads until the other side ends; `false` where it does not.
    pub fn is_ended_within(&mut self, time: Duration) -> bool {
        self.reader.get_ref().set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let deadline = Instant::now() + time;
        while Instant::now() < deadline {
            match self.reader.fill_buf().map(<[u8]>::len) {
                Ok(0) => return true,
                Ok(amount) => self.reader.consume(amount),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return true,
            }
        }
        false
    }

    /// The connection, for more than one thread.
    pub fn stream(&self) -> TcpStream {
        self.reader.get_ref().try_clone().unwrap()
    }

    /// Ends our side only.
    pub fn end_sending(&self) {
        let _ = self.reader.get_ref().shutdown(Shutdown::Write);
    }

    /// Waits for the next request on this connection; it arrives as every other.
    pub fn keep_alive(self) {
        thread::spawn(move || await_head(self.reader, self.again));
    }
}
