//! The client's side: accepts connections, delivers requests one at a time for each of them, writes
//! answers. The only folder (with `demo`) that names tiny_http.
//!
//! tiny_http reads heads and decodes bodies. What it lacks as a proxy's front stands around it:
//! `connections` lets one request a connection through at a time, `socket` holds the client's socket,
//! `stream` reads bodies that may not end well and ends connections, `guard` watches those that are
//! not in a worker's hands; `front` stands before all that on listeners that ask for it. The rest of the
//! program sees [`ClientRequest`], and tests fake its stream.

mod acceptor;
mod connections;
mod door;
mod entry;
mod filter;
mod front;
mod guard;
mod listener;
mod refused_head;
mod request;
mod responder;
mod rush;
mod sink;
mod socket;
mod stream;
mod surplus;

pub use connections::{Counts, MAX_ANNOUNCED_BODY};
pub use door::Door;
pub use front::{Front, FrontSettings};
pub use guard::GuardSettings;
pub use listener::Frontend;
pub use request::ClientRequest;
pub use responder::Framing;
pub use sink::{More, Sink};
pub use stream::{ClientStream, Ending, TunnelEnd};
