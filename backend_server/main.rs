//! An echo backend for trying things out: `backend_server --port 3001 --name backend-1`.

use std::ffi::OsString;
use std::io::Write;
use std::net::Ipv6Addr;
use std::process::ExitCode;

use lexopt::prelude::{Long, Short};
use loadbalancer::cli::single_dash;
use loadbalancer::demo::echo::{Echo, EchoOptions};
use loadbalancer::{frontend, shutdown};

const HELP: &str = "\
An echo backend for trying a load balancer out.

usage: backend_server --port PORT --name NAME [--latency DURATION] [--fail]
       backend_server --help | --version

  --port PORT         where to listen, on all addresses; 0 takes a free port
  --name NAME         what the answers call it
  --latency DURATION  delays every answer but /health's, for example 2s
  --fail              closes the connection without an answer on every path but /health
";

struct Options {
    port: u16,
    echo: EchoOptions,
}

fn main() -> ExitCode {
    match parse(std::env::args_os().skip(1)) {
        Ok(Some(options)) => run(options),
        Ok(None) => ExitCode::SUCCESS,
        Err(mistake) => fail(2, &format!("{mistake}\nTry 'backend_server --help'.")),
    }
}

fn run(options: Options) -> ExitCode {
    let requests = match shutdown::listen() {
        Ok((_, requests)) => requests,
        Err(error) => return fail(1, &format!("cannot listen for signals: {error}")),
    };
    let name = options.echo.name.clone();
    let listening = frontend::bind((Ipv6Addr::UNSPECIFIED, options.port).into())
        .and_then(|listener| Echo::start(listener, options.echo));
    let echo = match listening {
        Ok(echo) => echo,
        Err(error) => return fail(1, &format!("cannot listen on port {}: {error}", options.port)),
    };
    let mut out = std::io::stdout();
    let port = echo.address().port();
    let line =
        format!("{name} listening on http://127.0.0.1:{port} and all other addresses of this machine\n");
    // Where nobody reads it, the backend still runs.
    let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
    let is_end = |request| matches!(request, shutdown::Control::Drain(_));
    while requests.recv().is_ok_and(|request| !is_end(request)) {}
    drop(echo);
    ExitCode::SUCCESS
}

const VERSION: &str = concat!("backend_server ", env!("CARGO_PKG_VERSION"));

/// `None` where help or the version was asked for, and printed.
fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Option<Options>, String> {
    let arguments =
        single_dash::doubled(arguments, &["port", "name", "latency"], &["fail", "help", "version"]);
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut options =
        Options { port: 3001, echo: EchoOptions { name: "backend".into(), ..EchoOptions::default() } };
    while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
        match argument {
            Long("port") => {
                let text = value(&mut parser)?;
                options.port =
                    text.parse().map_err(|_| format!("--port {text}: a port is a number from 0 to 65535"))?;
            }
            Long("name") => options.echo.name = value(&mut parser)?,
            Long("latency") => {
                let text = value(&mut parser)?;
                options.echo.latency = humantime::parse_duration(&text)
                    .map_err(|error| format!("--latency {text}: {error}; write 2s or 50ms"))?;
            }
            Long("fail") => options.echo.fail = true,
            Long("help") | Short('h') => return Ok(print(HELP)),
            Long("version") | Short('V') => return Ok(print(&format!("{VERSION}\n"))),
            other => return Err(other.unexpected().to_string()),
        }
    }
    Ok(Some(options))
}

fn print(text: &str) -> Option<Options> {
    // A reader that has seen enough (`| head`) is no failure.
    let _ = std::io::stdout().write_all(text.as_bytes());
    None
}

fn value(parser: &mut lexopt::Parser) -> Result<String, String> {
    parser.value().map(|value| value.to_string_lossy().into_owned()).map_err(|error| error.to_string())
}

fn fail(code: u8, message: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "backend_server: {message}");
    ExitCode::from(code)
}
