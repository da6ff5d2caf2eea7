//! What all scenarios share: the balancer, its backends, the clients, and the waits of a script.

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

/// How often a script looks whether what it waits for has come.
const LOOK: Duration = Duration::from_millis(20);
/// Before a scenario all backends have to be well; more than any recovery takes.
const CALM_FACTOR: u32 = 3;

/// See the module.
pub struct Stage {
    /// What is drilled.
    pub plan: Plan,
    /// The balancer; `None` once it has drained.
    pub balancer: Option<Balancer>,
    /// In the order of the plan.
    pub backends: Vec<Backend>,
    /// Ends at a signal.
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

    /// The balancer's configuration over the first so many backends.
    pub fn config(&self, count: usize, first_weight: u32) -> Value {
        let weight = |index: usize| if index == 0 { first_weight } else { self.plan.backends[index].weight };
        let backends: Vec<_> =
            (0..count).map(|index| (self.backends[index].address(), weight(index))).collect();
        self.plan.json(&backends)
    }

    /// The configuration as it is planned.
    pub fn whole_config(&self) -> Value {
        self.config(self.backends.len(), self.plan.backends[0].weight)
    }

    /// A balancer runs, every backend answers and is known to.
    ///
    /// # Errors
    /// It does not come to that.
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

    /// As `/lb-metrics` has it. A breaker closes only by a request, so each look is one as well.
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

    /// Clients begin to ask.
    ///
    /// # Errors
    /// The operating system's.
    pub fn begin_load(&mut self) -> io::Result<()> {
        let address = self.balancer.as_ref().map(Balancer::address).ok_or(io::ErrorKind::NotConnected)?;
        self.posts.lock().clear();
        self.load = Some(Load::start(address, self.plan.patience())?);
        Ok(())
    }

    /// Clients stop; what came of their requests.
    pub fn end_load(&mut self) -> Tally {
        self.load.take().map(Load::end).unwrap_or_default()
    }

    /// What clients are to expect from now on.
    pub fn expect(&self, phase: Phase) {
        if let Some(load) = &self.load {
            load.expect(phase);
        }
    }

    /// Whole answers of backends so far.
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

    /// Time passes while clients ask.
    pub fn pass(&self, time: Duration) {
        self.shutdown.wait(time);
    }

    /// How long it took until it was so; `None` where it was not in time.
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

    /// The victim has just become well: how long until it answers requests again.
    pub fn recovery(&self) -> Option<Duration> {
        let before = self.victim().answered();
        self.wait_until(self.plan.recovery(), || self.victim().answered() > before)
    }
}
