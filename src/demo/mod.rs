//! `loadbalancer demo`: three embedded backends and a balancer before them, without any setup.

pub mod echo;
pub(crate) mod requests;

use std::io::{self, Write};
use std::net::TcpListener;
use std::sync::Arc;

use serde_json::json;

use crate::app::{App, Source, StartError};
use crate::config::{self, ListenAddress, Overrides};
use crate::logging::Logs;
use crate::renewal::Succession;
use crate::shutdown::ControlReceiver;
use echo::{Echo, EchoOptions};

/// The result of a run.
pub type Result = std::result::Result<(), StartError>;

/// Number of backends.
const BACKENDS: usize = 3;
/// The usual port; if it is taken, the system chooses another one.
const USUAL_PORT: u16 = 8080;

/// Runs until a signal asks for the end.
///
/// # Errors
/// See [`StartError`].
pub fn run(logs: Arc<Logs>, requests: &ControlReceiver) -> Result {
    let mut backends = Vec::new();
    for number in 1..=BACKENDS {
        let options = EchoOptions { name: format!("backend-{number}"), ..EchoOptions::default() };
        backends.push(Echo::start(TcpListener::bind("127.0.0.1:0")?, options)?);
    }
    let app = start_balancer(&backends, logs)?;
    // If nobody reads standard output, the demo runs all the same.
    let _ = io::stdout().write_all(guide(&backends, app.address()).as_bytes());
    app.wait(requests);
    Ok(())
}

fn start_balancer(backends: &[Echo], logs: Arc<Logs>) -> std::result::Result<App, StartError> {
    let start = |port, logs| {
        let config = configuration(backends, port)?;
        App::start(config, (None, None), (Source::Embedded, Succession::Nobody), Arc::default(), logs)
    };
    match start(USUAL_PORT, Arc::clone(&logs)) {
        Err(StartError::Listen(..)) => start(0, logs),
        result => result,
    }
}

fn configuration(backends: &[Echo], port: u16) -> io::Result<config::Config> {
    let urls: Vec<_> =
        backends.iter().map(|echo| json!({ "url": format!("http://{}", echo.address()) })).collect();
    let text = json!({
        "listen": format!("127.0.0.1:{port}"),
        "backends": urls,
        "health_check": { "interval": "2s", "timeout": "1s" },
    });
    config::parse(&text.to_string(), &Overrides::default())
        .map_err(|mistakes| io::Error::other(mistakes.to_string()))
}

fn guide(backends: &[Echo], balancer: &ListenAddress) -> String {
    let mut text = String::from("\nThree backends:\n");
    for (index, backend) in backends.iter().enumerate() {
        text.push_str(&format!("  backend-{}  http://{}\n", index + 1, backend.address()));
    }
    text.push_str(&format!(
        "One balancer:\n  http://{balancer}\n\nTry, a few times:\n  curl http://{balancer}/hello\n\
         and look at what it counts, in a browser or by hand:\n  http://{balancer}/lb-dashboard\n  \
         curl http://{balancer}/lb-metrics\n\nCtrl-C drains and ends it.\n\n"
    ));
    text
}
