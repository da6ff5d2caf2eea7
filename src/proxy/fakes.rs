//! A client and backends without sockets, for unit tests of the layers above.

use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::balance;
use crate::client_side::ClientSide;
use crate::config::{Config, Overrides};
use crate::duplex::Duplex;
use crate::frontend::{ClientRequest, ClientStream, Ending};
use crate::http::{BodyLength, Headers, RequestHead, Version};
use crate::pool::backend::tests::backends;
use crate::pool::{Backend, Live, Policy, Pool};
use crate::transport::{
    AttemptError, BackendReply, Cause, Outgoing, ReplyBody, ReplyLength, Stage, Transport,
};

/// What a client has received, and how its connection was left.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<(Vec<u8>, Option<Ending>)>>);

impl Seen {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().0).into_owned()
    }

    pub(crate) fn ending(&self) -> Option<Ending> {
        self.0.lock().1
    }
}

struct FakeClient {
    body: io::Cursor<Vec<u8>>,
    seen: Seen,
}

impl ClientStream for FakeClient {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        io::Read::read(&mut self.body, buf)
    }
    fn body_is_pending(&self) -> bool {
        self.body.position() < self.body.get_ref().len() as u64
    }
    fn can_keep_alive(&self) -> bool {
        true
    }
    fn can_tunnel(&self) -> bool {
        false
    }
    fn tunnel(&mut self) -> io::Result<Box<dyn Duplex>> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read(buf)
    }
    fn readiness(&self) -> Option<BorrowedFd<'_>> {
        None
    }
    fn give_up(&mut self) {}
    fn trailers(&mut self) -> Headers {
        Headers::default()
    }
    fn waits_for_client(&self) -> bool {
        false
    }
    fn finish(&mut self, rest: &[u8], ending: Ending) -> io::Result<()> {
        self.write(rest)?;
        self.end(ending);
        Ok(())
    }
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.seen.0.lock().0.extend_from_slice(bytes);
        Ok(())
    }
    fn end(&mut self, ending: Ending) {
        self.seen.0.lock().1.get_or_insert(ending);
    }
}

pub(crate) fn get(target: &str) -> (ClientRequest, Seen) {
    request("GET", target, b"")
}

pub(crate) fn request(method: &str, target: &str, body: &[u8]) -> (ClientRequest, Seen) {
    let mut headers = Headers::default();
    headers.push("Host", b"example.com");
    let head =
        RequestHead { method: method.into(), target: target.into(), version: Version::Http11, headers };
    let seen = Seen::default();
    let length = if body.is_empty() { BodyLength::None } else { BodyLength::Known(body.len() as u64) };
    let stream = FakeClient { body: io::Cursor::new(body.to_vec()), seen: seen.clone() };
    let peer = "127.0.0.1:4711".parse().unwrap();
    (ClientRequest::new(head, Ok(length), peer, false, Arc::default(), Box::new(stream)), seen)
}

/// The default configuration with this number of backends.
pub(crate) fn live(count: u16) -> Live {
    live_of(backends(count))
}

/// Like [`live`], with changes to the configuration.
pub(crate) fn live_with(count: u16, change: impl FnOnce(&mut Config)) -> Live {
    live_of_with(backends(count), change)
}

pub(crate) fn live_of(backends: Vec<Arc<Backend>>) -> Live {
    live_of_with(backends, |_| {})
}

/// Like [`live_of`], with changes to the configuration.
pub(crate) fn live_of_with(backends: Vec<Arc<Backend>>, change: impl FnOnce(&mut Config)) -> Live {
    let mut config: Config =
        crate::config::load(None, &Overrides::default()).expect("the defaults are valid");
    change(&mut config);
    let (pool, policy) = (config.default_pool.clone(), Arc::new(Policy::new(&config)));
    let balancer = balance::balancer(pool.algorithm);
    Live::new(config, vec![Pool::new(pool, backends, balancer, policy)])
}

/// What a scripted backend does.
pub(crate) enum Step {
    Fails(AttemptError),
    Answers(u16, &'static str),
    /// Announces ten bytes, sends these and fails.
    BreaksOff(&'static str),
}

/// Backends that follow one common script in the order of attempts; records the bodies they received.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) steps: Mutex<VecDeque<Step>>,
    pub(crate) got: Mutex<Vec<(u64, String)>>,
}

impl Script {
    pub(crate) fn of(steps: impl IntoIterator<Item = Step>) -> Arc<Script> {
        Arc::new(Script { steps: Mutex::new(steps.into_iter().collect()), got: Mutex::default() })
    }
}

impl Transport for Script {
    fn send(&self, backend: &Backend, request: Outgoing<'_>) -> Result<BackendReply, AttemptError> {
        let (mut body, mut piece) = (Vec::new(), [0; 64]);
        while request.length != BodyLength::None {
            match request.client.read(&mut piece) {
                Ok(0) => break,
                Ok(amount) => body.extend_from_slice(&piece[..amount]),
                Err(_) => {
                    return Err(AttemptError { stage: Stage::SendBody, cause: Cause::Client, reused: false });
                }
            }
        }
        self.got.lock().push((backend.id(), String::from_utf8_lossy(&body).into_owned()));
        let reply = |status, length, body: Box<dyn io::Read + Send>| BackendReply {
            status,
            reason: crate::http::status::reason(status).to_owned(),
            headers: Headers::default(),
            length: ReplyLength::Known(length),
            body: Box::new(Body(body)),
            body_is_here: true,
            tunnel: None,
        };
        match self.steps.lock().pop_front().expect("the script has a step for each attempt") {
            Step::Fails(error) => Err(error),
            Step::Answers(status, text) => Ok(reply(status, text.len() as u64, Box::new(text.as_bytes()))),
            Step::BreaksOff(text) => Ok(reply(200, 10, Box::new(io::Read::chain(text.as_bytes(), Broken)))),
        }
    }

    fn forget(&self, _: &Backend) {}
    fn tidy(&self) {}
}

/// A body that comes from a reader.
struct Body(Box<dyn io::Read + Send>);

impl ReplyBody for Body {
    fn read(&mut self, buf: &mut [u8], _: &mut dyn ClientSide) -> io::Result<usize> {
        self.0.read(buf)
    }
    fn wait_at_most(&mut self, _: std::time::Duration) {}
    fn trailers(&mut self) -> Headers {
        Headers::default()
    }
}

struct Broken;

impl io::Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}
