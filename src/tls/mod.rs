//! TLS on sockets that others own: for `https` backends here, for clients in `server`. The only folder
//! that names rustls. Without the cargo feature `tls` the same names exist and every use of them says
//! that this binary has none.

#[cfg(feature = "tls")]
mod client;
#[cfg(not(feature = "tls"))]
mod without;

#[cfg(feature = "tls")]
pub use client::{ClientSession, ClientSettings};
#[cfg(not(feature = "tls"))]
pub use without::{ClientSession, ClientSettings};
