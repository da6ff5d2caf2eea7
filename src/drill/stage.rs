//! The parts shared by all scenarios: the balancer, its backends, the clients, and the waits of a script.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::backend::{Backend, Mode, Posts};
use super::balancer::Balancer;
use super::client::{Answer, Connection, Request};
use super::failure::Failure;
use super::load::{Load, Phase, Tally};
use super::plan::Plan;
use crate::shutdown::ShutdownSignal;

/// How often a script checks what it waits for.
const LOOK: Duration = Duration::from_millis(20);
/// Multiple of the recovery time within which all backends must be healthy before a scenario.
const CALM_FACTOR: u32 = 3;

/// See the module.
pub struct Stage {
    /// The plan of the drill.
    pub plan: Plan,
    /// The balancer; `None` once it has drained.
    pub balancer: Option<Balancer>,
    /// The backends in the plan's order.
    pub backends: Vec<Backend>,
    /// Comes with a signal to the process.
    pub shutdown: ShutdownSignal,
    load: Option<Load>,
    posts: Posts,
}

impl Stage {
    /// Starts the backends.
    ///
    /// # Errors
    /// The operating system's.
    pub fn set(plan: Plan, shutdown: ShutdownSignal) -> io::Result<Stage> {
        let posts = Posts::default();
        let start = |_: &_| Backend::start(Arc::clone(&posts));
        let backends = plan.backends.iter().map(start).collect::<io::Result<Vec<Backend>>>()?;
        Ok(Stage { plan, balancer: None, backends, shutdown, load: None, posts })
    }

    /// The backend that misbehaves.
    pub fn victim(&self) -> &Backend {
        &self.backends[self.plan.victim]
    }

    /// The balancer's configuration with the first `count` backends.
    pub fn config(&self, count: usize, first_weight: u32) -> Value {
        let weight = |index: usize| if index == 0 { first_weight } else { self.plan.backends[index].weight };
        let backends: Vec<_> =
            (0..count).map(|index| (self.backends[index].address(), weight(index))).collect();
        self.plan.json(&backends)
    }

    /// The planned configuration with all backends.
    pub fn whole_config(&self) -> Value {
        self.config(self.backends.len(), self.plan.backends[0].weight)
    }

    /// Waits until a balancer runs and sees all backends as healthy.
    ///
    /// # Errors
    /// That does not happen in time.
    pub fn calm(&mut self) -> Result<(), Failure> {
        self.backends.iter().for_each(|backend| backend.set(Mode::Answers(Duration::ZERO)));
        if self.balancer.is_none() {
            self.balancer = Some(Balancer::start(&self.whole_config(), &self.shutdown)?);
        }
        let limit = self.plan.recovery() * CALM_FACTOR;
        match self.wait_until(limit, || self.is_calm()) {
            Some(_) => Ok(()),
            None => Err(Failure::Run("the backends are not all well before the next scenario".to_owned())),
        }
    }

    /// Whether `/lb-metrics` shows all backends as healthy. A request is sent, too, because only a request
    /// can close a breaker.
    fn is_calm(&self) -> bool {
        let _ = self.ask("/drill");
        let Some(Answer::Whole(page)) = self.ask("/lb-metrics") else { return false };
        let Ok(page) = serde_json::from_slice::<Value>(&page.body) else { return false };
        let is_well = |it: &Value| it["state"] == "healthy" && it["breaker"] == "closed";
        let backends = page["backends"].as_array();
        backends.is_some_and(|all| {
            all.len() == self.backends.len()
                && all.iter().all(|it| is_well(it) && it["last_checked"].is_null() != self.plan.is_probed())
        })
    }

    fn ask(&self, target: &'static str) -> Option<Answer> {
        let address = self.balancer.as_ref()?.address();
        let mut connection = Connection::open(address, self.plan.patience()).ok()?;
        Some(connection.exchange(&Request { target, ..Request::new("GET", "drill-look".to_owned()) }))
    }

    /// Starts the clients.
    ///
    /// # Errors
    /// The operating system's.
    pub fn begin_load(&mut self) -> io::Result<()> {
        let address = self.balancer.as_ref().map(Balancer::address).ok_or(io::ErrorKind::NotConnected)?;
        self.posts.lock().clear();
        self.load = Some(Load::start(address, self.plan.patience())?);
        Ok(())
    }

    /// Stops the clients and returns the results.
    pub fn end_load(&mut self) -> Tally {
        self.load.take().map(Load::end).unwrap_or_default()
    }

    /// Sets what clients must expect from now on.
    pub fn expect(&self, phase: Phase) {
        if let Some(load) = &self.load {
            load.expect(phase);
        }
    }

    /// Number of complete answers of backends so far.
    pub fn good(&self) -> u64 {
        self.load.as_ref().map_or(0, Load::good)
    }

    /// POSTs that have reached backends more than once.
    pub fn posts_sent_twice(&self) -> Vec<String> {
        let posts = self.posts.lock();
        posts
            .iter()
            .filter(|(_, count)| **count > 1)
            .map(|(id, count)| format!("POST {id} was sent {count} times"))
            .collect()
    }

    /// Waits while clients send requests.
    pub fn pass(&self, time: Duration) {
        self.shutdown.wait(time);
    }

    /// Waits until `is_so`; returns how long that took, or `None` after `limit`.
    pub fn wait_until(&self, limit: Duration, is_so: impl Fn() -> bool) -> Option<Duration> {
        let started = Instant::now();
        loop {
            if is_so() {
                return Some(started.elapsed());
            }
            if started.elapsed() >= limit || self.shutdown.wait(LOOK) {
                return None;
            }
        }
    }

    /// Waits until the victim, which has just become healthy, answers requests again.
    pub fn recovery(&self) -> Option<Duration> {
        let before = self.victim().answered();
        self.wait_until(self.plan.recovery(), || self.victim().answered() > before)
    }
}
