//! Where backends are: names, addresses, both families, https, and the connections kept to them.

mod addresses;
mod dns_server;
mod https_backends;
mod idle_connections;
mod ipv6;
mod names;

use serde_json::{Value, json};

use crate::support::{Backend, config, eventually, lay_over};

/// Backends on one port of as many addresses: 127.0.NETWORK.1 and so on, each named by its number.
fn fleet(network: u8, count: u8) -> Vec<Backend> {
    eventually("a port that is free on all addresses", || {
        let port = Backend::named("probe").address().port();
        let one = |number: u8| Backend::on(([127, 0, network, number], port).into(), &number.to_string());
        (1..=count).map(one).collect::<Option<Vec<_>>>()
    })
}

/// A configuration with one name, asked of this server as often as may be.
fn by_name(server: &str, port: u16, more: Value) -> Value {
    let mut config = config(&[], json!({ "timeouts": { "resolve": "300ms" } }));
    lay_over(&mut config, more);
    config["backends"] = json!([{ "url": format!("http://app.test:{port}"), "addresses": "each" }]);
    config["dns"] = json!({ "servers": [server], "timeout": "200ms", "min_ttl": "100ms" });
    config
}
