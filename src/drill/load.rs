//! Clients that send requests throughout a scenario, and the count of their results.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{io, mem};

use parking_lot::Mutex;

use super::client::{Answer, Connection, Request, body_of};
use crate::http_client::Whole;
use crate::shutdown::{ShutdownSignal, ShutdownTrigger, shutdown_pair};

/// Number of clients.
const CLIENTS: usize = 8;
/// Pause between two requests of a client; leads to a few hundred requests per second in all.
const PAUSE: Duration = Duration::from_millis(10);
/// The methods, chosen at random: a fixed order would stay in step with the rotation of backends.
const METHODS: [&str; 5] = ["GET", "GET", "PUT", "POST", "POST"];
/// Limit of lost requests shown.
pub const MAX_EXAMPLES: usize = 3;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// The results expected of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// A backend answers each request.
    Serving,
    /// No backend is available: refusals are correct.
    NoBackends,
    /// The balancer is ending: new connections are refused, and requests not begun may be dropped.
    Draining,
}

/// The results of a scenario's requests.
#[derive(Debug, Default)]
pub struct Tally {
    /// Number of GET and PUT requests.
    pub idempotent: u64,
    /// GET and PUT requests without a good answer.
    pub lost: u64,
    /// Number of POST requests.
    pub posts: u64,
    /// Answers that were broken off.
    pub cut: u64,
    /// Broken-off answers to GET and PUT.
    pub cut_idempotent: u64,
    /// Answers that looked complete but were not.
    pub false_wholes: u64,
    /// Complete answers of a backend.
    pub good: u64,
    /// Requests without a backend that were refused with a reason.
    pub refused: u64,
    /// Requests without a backend that got another answer or none.
    pub unexplained: u64,
    /// The first few lost or wrong answers, to be shown.
    pub examples: Vec<String>,
}

/// Running clients.
pub struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    trigger: ShutdownTrigger,
}

struct Shared {
    address: SocketAddr,
    patience: Duration,
    tally: Mutex<Tally>,
    phase: Mutex<Phase>,
    is_over: AtomicBool,
}

impl Load {
    /// Starts the clients.
    ///
    /// # Errors
    /// The operating system's, for the threads.
    pub fn start(address: SocketAddr, patience: Duration) -> io::Result<Load> {
        let (trigger, shutdown) = shutdown_pair();
        let shared = Arc::new(Shared {
            address,
            patience,
            tally: Mutex::default(),
            phase: Mutex::new(Phase::Serving),
            is_over: AtomicBool::new(false),
        });
        let mut threads = Vec::new();
        for _ in 0..CLIENTS {
            let (shared, shutdown) = (Arc::clone(&shared), shutdown.clone());
            let work = move || ask_on(&shared, &shutdown);
            threads.push(thread::Builder::new().name("drill-client".into()).spawn(work)?);
        }
        Ok(Load { shared, threads, trigger })
    }

    /// Sets the results expected of requests from now on.
    pub fn expect(&self, phase: Phase) {
        *self.shared.phase.lock() = phase;
    }

    /// Number of complete answers of backends so far.
    pub fn good(&self) -> u64 {
        self.shared.tally.lock().good
    }

    /// Lets requests in progress end, and returns the results.
    pub fn end(self) -> Tally {
        self.shared.is_over.store(true, SeqCst);
        drop(self.trigger);
        for thread in self.threads {
            let _ = thread.join();
        }
        mem::take(&mut self.shared.tally.lock())
    }
}

fn ask_on(shared: &Shared, shutdown: &ShutdownSignal) {
    let mut connection = None;
    while !shared.is_over.load(SeqCst) {
        let request = next_request();
        let phase = *shared.phase.lock();
        let Some(answer) = answer(&mut connection, &request, shared, phase) else { return };
        // If the phase has changed in the meantime, the later one is tolerated.
        let phase = if phase == Phase::Serving { *shared.phase.lock() } else { phase };
        shared.tally.lock().note(&request, &answer, phase);
        shutdown.wait(PAUSE);
    }
}

fn next_request() -> Request {
    let number = NEXT_ID.fetch_add(1, SeqCst);
    Request::new(METHODS[fastrand::usize(..METHODS.len())], format!("drill-{number}"))
}

/// `None` if the balancer accepts no more connections and is not expected to.
fn answer(
    connection: &mut Option<Connection>,
    request: &Request,
    shared: &Shared,
    phase: Phase,
) -> Option<Answer> {
    loop {
        let mut current = match connection.take().filter(|it| it.is_open) {
            Some(kept) => kept,
            None => match Connection::open(shared.address, shared.patience) {
                Ok(new) => new,
                Err(_) if phase == Phase::Draining || *shared.phase.lock() == Phase::Draining => return None,
                Err(error) => return Some(Answer::Nothing(error.to_string())),
            },
        };
        let was_used = current.is_used;
        let answer = current.exchange(request);
        *connection = Some(current);
        // A kept connection may have been closed just as it was used; like any client, repeat the request on
        // a new connection, although it may then arrive twice.
        if was_used && request.method != "POST" && matches!(answer, Answer::Nothing(_)) {
            continue;
        }
        return Some(answer);
    }
}

impl Tally {
    fn note(&mut self, request: &Request, answer: &Answer, phase: Phase) {
        let is_post = request.method == "POST";
        if is_post {
            self.posts += 1;
        } else {
            self.idempotent += 1;
        }
        match answer {
            Answer::Whole(whole) if whole.status == 200 => {
                let is_whole = whole.body == body_of(&request.id).into_bytes();
                self.good += u64::from(is_whole);
                self.false_wholes += u64::from(!is_whole);
                if !is_whole {
                    self.example(request, "an answer that looks whole and is not");
                }
            }
            Answer::Whole(whole) if phase == Phase::NoBackends && reason(whole).is_some() => {
                self.refused += 1
            }
            _ if phase == Phase::NoBackends => {
                self.unexplained += 1;
                self.example(request, &told(answer));
            }
            Answer::Nothing(_) if phase == Phase::Draining => {}
            Answer::Cut => {
                self.cut += 1;
                self.cut_idempotent += u64::from(!is_post);
                if phase == Phase::Draining {
                    self.example(request, "a broken answer");
                }
            }
            _ if !is_post => {
                self.lost += 1;
                self.example(request, &told(answer));
            }
            _ => {}
        }
    }

    fn example(&mut self, request: &Request, what: &str) {
        if self.examples.len() < MAX_EXAMPLES {
            self.examples.push(format!("{} {} got {what}", request.method, request.id));
        }
    }
}

fn reason(whole: &Whole) -> Option<&str> {
    whole.field("x-lb-reason")
}

fn told(answer: &Answer) -> String {
    match answer {
        Answer::Whole(whole) => {
            format!("{} {}", whole.status, reason(whole).unwrap_or("without a reason"))
        }
        Answer::Cut => "a broken answer".to_owned(),
        Answer::Nothing(reason) => format!("no answer ({reason})"),
    }
}
