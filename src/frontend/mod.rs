//! The client's side: accepts connections, reads requests, writes answers. The only folder that uses
//! tiny_http.
//!
//! `front` serves every listener unless the configuration says `"front": false`; then `tiny` does, an
//! acceptor on tiny_http for trusted networks. Both pass a [`ClientRequest`] to a [`Dispatch`]; the rest of
//! the program only sees [`ClientStream`], [`Responder`] and [`Listener`], and tests fake the stream.

mod bind;
mod client_stream;
mod date;
mod dispatch;
mod front;
mod limits;
mod listen_socket;
mod listener;
mod refused_head;
mod request;
mod responder;
mod socket_options;
mod surplus;
mod tiny;

pub use bind::bind;
pub use client_stream::{ClientStream, Ending};
pub use dispatch::Dispatch;
pub use front::{Front, FrontSettings};
pub use limits::ClientLimits;
pub use listen_socket::ListenSocket;
pub use listener::{Counts, Listener};
pub use request::ClientRequest;
pub use responder::{Framing, Responder};
pub use tiny::TinyListener;
