//! `loadbalancer drill`: does this configuration keep its promises when backends misbehave?
//!
//! The balancer is a child process of the same binary, not an `App` in this process: reload and drain are
//! requested by signals and end a process, as in production, and the account of the drain is read from a real
//! log. Backends and clients are threads of this process. Each scenario is a script ([`scenarios`]) that runs
//! while clients send requests ([`load`]); its promises are checked afterwards ([`promises`]).

mod backend;
mod balancer;
mod client;
mod failure;
mod load;
mod plan;
mod promises;
mod scenarios;
mod stage;

use std::io::{self, Write};
use std::thread;
use std::time::Instant;

use crate::config::Config;
use crate::shutdown::{self, Control, ShutdownSignal, shutdown_pair};
pub use failure::Failure;
use plan::Plan;
use promises::{Played, Verdict};
use scenarios::{SCENARIOS, Scenario};
use stage::Stage;

/// The result of a drill.
pub struct Outcome {
    /// The text for standard output.
    pub table: String,
    /// Whether every promise was kept.
    pub all_kept: bool,
}

/// One scenario's row.
struct Row {
    scenario: &'static str,
    verdicts: Vec<Verdict>,
}

/// Runs the named scenarios, or all, with this configuration.
///
/// # Errors
/// See [`Failure`].
pub fn run(config: &Config, names: &[String]) -> Result<Outcome, Failure> {
    let chosen = choose(names)?;
    if config.default_pool.backends.is_empty() {
        let text = "a drill plays the top-level `backends`, and this configuration has none; write those of a pool there, \
                    in a copy of it";
        return Err(Failure::Usage(text.to_owned()));
    }
    let shutdown = until_signal()?;
    let plan = Plan::new(config);
    say(&format!("drill: {}", plan.summary()));
    plan.notes.iter().for_each(|note| say(&format!("drill: {note}")));
    let mut stage = Stage::set(plan, shutdown)?;
    let mut rows = Vec::new();
    let started = Instant::now();
    for (index, scenario) in chosen.iter().enumerate() {
        say(&format!("{}/{} {}: {}", index + 1, chosen.len(), scenario.name, scenario.story));
        let row = play(scenario, &mut stage);
        if stage.shutdown.has_ended() {
            return Err(Failure::Run("interrupted".to_owned()));
        }
        let row = row?;
        say(&format!("    {}", told(&row.verdicts)));
        rows.push(row);
    }
    let all_kept = rows.iter().flat_map(|row| &row.verdicts).all(|verdict| verdict.problem.is_none());
    let seconds = started.elapsed().as_secs_f64();
    Ok(Outcome { table: table(&rows, seconds), all_kept })
}

fn choose(names: &[String]) -> Result<Vec<&'static Scenario>, Failure> {
    let find = |name: &String| {
        let known: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        let found = SCENARIOS.iter().find(|scenario| scenario.name == name);
        found.ok_or_else(|| {
            Failure::Usage(format!("there is no scenario {name:?}; there are {}", known.join(", ")))
        })
    };
    match names {
        [] => Ok(SCENARIOS.iter().collect()),
        names => names.iter().map(find).collect(),
    }
}

/// A signal that comes with the first signal to the process: waits end at once, the child is stopped, and the
/// exit status is 1.
fn until_signal() -> io::Result<ShutdownSignal> {
    let (_, requests) = shutdown::listen()?;
    let (trigger, shutdown) = shutdown_pair();
    let wait = move || {
        // The balancers under test are children, whose end is no reason to stop.
        while requests.recv() == Ok(Control::ChildEnded) {}
        drop(trigger);
    };
    thread::Builder::new().name("drill-signals".into()).stack_size(64 << 10).spawn(wait)?;
    Ok(shutdown)
}

fn play(scenario: &Scenario, stage: &mut Stage) -> Result<Row, Failure> {
    stage.calm()?;
    stage.begin_load()?;
    let played = (scenario.play)(stage);
    let tally = stage.end_load();
    let played = Played { posts_sent_twice: stage.posts_sent_twice(), ..played? };
    let check = |promise: &promises::Promise| promise.check(&tally, &played, &stage.plan);
    Ok(Row { scenario: scenario.name, verdicts: scenario.promises.iter().map(check).collect() })
}

fn told(verdicts: &[Verdict]) -> String {
    let broken: Vec<String> = verdicts
        .iter()
        .filter_map(|verdict| Some(format!("{}: {}", verdict.promise, verdict.problem.as_ref()?)))
        .collect();
    if broken.is_empty() { "kept".to_owned() } else { broken.join("\n    ") }
}

fn table(rows: &[Row], seconds: f64) -> String {
    let all = || rows.iter().flat_map(|row| &row.verdicts);
    let width = all().map(|verdict| verdict.promise.len()).max().unwrap_or(0);
    let mut text = format!("{:<18}  {:<width$}  {:>8}  result\n", "scenario", "promise", "requests");
    for row in rows {
        let mut name = row.scenario;
        for verdict in &row.verdicts {
            let requests = verdict.requests.map_or_else(String::new, |count| count.to_string());
            let (promise, result) = (&verdict.promise, result(verdict));
            text.push_str(&format!("{name:<18}  {promise:<width$}  {requests:>8}  {result}\n"));
            name = "";
        }
    }
    let broken = all().filter(|verdict| verdict.problem.is_some()).count();
    let result = match broken {
        0 => "every promise was kept".to_owned(),
        1 => "1 promise was not kept".to_owned(),
        count => format!("{count} promises were not kept"),
    };
    text.push_str(&format!("\n{result}, in {seconds:.0} s\n"));
    for row in rows {
        let examples = row.verdicts.iter().flat_map(|verdict| &verdict.examples);
        examples.for_each(|example| text.push_str(&format!("{}: {example}\n", row.scenario)));
    }
    text
}

fn result(verdict: &Verdict) -> String {
    match &verdict.problem {
        None => format!("kept{}", verdict.detail),
        Some(problem) => problem.to_string(),
    }
}

fn say(line: &str) {
    // Ignored: the table is on standard output anyway.
    let _ = writeln!(io::stderr(), "{line}");
}
