//! Passes bytes both ways once a backend has granted an upgrade (WebSocket, mostly).
//!
//! The worker leaves the pool and carries the client's bytes; a thread of the tunnel's own carries the
//! backend's. The tunnel is over when the backend ends its side; when the client ends its side, the
//! backend is told, and its last bytes still pass.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::thread;

use super::{End, Outcome, Refusal};
use crate::frontend::{ClientRequest, TunnelEnd};
use crate::http::Headers;
use crate::pool::Lease;
use crate::transport::BackendTunnel;

/// One read's worth; most frames are small.
const PIECE_BYTES: usize = 16 << 10;
/// The stack of the thread that carries the backend's bytes.
const STACK_BYTES: usize = 128 << 10;

/// Answers with these fields and runs the tunnel to its end.
pub fn relay(
    request: &mut ClientRequest,
    headers: &Headers,
    backend: BackendTunnel,
    lease: Lease,
) -> Outcome {
    if !request.place.as_ref().is_some_and(|place| place.leave()) {
        return Outcome::refused(request, Refusal::TooManyStreams);
    }
    let name = Some(lease.backend().name().to_owned());
    let end = match request.responder.start_tunnel(headers) {
        Ok(client) => carry(request, client, backend),
        Err(_) => End::ClientGone,
    };
    request.responder.break_off();
    Outcome { status: 101, backend: name, attempts: 1, end }
}

fn carry(request: &mut ClientRequest, mut client: Box<dyn TunnelEnd>, backend: BackendTunnel) -> End {
    let BackendTunnel { mut reader, mut writer, end_sending, closer } = backend;
    // Should the client vanish without a word, the guard ends the backend's side.
    request.watch.waits_in(Arc::downgrade(&closer));
    let to_client = move || {
        let bytes = copy(&mut *reader, &mut *client);
        // Wakes the worker, which waits for the client.
        client.close();
        bytes
    };
    let thread = thread::Builder::new().name("tunnel".into()).stack_size(STACK_BYTES).spawn(to_client);
    let Ok(thread) = thread else {
        closer.interrupt();
        return End::BackendBrokeOff;
    };
    copy(&mut request.responder, &mut *writer);
    // What the backend still says gets through, until the guard takes the client for gone.
    end_sending();
    let bytes = thread.join().unwrap_or(0);
    request.watch.waits_no_more();
    request.responder.add_bytes(bytes);
    End::Relayed
}

/// Until one side ends; how many bytes passed.
fn copy(from: &mut dyn Read, to: &mut dyn Write) -> u64 {
    let mut piece = vec![0; PIECE_BYTES];
    let mut bytes = 0;
    loop {
        match from.read(&mut piece) {
            Ok(0) => return bytes,
            Ok(amount) if to.write_all(&piece[..amount]).is_ok() => bytes += amount as u64,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            _ => return bytes,
        }
    }
}
