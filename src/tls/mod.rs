//! TLS on sockets owned by other modules: `client` for `https` backends, `server` for clients. The only
//! folder that uses rustls. Without the cargo feature `tls` the same names exist, and every use reports that
//! this binary has no TLS.

#[cfg(feature = "tls")]
mod by_name;
mod certificate;
#[cfg(feature = "tls")]
mod client;
pub mod files;
#[cfg(feature = "tls")]
mod pairs;
#[cfg(feature = "tls")]
mod pem;
#[cfg(feature = "tls")]
mod roots;
#[cfg(feature = "tls")]
mod server;
#[cfg(feature = "tls")]
mod server_name;
#[cfg(not(feature = "tls"))]
mod without;

pub use certificate::Certificate;
#[cfg(feature = "tls")]
pub use client::{ClientSession, ClientSettings};
#[cfg(feature = "tls")]
pub use roots::RenewedRoots;
#[cfg(feature = "tls")]
pub use server::{ServerSession, ServerSettings};
#[cfg(not(feature = "tls"))]
pub use without::{ClientSession, ClientSettings, RenewedRoots, ServerSession, ServerSettings};
