//! The command line: arguments select a command, whose result is the exit status.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crossbeam_channel::Sender;
use loadbalancer::app::{App, Source, StartError};
use loadbalancer::cli::{self, Command, ConvertOptions, Environment, Question, ReplayOptions};
use loadbalancer::config::{self, Config};
use loadbalancer::logging::Logs;
use loadbalancer::reload::ConfigFile;
use loadbalancer::renewal::{Parent, Succession, ToParent};
use loadbalancer::service_manager::ServiceManager;
use loadbalancer::{check, client_commands, convert, demo, drill, logging, replay, shutdown, tls};

/// Exit status for wrong usage or an invalid configuration.
const USAGE: u8 = 2;
/// Exit status for a configuration that was converted only partially.
const PARTIAL: u8 = 3;
/// How long the process waits at its end for log lines to be written.
const LAST_LINES: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let environment = cli::environment();
    match cli::parse(std::env::args_os().skip(1)) {
        Ok(Command::Help(text)) => print(text),
        Ok(Command::Version) => print(&format!("{}\n", cli::VERSION)),
        Ok(Command::Check { file, probe, quiet }) => check(file.as_deref(), probe, quiet, &environment),
        Ok(Command::Run { config, pid_file }) => run(config.as_deref(), pid_file, &environment),
        Ok(Command::Demo) => {
            serve(environment.debug, |logs, _, requests| demo::run(logs, requests).map(|()| 0))
        }
        Ok(Command::Replay(options)) => replay(&options, environment),
        Ok(Command::Convert(options)) => convert(&options),
        Ok(Command::Drill { config, scenarios }) => drill(config.as_deref(), &scenarios, &environment),
        Ok(Command::Explain { config, question }) => explain(config.as_deref(), &question, &environment),
        Ok(Command::Health { config }) => health(config.as_deref(), &environment),
        Err(mistake) => fail(USAGE, &format!("loadbalancer: {mistake}\nTry 'loadbalancer --help'.")),
    }
}

fn convert(options: &ConvertOptions) -> ExitCode {
    let converted = match convert::run(options) {
        Ok(converted) => converted,
        Err(problem) => return fail(USAGE, &format!("loadbalancer: {problem}")),
    };
    let _ = write!(std::io::stderr(), "{}", converted.report);
    match print(&converted.config) {
        printed if !converted.is_partial => printed,
        _ => ExitCode::from(PARTIAL),
    }
}

fn check(file: Option<&Path>, probe: bool, quiet: bool, environment: &Environment) -> ExitCode {
    let file = file.or(environment.config.as_deref());
    let (config, mut warnings) = match config::look_over(file, &environment.overrides) {
        Ok(found) => found,
        Err(mistakes) => return fail(USAGE, &tls::files::told_with(&mistakes)),
    };
    let certificates = match tls::files::read(&config) {
        Ok(settings) => settings.map_or_else(Vec::new, |settings| settings.certificates().to_vec()),
        Err(problems) => return fail(USAGE, &problems.join("\n")),
    };
    let problems = logging::problems(&config);
    if !problems.is_empty() {
        return fail(USAGE, &problems.join("\n"));
    }
    warnings.extend(check::warnings::of(&config));
    warnings.extend(check::certificates::warnings(&certificates, SystemTime::now()));
    for warning in &warnings {
        let _ = writeln!(std::io::stderr(), "warning: {warning}");
    }
    let printed = match (probe, quiet) {
        (true, _) => return check_backends(&config, quiet),
        (false, true) => return ExitCode::SUCCESS,
        (false, false) => print(&format!("{:#}\n", config.without_secrets().to_json())),
    };
    let name = file.map_or("the built-in defaults".to_owned(), |file| file.display().to_string());
    let _ = writeln!(std::io::stderr(), "{}", check::verdict(&name, warnings.len()));
    printed
}

fn check_backends(config: &Config, quiet: bool) -> ExitCode {
    if !quiet {
        let seconds = check::watched(config).as_secs_f64();
        let _ = writeln!(std::io::stderr(), "idle connections are watched for {seconds:.0} s");
    }
    let report = check::probe(config);
    let printed = if quiet && report.all_answer { ExitCode::SUCCESS } else { print(&report.text) };
    if report.all_answer { printed } else { ExitCode::FAILURE }
}

