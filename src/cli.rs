//! Flags and environment become a [`Command`]; the help text. The only reader of the environment.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::prelude::{Long, Short, Value};

use crate::config::Overrides;

/// What `--help` prints.
pub const HELP: &str = "\
An HTTP/1.1 load balancer in one small binary.

usage: loadbalancer [--config FILE]   run until Ctrl-C, then drain
       loadbalancer check [FILE]      read and check a configuration, print what it resolves to
       loadbalancer demo              three embedded backends and a balancer before them
       loadbalancer --help | --version

The configuration comes from --config, else from the file that LB_CONFIG names, else from built-in
defaults: listen on 0.0.0.0:8080, backends http://localhost:3001 to 3003.

environment:
  LB_CONFIG     configuration file
  LB_ALGORITHM  overrides `algorithm`: round_robin, least_conn or ip_hash
  LB_LISTEN     overrides `listen`, for example 127.0.0.1:8080
  LB_DEBUG=1    log debug events

While it runs: curl http://localhost:8080/lb-metrics, /lb-health
Exit status: 0 after a clean drain, 1 for a failure at run time, 2 for usage or an invalid configuration.
";

/// What `--version` prints.
pub const VERSION: &str = concat!("loadbalancer ", env!("CARGO_PKG_VERSION"));

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Balance; with the file of `--config`, if any.
    Run(Option<PathBuf>),
    /// Check a file and print what it resolves to.
    Check(Option<PathBuf>),
    /// Balance over embedded backends.
    Demo,
    /// Print [`HELP`].
    Help,
    /// Print [`VERSION`].
    Version,
}

/// What the environment says.
#[derive(Debug, Default)]
pub struct Environment {
    /// `LB_CONFIG`.
    pub config: Option<PathBuf>,
    /// `LB_DEBUG`.
    pub debug: bool,
    /// Whether another process of ours started this one to take over from it.
    pub renewal: bool,
    /// `LB_ALGORITHM` and `LB_LISTEN`.
    pub overrides: Overrides,
}

/// Reads the command line.
///
/// # Errors
/// One message that says what is wrong with it.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut config = None;
    let mut words: Vec<OsString> = Vec::new();
    while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
        match argument {
            Long("help") | Short('h') => return Ok(Command::Help),
            Long("version") | Short('V') => return Ok(Command::Version),
            Long("config") | Short('c') => {
                config = Some(PathBuf::from(parser.value().map_err(|error| error.to_string())?));
            }
            Value(word) => words.push(word),
            other => return Err(other.unexpected().to_string()),
        }
    }
    command(config, &words)
}

fn command(config: Option<PathBuf>, words: &[OsString]) -> Result<Command, String> {
    let Some((word, rest)) = words.split_first() else { return Ok(Command::Run(config)) };
    match (word.to_str(), rest, config) {
        (Some("check"), [], config) => Ok(Command::Check(config)),
        (Some("check"), [file], None) => Ok(Command::Check(Some(file.into()))),
        (Some("check"), [_], Some(_)) => Err("name one file, not two".to_owned()),
        (Some("demo"), [], None) => Ok(Command::Demo),
        (Some("demo"), [], Some(_)) => Err("demo takes no configuration".to_owned()),
        (Some("check" | "demo"), [.., extra], _) => Err(format!("unexpected argument {extra:?}")),
        _ => Err(format!("there is no command {word:?}")),
    }
}

/// Reads the environment. Empty variables count as unset.
pub fn environment() -> Environment {
    let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let text = |name: &str| var(name).map(|value| (name.to_owned(), value.to_string_lossy().into_owned()));
    Environment {
        config: var("LB_CONFIG").map(PathBuf::from),
        debug: var("LB_DEBUG").is_some_and(|value| value != "0" && value != "false"),
        renewal: var(crate::renewal::MARK).is_some(),
        overrides: Overrides { algorithm: text("LB_ALGORITHM"), listen: text("LB_LISTEN") },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Result<Command, &str>) {
        let found = parse(line.split_whitespace().map(OsString::from));
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{line}"),
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{line}: {found}"),
            (found, _) => panic!("{line}: {found:?}"),
        }
    }

    #[test]
    fn commands_and_flags() {
        check("", Ok(Command::Run(None)));
        check("--config a.json", Ok(Command::Run(Some("a.json".into()))));
        check("-c a.json", Ok(Command::Run(Some("a.json".into()))));
        check("check", Ok(Command::Check(None)));
        check("check a.json", Ok(Command::Check(Some("a.json".into()))));
        check("check --config a.json", Ok(Command::Check(Some("a.json".into()))));
        check("demo", Ok(Command::Demo));
        check("demo --help", Ok(Command::Help));
        check("-V", Ok(Command::Version));
    }

    #[test]
    fn mistakes_are_named() {
        check("--confg x", Err("--confg"));
        check("--config", Err("--config"));
        check("chek", Err("\"chek\""));
        check("check a b", Err("\"b\""));
        check("check a --config b", Err("one file"));
        check("demo --config b", Err("no configuration"));
    }
}
