//! Which backend gets a request: the algorithms, as far as a client can tell.

use serde_json::json;

use crate::support::{Answer, Backend, Balancer, Behaviour, config, eventually};

fn three() -> [Backend; 3] {
    ["0", "1", "2"].map(Backend::named)
}

fn balancer(algorithm: &str, backends: &[Backend]) -> Balancer {
    let backends: Vec<_> = backends.iter().collect();
    Balancer::start(config(&backends, json!({ "algorithm": algorithm })))
}

#[test]
fn round_robin_is_strict_rotation() {
    let backends = three();
    let balancer = balancer("round_robin", &backends);
    let answers: Vec<_> = (0..9).map(|_| balancer.get("/").text().to_owned()).collect();
    assert_eq!(answers.concat(), "012012012");
}

#[test]
fn round_robin_is_the_default() {
    let backends = three();
    let balancer = Balancer::over(&backends.each_ref());
    assert_eq!(balancer.metrics()["algorithm"], "round_robin");
}

#[test]
fn rotation_is_the_same_on_one_connection() {
    let backends = three();
    let balancer = balancer("round_robin", &backends);
    let mut client = balancer.connect();
    let answers: Vec<_> = (0..6).map(|_| client.get("/").text().to_owned()).collect();
    assert_eq!(answers.concat(), "012012");
}

#[test]
fn rotation_goes_on_over_the_healthy_rest() {
    let backends = three();
    let balancer = balancer("round_robin", &backends);
    backends[1].set_healthy(false);
    balancer.wait_for_states(&["healthy", "unhealthy", "healthy"]);
    let answers = (0..6).map(|_| balancer.get("/").text().to_owned()).collect::<Vec<_>>().concat();
    assert!(answers == "020202" || answers == "202020", "{answers}");
}

#[test]
fn least_conn_goes_round_a_slow_backend() {
    let slow = Backend::that(Behaviour::Holds(Answer::ok("slow")));
    let backends = [slow, Backend::named("1"), Backend::named("2")];
    let balancer = balancer("least_conn", &backends);
    // Ties rotate, so one of three requests is the slow one's.
    let mut clients = [0, 1, 2].map(|_| balancer.asking("/"));
    let asked = || backends.iter().map(|backend| backend.asked().len()).sum::<usize>();
    eventually("all three are at a backend", || asked() == 3);
    eventually("the slow backend alone is busy", || active(&balancer) == [1, 0, 0]);
    for _ in 0..10 {
        assert_ne!(balancer.get("/").text(), "slow");
        eventually("the answer is done with", || active(&balancer) == [1, 0, 0]);
    }
    assert_eq!(backends[0].asked().len(), 1);
    backends[0].release();
    let answers = clients.each_mut().map(|client| client.read_response().text().to_owned());
    assert_eq!(answers.iter().filter(|answer| *answer == "slow").count(), 1);
}

fn active(balancer: &Balancer) -> Vec<u64> {
    let metrics = balancer.metrics();
    let backends = metrics["backends"].as_array().unwrap();
    backends.iter().map(|backend| backend["active_connections"].as_u64().unwrap()).collect()
}

#[test]
fn least_conn_rotates_where_all_are_idle() {
    let backends = three();
    let balancer = balancer("least_conn", &backends);
    for _ in 0..9 {
        balancer.get("/");
    }
    for backend in &backends {
        assert!(!backend.asked().is_empty(), "an idle backend was never asked");
    }
}

/// Client, backend of three, backend where the middle one is gone, backend of seven (three can't tell
/// byte orders apart, for 256 modulo 3 is 1). Worked out with Python:
/// `h = int(hashlib.md5(client.encode()).hexdigest(), 16); (h % 3, [0, 2][h % 2], h % 7)`.
const BY_ADDRESS: [(&str, &str, &str, &str); 10] = [
    ("192.0.2.1", "2", "0", "2"),
    ("192.0.2.2", "1", "2", "6"),
    ("192.0.2.7", "1", "0", "1"),
    ("198.51.100.4", "1", "0", "2"),
    ("203.0.113.9", "1", "2", "6"),
    ("203.0.113.255", "1", "0", "6"),
    ("10.1.2.3", "0", "2", "0"),
    ("2001:db8::1", "1", "0", "5"),
    ("2001:db8::7", "0", "0", "0"),
    ("2001:db8:0:1::4", "2", "0", "6"),
];

#[test]
fn ip_hash_is_md5_of_the_address_modulo_the_backends() {
    let backends = three();
    let balancer = balancer("ip_hash", &backends);
    for (client, backend, ..) in BY_ADDRESS {
        assert_eq!(balancer.get_for(client, "/").text(), backend, "{client}");
        assert_eq!(balancer.get_for(client, "/other").text(), backend, "{client} again");
    }
}

#[test]
fn ip_hash_takes_the_digest_as_one_big_endian_number() {
    let backends = ["0", "1", "2", "3", "4", "5", "6"].map(Backend::named);
    let balancer = balancer("ip_hash", &backends);
    for (client, _, _, backend) in BY_ADDRESS {
        assert_eq!(balancer.get_for(client, "/").text(), backend, "{client}");
    }
}

#[test]
fn ip_hash_is_modulo_the_healthy_ones() {
    let backends = three();
    let balancer = balancer("ip_hash", &backends);
    backends[1].set_healthy(false);
    balancer.wait_for_states(&["healthy", "unhealthy", "healthy"]);
    for (client, _, backend, _) in BY_ADDRESS {
        assert_eq!(balancer.get_for(client, "/").text(), backend, "{client}");
    }
}

#[test]
fn ip_hash_does_not_believe_a_stranger() {
    let backends = three();
    let more = json!({ "algorithm": "ip_hash", "trusted_proxies": [] });
    let balancer = Balancer::start(config(&backends.each_ref(), more));
    // md5("127.0.0.1") modulo 3 is 0.
    for (client, ..) in BY_ADDRESS {
        assert_eq!(balancer.get_for(client, "/").text(), "0");
    }
}
