//! The PROXY header before everything else: who may send one, and what is not taken for one.

use std::io::Write;

use serde_json::{Value, json};

use crate::support::{Backend, Balancer, Client, Signal, config, eventually, patience};

fn start(more: Value) -> (Backend, Balancer) {
    let backend = Backend::named("one");
    let mut config = config(&[&backend], more);
    config["proxy_protocol"] = json!(true);
    (backend, Balancer::start(config))
}

/// Whether a request behind this header is answered; it comes in pieces of this size.
fn is_taken(balancer: &Balancer, header: &[u8], step: usize) -> bool {
    let mut client = balancer.connect();
    let mut stream = client.stream();
    for piece in header.chunks(step) {
        if stream.write_all(piece).is_err() {
            return false;
        }
        if step < header.len() {
            std::thread::yield_now();
        }
    }
    is_answered(&mut client)
}

fn is_answered(client: &mut Client) -> bool {
    client.send_if_open("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    client.try_read_response_to("GET").is_ok_and(|answer| answer.status == 200)
}

fn version_2(extensions: &[u8]) -> Vec<u8> {
    let addresses = [192, 0, 2, 1, 192, 0, 2, 2, 0x30, 0x39, 0, 80];
    let length = (addresses.len() + extensions.len()) as u16;
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11".to_vec();
    header.extend_from_slice(&length.to_be_bytes());
    header.extend_from_slice(&addresses);
    header.extend_from_slice(extensions);
    header
}

#[test]
fn long_extensions_pass_however_they_are_cut() {
    let (backend, balancer) = start(json!({}));
    // 4,096 bytes of them together.
    let extensions =
        [[&[0x04, 0x07, 0xfd][..], &[0; 2045]].concat(), [&[0xe0, 0x07, 0xfd][..], &[0; 2045]].concat()];
    let header = version_2(&extensions.concat());
    for step in [1, 100, 1460, 4096, header.len()] {
        assert!(is_taken(&balancer, &header, step), "in pieces of {step}");
    }
    assert_eq!(backend.wait_for(5).header("x-real-ip"), Some("192.0.2.1"));
}

#[test]
fn what_could_be_read_in_two_ways_is_closed() {
    let (backend, balancer) = start(json!({}));
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
    let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
    assert_eq!((longest.len(), long.len()), (107, 108));
    let wrong_sum = version_2(&[3, 0, 4, 1, 2, 3, 4]);
    for refused in [
        &b"PROXY TCP4 192.0.2.1 192.0.2.2 +1 80\r\n"[..],
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 080\r\n",
        long.as_bytes(),
        &wrong_sum,
        b"",
    ] {
        assert!(!is_taken(&balancer, refused, usize::MAX), "{:?}", String::from_utf8_lossy(refused));
    }
    assert_eq!(backend.heads(), 0);
    assert!(is_taken(&balancer, longest.as_bytes(), usize::MAX));
}

#[test]
fn only_named_peers_may_send_one_and_a_reload_changes_who() {
    let (_backend, balancer) = start(json!({ "proxy_protocol_from": ["192.0.2.0/24", "127.0.0.1/32"] }));
    let header = b"PROXY TCP4 198.51.100.1 192.0.2.2 1 80\r\n";
    assert!(is_taken(&balancer, header, usize::MAX));
    let backend = Backend::named("one");
    let mut changed = config(&[&backend], json!({ "proxy_protocol_from": ["192.0.2.0/24"] }));
    changed["proxy_protocol"] = json!(true);
    balancer.write_config(&changed.to_string());
    balancer.signal(Signal::HUP);
    eventually("it is a stranger now", || !is_taken(&balancer, header, usize::MAX));
    balancer.wait_for_log("closed connections of peers that may send no PROXY header");
    assert!(balancer.connect().is_closed_within(patience()));
}
