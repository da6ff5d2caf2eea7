//! The client's side: accepts connections, reads requests, writes answers. The only folder (with `demo`) that
//! names tiny_http.
//!
//! `front` stands before every listener unless the configuration says `"front": false`; then `tiny` does,
//! tiny_http's acceptor for trusted networks. Both hand a [`ClientRequest`] to a [`Sink`]; the rest of the
//! program sees no more of them than [`ClientStream`], [`Responder`] and [`Door`], and
//! tests fake the stream.

mod bind;
mod client_stream;
mod date;
mod door;
mod front;
mod limits;
mod listen_socket;
mod refused_head;
mod request;
mod responder;
mod sink;
mod socket_options;
mod surplus;
mod tiny;

pub use bind::bind;
pub use client_stream::{ClientStream, Ending};
pub use door::{Counts, Door};
pub use front::{Front, FrontSettings};
pub use limits::ClientLimits;
pub use listen_socket::ListenSocket;
pub use request::ClientRequest;
pub use responder::{Framing, Responder};
pub use sink::Sink;
pub use tiny::TinyListener;
