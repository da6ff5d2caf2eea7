//! The admin listener of a balancer, as its users ask it.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{Backend, Balancer, Client, Response, config};

/// A balancer with an admin listener.
pub struct Admin {
    /// The balancer.
    pub balancer: Balancer,
    /// Where its admin listener is.
    pub address: SocketAddr,
}

impl Admin {
    /// With these settings of the admin listener.
    pub fn start(backends: &[&Backend], admin: Value) -> Admin {
        Admin::over(config(backends, json!({ "admin": admin })))
    }

    /// With an admin listener on a free port of loopback.
    pub fn on_loopback(backends: &[&Backend]) -> Admin {
        Admin::start(backends, json!({ "listen": "127.0.0.1:0" }))
    }

    /// With this configuration, which has an admin listener.
    pub fn over(config: Value) -> Admin {
        let balancer = Balancer::start(config);
        let address = balancer.address_as("admin");
        Admin { balancer, address }
    }

    /// A request on a connection of its own, with `Host` where it is not among the fields.
    pub fn ask(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> Response {
        let mut client = Client::connect(self.address);
        let host = format!("127.0.0.1:{}", self.address.port());
        let mut text = format!("{method} {path} HTTP/1.1\r\n");
        if !fields.iter().any(|(name, _)| *name == "Host") {
            text.push_str(&format!("Host: {host}\r\n"));
        }
        fields.iter().for_each(|(name, value)| text.push_str(&format!("{name}: {value}\r\n")));
        client.send(text + "\r\n");
        client.read_response_to(method)
    }

    /// A POST without a body.
    pub fn post(&self, path: &str) -> Response {
        self.ask("POST", path, &[])
    }
}
