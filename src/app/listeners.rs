//! The listening sockets: opened or inherited, and given to the listeners that accept on them.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use log::Level::Warn;

use super::lazy_gauges::Listeners;
use super::source::Source;
use super::start_error::StartError;
use crate::config::{Config, ListenAddress};
use crate::frontend::{ClientLimits, Dispatch, Front, FrontSettings, ListenSocket, Listener, TinyListener};
use crate::logging::event;
use crate::pool::SharedLive;
use crate::reload::Reloader;
use crate::renewal::{self, HandedOver, Predecessor};
use crate::tls::ServerSettings;
use crate::traffic::Traffic;

/// The sockets, one for each configured listener.
pub(super) struct Sockets {
    plain: Vec<ListenSocket>,
    tls: Vec<ListenSocket>,
    admin: Option<ListenSocket>,
    /// Whether a service manager holds some of the sockets, too.
    pub stay: bool,
    /// The admin overrides of the previous process.
    pub by_hand: Option<String>,
}

/// Opens the sockets. Inherited sockets are used if they are for a configured address, which may have
/// changed.
pub(super) fn open(source: Source, config: &Config) -> Result<(Option<Predecessor>, Sockets), StartError> {
    let (predecessor, mut inherited, stay, by_hand) = match source {
        Source::Renewal(channel) => {
            let (predecessor, handed_over) = Predecessor::at(channel)?;
            let HandedOver { listeners, sockets_stay, by_hand } = handed_over;
            (Some(predecessor), listeners, sockets_stay, Some(by_hand))
        }
        Source::Fresh | Source::Embedded => {
            let listeners = renewal::activated_sockets()?;
            let stay = !listeners.is_empty();
            (None, listeners, stay, None)
        }
    };
    let mut socket = |wanted: &ListenAddress| -> Result<ListenSocket, StartError> {
        let exactly = inherited.iter().position(|listener| renewal::is_wanted(listener, wanted));
        let place = exactly.or_else(|| inherited.iter().position(|it| renewal::is_half_of(it, wanted)));
        if let Some(index) = place {
            let listener = inherited.remove(index);
            tell_of_one_family(&listener, wanted);
            return Ok(listener);
        }
        tell_of_unused(&inherited, wanted);
        let listener =
            ListenSocket::bind(wanted).map_err(|error| StartError::Listen(wanted.clone(), error))?;
        tell_of_one_family(&listener, wanted);
        Ok(listener)
    };
    let plain = config.listen.iter().map(&mut socket).collect::<Result<_, _>>()?;
    let tls = config.tls.iter().flat_map(|tls| &tls.listen).map(&mut socket).collect::<Result<_, _>>()?;
    let admin = config.admin.as_ref().map(|admin| socket(&ListenAddress::Tcp(admin.listen))).transpose()?;
    Ok((predecessor, Sockets { plain, tls, admin, stay, by_hand }))
}

/// Warns about an IPv4 socket where all addresses are wanted: the system has no IPv6, or the socket was
/// inherited.
fn tell_of_one_family(listener: &ListenSocket, wanted: &ListenAddress) {
    let (Some(actual), Some(wanted)) = (listener.address().tcp(), wanted.tcp()) else { return };
    if actual.is_ipv4() && wanted.is_ipv6() {
        let fields: [(&str, &dyn std::fmt::Display); 2] = [("wanted", &wanted), ("listens_on", &actual)];
        event(Warn, "app", "only IPv4 is served here", &fields);
    }
}

/// Warns if no inherited socket fits; usually the address is written in two ways, such as `[::]:80` and
/// `0.0.0.0:80`.
fn tell_of_unused(inherited: &[ListenSocket], wanted: &ListenAddress) {
    if !inherited.is_empty() {
        let addresses: Vec<_> = inherited.iter().map(|listener| listener.address().to_string()).collect();
        let fields: [(&str, &dyn std::fmt::Display); 2] =
            [("wanted", &wanted), ("inherited", &addresses.join(" "))];
        event(Warn, "app", "no inherited socket is for this address", &fields);
    }
}

/// Accepts on all sockets, starting with the plain ones. Only plain TCP can use tiny_http, which identifies a
/// connection by its peer's address; Unix sockets have none and always use the front.
pub(super) fn serve(
    sockets: Sockets,
    certificates: Option<ServerSettings>,
    reloader: &Reloader,
    live: &Arc<SharedLive>,
    (dispatch, admin_dispatch): (Arc<dyn Dispatch>, Option<Arc<dyn Dispatch>>),
    traffic: &Arc<Traffic>,
) -> io::Result<Listeners> {
    let config = live.get().config.clone();
    let front = |listener, tls, proxy_protocol, dispatch, traffic| {
        let may_send_proxy_header = Box::new(may_send_proxy_header(live));
        let how = FrontSettings { tls, proxy_protocol, may_send_proxy_header, traffic };
        Front::start(listener, how, limits(live), dispatch).map(Arc::new)
    };
    let mut listeners: Listeners = Vec::new();
    for socket in sockets.plain {
        let (dispatch, traffic) = (Arc::clone(&dispatch), Arc::clone(traffic));
        let is_tiny = !config.front && !config.proxy_protocol && socket.address().tcp().is_some();
        listeners.push(match is_tiny {
            false => front(socket, None, config.proxy_protocol, dispatch, traffic)?,
            true => Arc::new(TinyListener::start(socket, config.limits.max_connections, dispatch, traffic)?),
        });
    }
    if let (Some(tls), Some(certificates)) = (&config.tls, certificates) {
        reloader.note_certificates(&certificates);
        let mut fronts = Vec::new();
        for socket in sockets.tls {
            let (dispatch, traffic) = (Arc::clone(&dispatch), Arc::clone(traffic));
            fronts.push(front(socket, Some(certificates.clone()), tls.proxy_protocol, dispatch, traffic)?);
        }
        listeners.extend(fronts.iter().map(|front| Arc::clone(front) as Arc<dyn Listener>));
        reloader.on_certificates(move |certificates| {
            fronts.iter().for_each(|front| front.set_tls(certificates.clone()));
        });
    }
    if let (Some(listener), Some(dispatch)) = (sockets.admin, admin_dispatch) {
        // Requests of operators do not count as client traffic.
        listeners.push(front(listener, None, false, dispatch, Arc::default())?);
    }
    Ok(listeners)
}

fn may_send_proxy_header(live: &Arc<SharedLive>) -> impl Fn(IpAddr) -> bool + Send + Sync + 'static {
    let live = Arc::clone(live);
    move |peer| live.get().config.may_send_proxy_header(peer)
}

fn limits(live: &Arc<SharedLive>) -> impl Fn() -> ClientLimits + Send + Sync + 'static {
    let live = Arc::clone(live);
    move || {
        let live = live.get();
        let (timeouts, limits) = (&live.config.timeouts, &live.config.limits);
        ClientLimits {
            client_header: timeouts.client_header,
            client_idle: timeouts.client_idle,
            client_body: timeouts.client_body,
            client_write: timeouts.client_write,
            max_header_bytes: limits.max_header_bytes,
            max_connections: limits.max_connections,
            max_connections_per_ip: limits.max_connections_per_ip,
        }
    }
}
