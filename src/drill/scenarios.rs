//! The scripts: what backends do while clients send requests. Each is one function and one entry in
//! [`SCENARIOS`].

use std::time::Duration;

use super::backend::Mode;
use super::failure::Failure;
use super::load::Phase;
use super::promises::Played;
use super::promises::Promise::{
    self, CutsShow, DrainAccount, NoPostTwice, NoneLost, NoneLostButCut, Recovers, RefusedWithReason, Reloads,
};
use super::stage::Stage;

/// Time in which requests are served before the failure.
const BEFORE: Duration = Duration::from_millis(500);
/// Duration of a failure.
const FAILURE: Duration = Duration::from_secs(3);
/// Extension of a failure until all kinds of requests have met it.
const MAX_EXTENSION: Duration = Duration::from_secs(10);
/// A stall lasts for several consecutive timeouts.
const STALLED_TIMEOUTS: u32 = 4;
/// Duration of each absence of a flapping backend, and the number of absences.
const FLAP: Duration = Duration::from_millis(300);
const FLAPS: usize = 7;
/// Time before a drain, so that its account covers many requests.
const BEFORE_DRAIN: Duration = Duration::from_secs(2);
/// Number of reloads under load.
const RELOADS: usize = 6;
const RELOAD_LIMIT: Duration = Duration::from_secs(5);
/// Latency of answers before a drain, so that requests are in flight.
const DRAIN_LATENCY: Duration = Duration::from_millis(300);
/// Time for the process to end after its drain.
const END_SLACK: Duration = Duration::from_secs(5);

/// A script with its promises.
pub struct Scenario {
    /// The name on the command line.
    pub name: &'static str,
    /// What happens, in one line.
    pub story: &'static str,
    /// What must hold meanwhile.
    pub promises: &'static [Promise],
    /// The script.
    pub play: Play,
}

/// Runs while clients send requests.
pub type Play = fn(&mut Stage) -> Result<Played, Failure>;

/// The scenarios in order. The last one ends the balancer.
pub const SCENARIOS: [Scenario; 9] = [
    Scenario {
        name: "refuse",
        story: "a backend closes its port and its connections",
        promises: &[NoneLost, NoPostTwice, Recovers],
        play: refuse,
    },
    Scenario {
        name: "reset-before-head",
        story: "a backend resets each connection before it answers; its probes pass",
        promises: &[NoneLost, NoPostTwice],
        play: |stage| misbehave(stage, Mode::ResetsBeforeHead),
    },
    Scenario {
        name: "reset-after-head",
        story: "a backend sends an answer's head and resets the connection",
        promises: &[CutsShow, NoneLostButCut, NoPostTwice],
        play: |stage| misbehave(stage, Mode::ResetsAfterHead),
    },
    Scenario {
        name: "half-a-body",
        story: "a backend sends half of each body and closes",
        promises: &[CutsShow, NoneLostButCut, NoPostTwice],
        play: |stage| misbehave(stage, Mode::BreaksOffHalfWay),
    },
    Scenario {
        name: "stall",
        story: "a backend reads and never answers; its probes pass",
        promises: &[NoneLost, NoPostTwice],
        play: stall,
    },
    Scenario {
        name: "flap",
        story: "a backend goes and comes, seven times in four seconds",
        promises: &[NoneLost, NoPostTwice, Recovers],
        play: flap,
    },
    Scenario {
        name: "all-down",
        story: "no backend is there, then all are again",
        promises: &[RefusedWithReason, NoneLost, NoPostTwice, Recovers],
        play: all_down,
    },
    Scenario {
        name: "reload",
        story: "a backend leaves the configuration and comes back, six reloads",
        promises: &[NoneLost, NoPostTwice, Reloads],
        play: reload,
    },
    Scenario {
        name: "drain",
        story: "the balancer is asked to end",
        promises: &[NoneLost, NoPostTwice, DrainAccount],
        play: drain,
    },
];

fn refuse(stage: &mut Stage) -> Result<Played, Failure> {
    stage.pass(BEFORE);
    stage.victim().refuse();
    stage.pass(FAILURE);
    stage.victim().listen()?;
    let recovery = stage.recovery();
    Ok(Played { recovery, ..Played::default() })
}

