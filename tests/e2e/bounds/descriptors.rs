//! Running out of file descriptors: accepting recovers by itself, and limits are fitted to what there is.

use std::net::TcpStream;

use serde_json::json;

use crate::support::{Backend, Balancer, Client, Run, behind_front, config, eventually};

/// A balancer with so few open files that a burst of clients uses them up.
fn cramped(backend: &Backend) -> Balancer {
    let config = config(&[backend], json!({ "workers": 2, "limits": { "max_idle_per_backend": 2 } }));
    Run::with(&config).open_files(140).start()
}

#[test]
fn connections_are_limited_to_what_open_files_allow() {
    let backend = Backend::named("one");
    let balancer = cramped(&backend);
    let line = balancer.wait_for_log("limits.max_connections lowered");
    let possible = if behind_front() { (140 - 32 - 2) / 2 } else { (140 - 32 - 2) / 3 };
    assert!(line.contains(&format!("from=4096 to={possible} open_files=140")), "{line}");
}

#[test]
fn a_burst_that_uses_all_descriptors_up_does_not_end_the_accepting() {
    if !behind_front() {
        return; // tiny_http may stop accepting without a word
    }
    let backend = Backend::named("one");
    let balancer = cramped(&backend);
    for round in 1..=3 {
        let burst: Vec<_> = (0..150).filter_map(|_| TcpStream::connect(balancer.address()).ok()).collect();
        assert!(burst.len() > 100, "the backlog takes them");
        // The front takes no more than there are descriptors for in the first place.
        eventually("nobody accepts any more, and it is noticed", || {
            behind_front() || balancer.log_lines_with("nobody accepted connections").len() >= round
        });
        drop(burst);
        eventually("a new client is served", || {
            let mut client = Client::connect(balancer.address());
            client.ask("GET", "/", &[("Connection", "close")], b"");
            client.try_read_response_to("GET").is_ok_and(|answer| answer.status == 200)
        });
    }
}
