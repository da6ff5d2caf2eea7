//! Parses the command line into a [`Command`]. `help` has the texts of `--help`; `environment` is the only reader of
//! the environment.

mod environment;
mod help;
pub mod single_dash;

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::prelude::{Long, Short, Value};

pub use environment::{Environment, environment};
pub use help::HELP;

/// The text of `--version`.
pub const VERSION: &str = concat!("loadbalancer ", env!("CARGO_PKG_VERSION"));

/// The commands.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Run the load balancer.
    Run {
        /// The file of `--config`, if any.
        config: Option<PathBuf>,
        /// The file of `--pid-file`, if any.
        pid_file: Option<PathBuf>,
    },
    /// Check a file and print the resolved configuration.
    Check {
        /// The file, if named.
        file: Option<PathBuf>,
        /// Whether to probe the backends, too.
        probe: bool,
        /// Whether to print only mistakes and warnings.
        quiet: bool,
    },
    /// Run the load balancer over embedded backends.
    Demo,
    /// Replay a recorded log through the code that chooses backends.
    Replay(ReplayOptions),
    /// Convert another program's configuration.
    Convert(ConvertOptions),
    /// Run the load balancer over backends that misbehave.
    Drill {
        /// The file of `--config`, if any.
        config: Option<PathBuf>,
        /// The scenarios to run; all if empty.
        scenarios: Vec<String>,
    },
    /// Ask a running balancer about requests.
    Explain {
        /// The file of `--config`, if any, which names the admin listener.
        config: Option<PathBuf>,
        /// The question.
        question: Question,
    },
    /// Ask the running balancer whether it can serve requests.
    Health {
        /// The file of `--config`, if any, which names the listeners.
        config: Option<PathBuf>,
    },
    /// Print [`HELP`], or the help of one command.
    Help(&'static str),
    /// Print [`VERSION`].
    Version,
}

/// The options of `replay`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ReplayOptions {
    /// The logs in chronological order; `-` is standard input.
    pub logs: Vec<PathBuf>,
    /// The file of `--config`, if any.
    pub config: Option<PathBuf>,
    /// `--algorithm`, if any.
    pub algorithm: Option<String>,
    /// Each `--without`.
    pub without: Vec<String>,
    /// `--time-field`, if any.
    pub time_field: Option<String>,
}

/// The options of `convert`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ConvertOptions {
    /// The file; `-` is standard input.
    pub file: PathBuf,
    /// `--from`: the program that the file is for.
    pub from: Option<String>,
    /// `--release`: the release of that program, for its defaults.
    pub release: Option<String>,
    /// `--report json`.
    pub report: Option<String>,
}

/// The question of `explain`: exactly one of `id`, `client` and `slowest` is set.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// `--id`: an `X-Request-ID`.
    pub id: Option<String>,
    /// `--client`: an address.
    pub client: Option<String>,
    /// `--path`, with `--client`.
    pub path: Option<String>,
    /// `--host`, with `--client`.
    pub host: Option<String>,
    /// `--slowest`: how many requests.
    pub slowest: Option<String>,
}

/// The flags with their values, for any command.
#[derive(Debug, Default)]
struct Flags {
    config: Option<PathBuf>,
    pid_file: Option<PathBuf>,
    algorithm: Option<String>,
    without: Vec<String>,
    time_field: Option<String>,
    probe: bool,
    quiet: bool,
    question: Question,
    convert: ConvertOptions,
}

/// Names of flags with and without a value, which may also be written with a single dash.
const NAMES: [&str; 14] = [
    "config",
    "port",
    "pid-file",
    "algorithm",
    "without",
    "time-field",
    "id",
    "client",
    "path",
    "host",
    "slowest",
    "from",
    "release",
    "report",
];
const SWITCHES: [&str; 4] = ["help", "version", "probe", "quiet"];

/// Parses the command line.
///
/// # Errors
/// A message that says what is wrong.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let mut parser = lexopt::Parser::from_args(single_dash::doubled(arguments, &NAMES, &SWITCHES));
    let mut flags = Flags::default();
    let mut words: Vec<OsString> = Vec::new();
    while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
        match argument {
            Long("help") | Short('h') => {
                let of_command = words.first().and_then(|word| help::of(word.to_str()?));
                return Ok(Command::Help(of_command.unwrap_or(HELP)));
            }
            Long("version") | Short('V') => return Ok(Command::Version),
            Long("config") | Short('c') => flags.config = Some(path_after(&mut parser)?),
            // A flag of `backend_server`, which has no meaning here.
            Long("port") => {
                return Err("--port: the port is a part of `listen` in the configuration; LB_LISTEN=:8080 overrides it"
                    .to_owned());
            }
            Long("pid-file") => flags.pid_file = Some(path_after(&mut parser)?),
            Long("algorithm") => flags.algorithm = Some(text_after(&mut parser)?),
            Long("probe") => flags.probe = true,
            Long("quiet") | Short('q') => flags.quiet = true,
            Long("id") => flags.question.id = Some(text_after(&mut parser)?),
            Long("client") => flags.question.client = Some(text_after(&mut parser)?),
            Long("path") => flags.question.path = Some(text_after(&mut parser)?),
            Long("host") => flags.question.host = Some(text_after(&mut parser)?),
            Long("slowest") => flags.question.slowest = Some(text_after(&mut parser)?),
            Long("time-field") => flags.time_field = Some(text_after(&mut parser)?),
            Long("from") => flags.convert.from = Some(text_after(&mut parser)?),
            Long("release") => flags.convert.release = Some(text_after(&mut parser)?),
            Long("report") => flags.convert.report = Some(text_after(&mut parser)?),
            Long("without") => flags.without.push(text_after(&mut parser)?),
            Value(word) => words.push(word),
            other => return Err(other.unexpected().to_string()),
        }
    }
    command(flags, &words)
}

