//! Where backends are: names, addresses, both families, https, and the connections kept to them.

mod addresses;
mod dns_server;
mod https_backends;
mod idle_connections;
mod ipv6;
mod names;
