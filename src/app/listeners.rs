//! The listening sockets: where they come from, and who accepts on them.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use super::late::Doors;
use super::{Source, StartError};
use crate::config::Config;
use crate::frontend::{Door, Frontend, GuardSettings, Sink};
use crate::pool::SharedLive;
use crate::renewal::{self, Predecessor};
use crate::shutdown::Running;

/// One for each listener of the configuration.
pub(super) struct Sockets {
    plain: TcpListener,
    admin: Option<TcpListener>,
}

/// Opens the sockets; those that were inherited serve where they are the ones that are configured: an
/// address may have changed.
pub(super) fn open(source: Source, config: &Config) -> Result<(Option<Predecessor>, Sockets), StartError> {
    let (predecessor, mut inherited) = match Predecessor::of_this_process(source == Source::Renewal)? {
        Some((predecessor, listeners)) => (Some(predecessor), listeners),
        None => (None, renewal::activated_sockets()?),
    };
    let mut socket = |wanted: SocketAddr| {
        let found = inherited.iter().position(|listener| renewal::is_wanted(listener, wanted));
        match found {
            Some(index) => Ok(inherited.remove(index)),
            None => TcpListener::bind(wanted).map_err(|error| StartError::Listen(wanted, error)),
        }
    };
    let plain = socket(config.listen)?;
    let admin = config.admin.as_ref().map(|admin| socket(admin.listen)).transpose()?;
    Ok((predecessor, Sockets { plain, admin }))
}

/// Accepts on all of them, on the plain one first.
pub(super) fn serve(
    sockets: Sockets,
    live: &Arc<SharedLive>,
    sink: Sink,
    admin_sink: Option<Sink>,
    running: &Running,
) -> io::Result<Doors> {
    let frontend = |listener, sink| -> io::Result<Arc<dyn Door>> {
        Ok(Arc::new(Frontend::start(listener, guard_settings(live), sink, running.clone())?))
    };
    let mut doors = vec![frontend(sockets.plain, sink)?];
    if let (Some(listener), Some(sink)) = (sockets.admin, admin_sink) {
        doors.push(frontend(listener, sink)?);
    }
    Ok(doors)
}

fn guard_settings(live: &Arc<SharedLive>) -> impl Fn() -> GuardSettings + Send + 'static {
    let live = Arc::clone(live);
    move || {
        let live = live.get();
        let (timeouts, limits) = (&live.config.timeouts, &live.config.limits);
        GuardSettings {
            client_header: timeouts.client_header,
            client_idle: timeouts.client_idle,
            client_body: timeouts.client_body,
            client_write: timeouts.client_write,
            max_header_bytes: limits.max_header_bytes as u64,
            max_connections: limits.max_connections,
            max_connections_per_ip: limits.max_connections_per_ip,
        }
    }
}
