//! Listeners: addresses, Unix sockets, TLS.

mod all_listeners;
mod listeners;
mod tls;