fn run(file: Option<&Path>, pid_file: Option<PathBuf>, environment: &Environment) -> ExitCode {
    let path = file.or(environment.config.as_deref()).map(Path::to_owned);
    let mut origin = path.map(|path| ConfigFile::new(path, environment.overrides.clone()));
    let config = match load(file, environment) {
        Ok(config) => config,
        Err(code) => return code,
    };
    if let Some(origin) = &mut origin {
        origin.names_files_of(&config);
    }
    serve(environment.debug, |logs, asked, requests| {
        let watchdog = environment.watchdog.filter(|_| environment.is_watched());
        let (source, succession, manager) = match environment.renewal {
            true => {
                let (parent, predecessor) = ToParent::of_this_process(asked)?;
                let manager = ServiceManager::through(parent.notify());
                (Source::Renewal(predecessor), Succession::Asked(parent), Arc::new(manager))
            }
            false => {
                let manager = Arc::new(ServiceManager::at(environment.notify_socket.as_deref()));
                let parent = Parent::of_this_process(Arc::clone(&manager));
                let succession = parent.map_or(Succession::Nobody, Succession::own);
                (Source::Fresh, succession, manager)
            }
        };
        let logs_of_heirs = Arc::clone(&logs);
        let app = App::start(config, (origin, pid_file), (source, succession), manager, logs)?;
        if let Some(limit) = watchdog {
            app.feed_watchdog(limit)?;
        }
        Ok(app.wait(requests).map_or(0, |heirs| heirs.look_after(requests, &logs_of_heirs)))
    })
}

fn replay(options: &ReplayOptions, mut environment: Environment) -> ExitCode {
    if let Some(algorithm) = options.algorithm.as_ref().filter(|name| *name != replay::ALL) {
        environment.overrides.algorithm = Some(("--algorithm".to_owned(), algorithm.clone()));
    }
    let result = match load(options.config.as_deref(), &environment) {
        Ok(config) => replay::run(options, &config),
        Err(code) => return code,
    };
    match result {
        Ok(report) => print(&report),
        Err(replay::Failure::Usage(mistake)) => fail(USAGE, &format!("loadbalancer: {mistake}")),
        Err(replay::Failure::Log(problem)) => fail(1, &format!("loadbalancer: {problem}")),
    }
}

fn drill(file: Option<&Path>, scenarios: &[String], environment: &Environment) -> ExitCode {
    let result = match load(file, environment) {
        Ok(config) => drill::run(&config, scenarios),
        Err(code) => return code,
    };
    match result {
        Ok(drill::Outcome { table, all_kept }) => {
            let printed = print(&table);
            if all_kept { printed } else { ExitCode::FAILURE }
        }
        Err(drill::Failure::Usage(mistake)) => fail(USAGE, &format!("loadbalancer: {mistake}")),
        Err(drill::Failure::Run(problem)) => fail(1, &format!("loadbalancer: {problem}")),
    }
}

fn explain(file: Option<&Path>, question: &Question, environment: &Environment) -> ExitCode {
    match load(file, environment) {
        Ok(config) => told(client_commands::run(&config, question)),
        Err(code) => code,
    }
}

fn health(file: Option<&Path>, environment: &Environment) -> ExitCode {
    let file = file.or(environment.config.as_deref());
    told(client_commands::health::run(file, &environment.overrides))
}

fn told(answer: Result<String, client_commands::Failure>) -> ExitCode {
    match answer {
        Ok(text) => print(&text),
        Err(client_commands::Failure::Usage(mistake)) => fail(USAGE, &format!("loadbalancer: {mistake}")),
        Err(client_commands::Failure::Run(problem)) => fail(1, &format!("loadbalancer: {problem}")),
    }
}

fn load(file: Option<&Path>, environment: &Environment) -> Result<Config, ExitCode> {
    let file = file.or(environment.config.as_deref());
    let config = config::load(file, &environment.overrides)
        .map_err(|mistakes| fail(USAGE, &tls::files::told_with(&mistakes)))?;
    let problems = [tls::files::read(&config).err().unwrap_or_default(), logging::problems(&config)].concat();
    match problems.is_empty() {
        true => Ok(config),
        false => Err(fail(USAGE, &problems.join("\n"))),
    }
}

/// Starts logs and signal handling, then runs `work`, whose result is the exit status; flushes the log at the
/// end.
fn serve(
    debug: bool,
    work: impl FnOnce(Arc<Logs>, Sender<shutdown::Control>, &shutdown::ControlReceiver) -> Result<i32, StartError>,
) -> ExitCode {
    let logs = Arc::new(Logs::start(debug));
    logging::log_panics();
    let result = match shutdown::listen() {
        Ok((asked, requests)) => work(Arc::clone(&logs), asked, &requests),
        Err(error) => Err(error.into()),
    };
    logs.flush(LAST_LINES);
    match result {
        Ok(status) => ExitCode::from(u8::try_from(status).unwrap_or(1)),
        Err(error) => fail(1, &format!("loadbalancer: {error}")),
    }
}

fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        // A reader that closes early (`| head`) is no failure.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn fail(code: u8, message: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "{message}");
    ExitCode::from(code)
}
