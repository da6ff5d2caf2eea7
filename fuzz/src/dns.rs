//! Answers of name servers.

use std::time::Duration;

use loadbalancer::names::dns::{Kind, Record, read};

/// Input: hexadecimal digits of a message; whatever else stands there is passed over.
///
/// Whatever a server sends: it is read or refused, what is read belongs to the question, and there is some of it.
pub fn dns_answer(input: &[u8]) {
    let digits: Vec<u8> =
        input.iter().filter_map(|byte| (*byte as char).to_digit(16)).map(|it| it as u8).collect();
    let message: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    let id = message.get(..2).map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
    for kind in [Kind::A, Kind::Aaaa, Kind::Srv] {
        let Ok(Some(answer)) = read(&message, ("app.test.", kind, id)) else { continue };
        assert!(!answer.records.is_empty() && answer.ttl < Duration::MAX);
        for record in answer.records {
            match (kind, record) {
                (Kind::A, Record::Address(ip)) => assert!(ip.is_ipv4()),
                (Kind::Aaaa, Record::Address(ip)) => assert!(ip.is_ipv6()),
                (Kind::Srv, Record::Service { .. }) => {}
                (kind, record) => panic!("{record:?} answers {kind:?}"),
            }
        }
    }
}