fn path_after(parser: &mut lexopt::Parser) -> Result<PathBuf, String> {
    parser.value().map(PathBuf::from).map_err(|error| error.to_string())
}

fn text_after(parser: &mut lexopt::Parser) -> Result<String, String> {
    let value = parser.value().map_err(|error| error.to_string())?;
    value.into_string().map_err(|value| format!("{value:?} is not UTF-8"))
}

fn command(flags: Flags, words: &[OsString]) -> Result<Command, String> {
    let Some((word, rest)) = words.split_first() else {
        flags.only("run", &["config", "pid-file"])?;
        return Ok(Command::Run { config: flags.config, pid_file: flags.pid_file });
    };
    match word.to_str() {
        Some("check") => check(flags, rest),
        Some("demo") => {
            flags.only("demo", &[])?;
            at_most(0, rest)?;
            Ok(Command::Demo)
        }
        Some("replay") => replay(flags, rest),
        Some("convert") => convert(flags, rest),
        Some("explain") => explain(flags, rest),
        Some("health") => {
            flags.only("health", &["config"])?;
            at_most(0, rest)?;
            Ok(Command::Health { config: flags.config })
        }
        Some("drill") => {
            flags.only("drill", &["config"])?;
            let scenarios = rest.iter().map(|word| word.to_string_lossy().into_owned()).collect();
            Ok(Command::Drill { config: flags.config, scenarios })
        }
        _ => Err(format!("there is no command {word:?}")),
    }
}

fn check(flags: Flags, words: &[OsString]) -> Result<Command, String> {
    flags.only("check", &["config", "probe", "quiet"])?;
    at_most(1, words)?;
    match (words.first(), flags.config) {
        (Some(_), Some(_)) => Err("name one file, not two".to_owned()),
        (file, config) => {
            let Flags { probe, quiet, .. } = flags;
            Ok(Command::Check { file: file.map(PathBuf::from).or(config), probe, quiet })
        }
    }
}

fn replay(flags: Flags, words: &[OsString]) -> Result<Command, String> {
    flags.only("replay", &["config", "algorithm", "without", "time-field"])?;
    let logs: Vec<PathBuf> = words.iter().map(PathBuf::from).collect();
    if logs.is_empty() {
        return Err("replay: name an access log or several, or - for standard input".to_owned());
    }
    let Flags { config, algorithm, without, time_field, .. } = flags;
    Ok(Command::Replay(ReplayOptions { logs, config, algorithm, without, time_field }))
}

fn convert(flags: Flags, words: &[OsString]) -> Result<Command, String> {
    flags.only("convert", &["from", "release", "report"])?;
    at_most(1, words)?;
    let Some(file) = words.first().map(PathBuf::from) else {
        return Err("convert: name the configuration of nginx, HAProxy, Caddy or Traefik".to_owned());
    };
    if flags.convert.report.as_ref().is_some_and(|format| format != "json" && format != "text") {
        return Err("convert: --report is text or json".to_owned());
    }
    Ok(Command::Convert(ConvertOptions { file, ..flags.convert }))
}

fn explain(flags: Flags, words: &[OsString]) -> Result<Command, String> {
    flags.only("explain", &["config", "id", "client", "path", "host", "slowest"])?;
    at_most(0, words)?;
    let question = flags.question;
    let of_client = question.client.is_some();
    let ways = [question.id.is_some(), of_client, question.slowest.is_some()];
    if ways.iter().filter(|given| **given).count() != 1 {
        let text = "explain: ask with --id of one request, with --slowest N of several, or with --client for the next";
        return Err(text.to_owned());
    }
    let is_number = |text: &String| text.parse::<u16>().is_ok_and(|number| number > 0);
    if question.slowest.as_ref().is_some_and(|text| !is_number(text)) {
        return Err("explain: --slowest is how many, such as 10".to_owned());
    }
    if !of_client && (question.path.is_some() || question.host.is_some()) {
        return Err("explain: --path and --host go with --client".to_owned());
    }
    Ok(Command::Explain { config: flags.config, question })
}

fn at_most(most: usize, words: &[OsString]) -> Result<(), String> {
    words.get(most).map_or(Ok(()), |extra| Err(format!("unexpected argument {extra:?}")))
}

impl Flags {
    /// Refuses flags that the command does not have.
    fn only(&self, command: &str, allowed: &[&str]) -> Result<(), String> {
        let given = [
            ("config", self.config.is_some()),
            ("pid-file", self.pid_file.is_some()),
            ("algorithm", self.algorithm.is_some()),
            ("without", !self.without.is_empty()),
            ("time-field", self.time_field.is_some()),
            ("probe", self.probe),
            ("quiet", self.quiet),
            ("id", self.question.id.is_some()),
            ("client", self.question.client.is_some()),
            ("path", self.question.path.is_some()),
            ("host", self.question.host.is_some()),
            ("slowest", self.question.slowest.is_some()),
            ("from", self.convert.from.is_some()),
            ("release", self.convert.release.is_some()),
            ("report", self.convert.report.is_some()),
        ];
        match given.iter().find(|(name, given)| *given && !allowed.contains(name)) {
            Some((name, _)) => Err(format!("{command} takes no --{name}")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
