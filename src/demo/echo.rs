//! The echo backend, whose answers describe the request. Used by `loadbalancer demo`, by `backend_server` and
//! by the tests.
//!
//! Uses sockets and httparse with one thread for each connection: small enough to be sure of what it sends,
//! as a test backend must be.

use std::collections::HashMap;
use std::io::{self, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::requests::{self, Request};
use crate::shutdown::{ShutdownSignal, ShutdownTrigger, shutdown_pair};

/// Limit of connections; further ones are closed.
const MAX_CONNECTIONS: usize = 1024;
/// A connection that is silent for this long is closed.
const IDLE: Duration = Duration::from_secs(60);
/// Stack of a connection's thread.
const STACK_BYTES: usize = 256 << 10;

/// The behaviour of an echo backend.
#[derive(Debug, Clone, Default)]
pub struct EchoOptions {
    /// The server name in its answers.
    pub name: String,
    /// Delay of every answer except that to `/health`.
    pub latency: Duration,
    /// Whether to close the connection without an answer, except for `/health`.
    pub fail: bool,
}

/// A running echo backend; stops when dropped.
pub struct Echo {
    address: SocketAddr,
    listener: TcpListener,
    connections: Arc<Connections>,
    trigger: Option<ShutdownTrigger>,
}

#[derive(Default)]
struct Connections {
    next: AtomicU64,
    open: Mutex<HashMap<u64, TcpStream>>,
}

impl Echo {
    /// Starts answering on this listener.
    ///
    /// # Errors
    /// The operating system's, for the listener and the thread.
    pub fn start(listener: TcpListener, options: EchoOptions) -> io::Result<Echo> {
        let (trigger, shutdown) = shutdown_pair();
        let connections = Arc::new(Connections::default());
        let (accepting, table) = (listener.try_clone()?, Arc::clone(&connections));
        let address = listener.local_addr()?;
        let name = format!("echo-{}", address.port());
        thread::Builder::new()
            .name(name)
            .stack_size(STACK_BYTES)
            .spawn(move || accept(&accepting, &table, &Arc::new(options), &shutdown))?;
        Ok(Echo { address, listener, connections, trigger: Some(trigger) })
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the listener and all connections.
    pub fn stop(&mut self) {
        self.trigger = None;
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Read);
        for stream in self.connections.open.lock().values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop();
    }
}

fn accept(
    listener: &TcpListener,
    connections: &Arc<Connections>,
    options: &Arc<EchoOptions>,
    shutdown: &ShutdownSignal,
) {
    while let Ok((stream, _)) = listener.accept() {
        if shutdown.has_ended() {
            return;
        }
        let Ok(held) = stream.try_clone() else { continue };
        let number = connections.next.fetch_add(1, Relaxed);
        if connections.open.lock().len() >= MAX_CONNECTIONS {
            continue;
        }
        connections.open.lock().insert(number, held);
        let (table, options, shutdown) = (Arc::clone(connections), Arc::clone(options), shutdown.clone());
        let work = move || {
            // A client that breaks off is normal for a test backend.
            let _ = serve(stream, &options, &shutdown);
            if let Some(held) = table.open.lock().remove(&number) {
                let _ = held.shutdown(Shutdown::Both);
            }
        };
        if thread::Builder::new().name("echo-connection".into()).stack_size(STACK_BYTES).spawn(work).is_err()
        {
            connections.open.lock().remove(&number);
        }
    }
}

/// Answers requests one after the other.
fn serve(stream: TcpStream, options: &EchoOptions, shutdown: &ShutdownSignal) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(IDLE))?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::with_capacity(16 << 10, stream);
    while let Some(request) = requests::read_head(&mut reader)? {
        if request.expects_continue() {
            writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let body_bytes = requests::skip_body(&mut reader, &request)?;
        let is_health = request.path() == "/health";
        if !is_health && (options.fail || (!options.latency.is_zero() && shutdown.wait(options.latency))) {
            return Ok(());
        }
        writer.write_all(&answer(&request, options, body_bytes))?;
        if !request.keep_alive() {
            return Ok(());
        }
    }
    Ok(())
}

fn answer(request: &Request, options: &EchoOptions, body_bytes: u64) -> Vec<u8> {
    let page = json!({
        "server": options.name,
        "method": request.method,
        "path": request.target,
        "headers": headers(request),
        "body_bytes": body_bytes,
    });
    let mut body = page.to_string();
    body.push('\n');
    let length = body.len();
    let connection = request.connection_field();
    let mut text = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{connection}\r\n"
    );
    if request.method != "HEAD" {
        text.push_str(&body);
    }
    text.into_bytes()
}

/// The fields by lower-case name; a repeated field becomes a list of its values.
fn headers(request: &Request) -> Map<String, Value> {
    let mut map: Map<String, Value> = Map::new();
    for (name, value) in request.headers.iter() {
        let (name, value) = (name.to_ascii_lowercase(), Value::from(String::from_utf8_lossy(value)));
        match map.get_mut(&name) {
            None => _ = map.insert(name, value),
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    map
}

#[cfg(test)]
#[path = "echo/tests.rs"]
mod tests;
