//! Clients that ask all the while a scenario plays, and the tally of what came of it.

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

/// Clients at once.
const CLIENTS: usize = 8;
/// Between two requests of one client: some hundred requests a second in all.
const PAUSE: Duration = Duration::from_millis(10);
/// What they ask, by chance: in turn, it would keep step with the backends' turns.
const METHODS: [&str; 5] = ["GET", "GET", "PUT", "POST", "POST"];
/// Lost requests that are told of.
pub const MAX_EXAMPLES: usize = 3;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// What is to be expected of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Each request is answered by a backend.
    Serving,
    /// No backend is there: refusals are right.
    NoBackends,
    /// The balancer is going: new connections are refused, what was not begun may be dropped.
    Draining,
}

/// What came of a scenario's requests.
#[derive(Debug, Default)]
pub struct Tally {
    /// GET and PUT.
    pub idempotent: u64,
    /// Those of them that got no good answer.
    pub lost: u64,
    /// POST.
    pub posts: u64,
    /// Answers that began and broke off.
    pub cut: u64,
    /// Those to GET and PUT.
    pub cut_idempotent: u64,
    /// Answers that looked whole and were not.
    pub false_wholes: u64,
    /// Answers of a backend, whole.
    pub good: u64,
    /// Asked while there was no backend, and refused with a reason.
    pub refused: u64,
    /// Asked while there was no backend, and got something else.
    pub unexplained: u64,
    /// The first few that were lost or wrong, for people.
    pub examples: Vec<String>,
}

/// ShutdownSignal clients.
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
    /// Starts to ask.
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

    /// What is to be expected of the requests that are sent from now on.
    pub fn expect(&self, phase: Phase) {
        *self.shared.phase.lock() = phase;
    }

    /// Whole answers of backends so far.
    pub fn good(&self) -> u64 {
        self.shared.tally.lock().good
    }

    /// Lets the requests under way end, and counts up.
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
        // Where the phase has changed meanwhile, either may hold.
        let phase = if phase == Phase::Serving { *shared.phase.lock() } else { phase };
        shared.tally.lock().note(&request, &answer, phase);
        shutdown.wait(PAUSE);
    }
}

fn next_request() -> Request {
    let number = NEXT_ID.fetch_add(1, SeqCst);
    Request::new(METHODS[fastrand::usize(..METHODS.len())], format!("drill-{number}"))
}

/// `None` where the balancer takes no more connections and is not expected to.
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
        // The connection may have been closed at the very moment it was used; any client asks again on
        // a new one, where the request may arrive twice.
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