fn misbehave(stage: &mut Stage, mode: Mode) -> Result<Played, Failure> {
    misbehave_for(stage, mode, FAILURE)
}

fn stall(stage: &mut Stage) -> Result<Played, Failure> {
    let time = FAILURE.max(stage.plan.request_timeout() * STALLED_TIMEOUTS);
    misbehave_for(stage, Mode::Stalls, time)
}

fn misbehave_for(stage: &mut Stage, mode: Mode, time: Duration) -> Result<Played, Failure> {
    stage.pass(BEFORE);
    let victim = stage.victim();
    let counts = || (victim.misbehaved(), victim.misbehaved_posts());
    let (all, posts) = counts();
    victim.set(mode);
    stage.pass(time);
    // Few requests get past an open breaker, and at least one POST must meet the failure.
    stage.wait_until(MAX_EXTENSION, || counts().1 > posts);
    victim.set(Mode::Answers(Duration::ZERO));
    let met = (counts().0 - all, counts().1 - posts);
    Ok(Played { misbehaved: Some(met.0), misbehaved_posts: Some(met.1), ..Played::default() })
}

fn flap(stage: &mut Stage) -> Result<Played, Failure> {
    stage.pass(BEFORE);
    for number in 0..FLAPS {
        if number > 0 {
            stage.pass(FLAP);
        }
        stage.victim().refuse();
        stage.pass(FLAP);
        stage.victim().listen()?;
    }
    let recovery = stage.recovery();
    Ok(Played { recovery, ..Played::default() })
}

fn all_down(stage: &mut Stage) -> Result<Played, Failure> {
    stage.pass(BEFORE);
    stage.expect(Phase::NoBackends);
    stage.backends.iter().for_each(|backend| backend.refuse());
    stage.pass(FAILURE);
    let good = stage.good();
    for backend in &stage.backends {
        backend.listen()?;
    }
    let recovery = stage.wait_until(stage.plan.recovery(), || stage.good() > good);
    stage.pass(stage.plan.recovery());
    stage.expect(Phase::Serving);
    stage.pass(BEFORE);
    Ok(Played { recovery, ..Played::default() })
}

fn reload(stage: &mut Stage) -> Result<Played, Failure> {
    let count = stage.backends.len();
    let smaller = match count {
        1 => stage.config(1, stage.plan.backends[0].weight + 1),
        _ => stage.config(count - 1, stage.plan.backends[0].weight),
    };
    let mut result = Played::default();
    for number in 0..RELOADS {
        stage.pass(BEFORE);
        let config = if number % 2 == 0 { smaller.clone() } else { stage.whole_config() };
        let Some(balancer) = &stage.balancer else { continue };
        let from = balancer.log_length();
        balancer.reload(&config)?;
        let is_it =
            |line: &str| line.contains("configuration reloaded") && !line.contains("nothing has changed");
        if balancer.wait_for_log(is_it, from, RELOAD_LIMIT).is_none() {
            result.problem = Some(format!("reload {} was not logged", number + 1));
        }
    }
    stage.pass(BEFORE);
    result.detail = format!("{RELOADS} of them");
    Ok(result)
}

fn drain(stage: &mut Stage) -> Result<Played, Failure> {
    stage.backends.iter().for_each(|backend| backend.set(Mode::Answers(DRAIN_LATENCY)));
    stage.pass(BEFORE_DRAIN);
    let limit = stage.plan.drain() + END_SLACK;
    stage.expect(Phase::Draining);
    let Some(mut balancer) = stage.balancer.take() else { return Ok(Played::default()) };
    balancer.drain()?;
    let status = balancer.wait_for_end(limit)?;
    let line =
        balancer.wait_for_log(|line| line.contains("msg=\"stopped\""), 0, END_SLACK).unwrap_or_default();
    let account = line.split_once("\"stopped\" ").map_or("no account", |(_, account)| account).to_owned();
    let is_kept = status.is_some_and(|status| status.success()) && account.ends_with("cut=0");
    let ended = status.map_or("still running".to_owned(), |status| status.to_string());
    let problem = (!is_kept).then(|| format!("{account}, {ended}"));
    Ok(Played { problem, detail: account, ..Played::default() })
}
