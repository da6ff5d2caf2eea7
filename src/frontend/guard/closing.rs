//! How the guard ends connections.

use std::collections::HashMap;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::time::Instant;

use super::GuardSettings;
use super::judge::Verdict;
use crate::frontend::connections::Connections;
use crate::frontend::entry::{Closed, Entry};
use crate::frontend::refused_head::refusal;
use crate::frontend::socket::{ClientSocket, Seen};
use crate::http::address::network_of;

/// Ends a connection. Under the table's lock, so that no worker writes at the same time; nothing here
/// waits.
pub(super) fn act(connections: &Connections, entry: &mut Entry, seen: &Seen, verdict: Verdict, now: Instant) {
    if verdict == Verdict::Leave {
        return;
    }
    let Some(socket) = ClientSocket::at(seen.fd, seen.peer, connections.local_port) else { return };
    entry.closed = Some(Closed { since: now, cookie: socket.cookie() });
    match verdict {
        Verdict::Refuse(code, reason) => {
            let answer = refusal("guard", (code, reason), seen.peer, &*connections.sink);
            let _ = socket.write_now(answer.as_bytes());
            socket.shutdown(Shutdown::Write);
            if code == 431 {
                // What is queued would still be parsed, and there may be megabytes of it.
                socket.reset();
            }
        }
        Verdict::Close | Verdict::Leave => {}
    }
    socket.shutdown(Shutdown::Both);
}

/// More connections than there may be, in all or from one address: the newest that are idle go;
/// says how many.
pub(super) fn close_surplus(
    connections: &Connections,
    table: &mut HashMap<SocketAddr, Entry>,
    seen: &[Seen],
    settings: &GuardSettings,
    now: Instant,
) -> u64 {
    // Those whose client has gone end by themselves, and keep nobody out.
    let seen: Vec<&Seen> = seen.iter().filter(|seen| !seen.ended).collect();
    let mut surplus = seen.len().saturating_sub(settings.max_connections);
    let mut per_client: HashMap<IpAddr, usize> = HashMap::new();
    if surplus == 0 && settings.max_connections_per_ip.is_none() {
        return 0;
    }
    let mut closed = 0;
    let mut newest_last = seen;
    newest_last.sort_by_key(|seen| table.get(&seen.peer).map(|entry| entry.since));
    for seen in newest_last.iter() {
        *per_client.entry(network_of(seen.peer.ip())).or_default() += 1;
    }
    for seen in newest_last.into_iter().rev() {
        let of_client = per_client.entry(network_of(seen.peer.ip())).or_default();
        let too_many = surplus > 0 || settings.max_connections_per_ip.is_some_and(|most| *of_client > most);
        let Some(entry) =
            table.get_mut(&seen.peer).filter(|entry| entry.busy.is_none() && entry.closed.is_none())
        else {
            continue;
        };
        if too_many {
            *of_client -= 1;
            surplus = surplus.saturating_sub(1);
            act(connections, entry, seen, Verdict::Close, now);
            closed += 1;
        }
    }
    closed
}
