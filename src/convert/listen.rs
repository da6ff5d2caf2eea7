//! Listening addresses, collected from the whole file.

use serde_json::{Value as Json, json};

use super::draft::{Object, push, put};

/// See the module.
#[derive(Debug, Default)]
pub struct Listeners {
    plain: Vec<String>,
    tls: Vec<String>,
    certificates: Vec<Json>,
    /// Whether plain requests are redirected to https.
    pub redirect_http: bool,
}

/// Adds an address; IPv4 and IPv6 on one port become a single listener.
fn add(list: &mut Vec<String>, address: &str) {
    let port = address.strip_prefix("0.0.0.0:").or_else(|| address.strip_prefix("[::]:"));
    let other = port.map(|port| match address.starts_with('[') {
        true => format!("0.0.0.0:{port}"),
        false => format!("[::]:{port}"),
    });
    if let (Some(port), Some(place)) = (port, list.iter().position(|known| Some(known) == other.as_ref())) {
        list[place] = format!(":{port}");
    } else if !list
        .iter()
        .any(|known| known == address || port.is_some_and(|port| *known == format!(":{port}")))
    {
        list.push(address.to_owned());
    }
}

impl Listeners {
    /// Adds an address with or without TLS.
    pub fn add(&mut self, address: &str, is_tls: bool) {
        add(if is_tls { &mut self.tls } else { &mut self.plain }, address);
    }

    /// Adds a certificate and its key.
    pub fn certificate(&mut self, pair: Json) {
        if !self.certificates.contains(&pair) {
            self.certificates.push(pair);
        }
    }

    /// Whether there is a TLS listener and a certificate.
    pub fn has_tls(&self) -> bool {
        !self.tls.is_empty() && !self.certificates.is_empty()
    }

    /// Whether there is a plain listener.
    pub fn has_plain(&self) -> bool {
        !self.plain.is_empty()
    }

    /// Writes the listeners. Returns `false` if TLS listeners are left out for lack of a certificate.
    pub fn finish(self, top: &mut Object) -> bool {
        let is_complete = self.tls.is_empty() || !self.certificates.is_empty();
        if !self.tls.is_empty() && is_complete {
            put(top, "tls.listen", one_or_several(&self.tls));
            if let Some(Json::Object(tls)) = top.get_mut("tls") {
                for pair in self.certificates {
                    push(tls, "certificates", pair);
                }
                if self.redirect_http {
                    tls.insert("redirect_http".into(), json!(true));
                }
            }
        }
        if !self.plain.is_empty() {
            put(top, "listen", one_or_several(&self.plain));
        }
        is_complete
    }
}

fn one_or_several(addresses: &[String]) -> Json {
    match addresses {
        [one] => json!(one),
        several => json!(several),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_of_a_port_are_one_listener() {
        let mut listeners = Listeners::default();
        for address in ["0.0.0.0:80", "[::]:80", "0.0.0.0:80", "127.0.0.1:8080"] {
            listeners.add(address, false);
        }
        for address in ["0.0.0.0:443", "[::]:443", "0.0.0.0:8443"] {
            listeners.add(address, true);
        }
        listeners.certificate(json!({ "certificate": "c", "private_key": "k" }));
        let mut top = Object::new();
        assert!(listeners.finish(&mut top));
        let expected = json!({ "tls": { "listen": [":443", "0.0.0.0:8443"], "certificates": [{ "certificate": "c", "private_key": "k" }] },
                               "listen": [":80", "127.0.0.1:8080"] });
        assert_eq!(Json::Object(top), expected);
    }
}
