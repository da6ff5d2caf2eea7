//! A test for each bug that users could have met, named after what went wrong.

use crate::support::{Backend, Balancer, Signal};

/// tiny_http queues more connections than there are threads to wake, and those left over waited for
/// another connection to end: a minute, with kept-alive ones.
#[test]
fn a_burst_of_connections_that_stay_open_left_some_unserved() {
    let backend = Backend::named("one");
    let balancer = Balancer::over(&[&backend]);
    for _ in 0..3 {
        // All of them are there when it wakes up.
        balancer.signal(Signal::STOP);
        let mut burst: Vec<_> = (0..60).map(|_| balancer.connect()).collect();
        burst.iter_mut().for_each(|client| client.ask("GET", "/", &[], b""));
        balancer.signal(Signal::CONT);
        // Each waits for as long as the tests are patient, which is less than an idle connection lives.
        burst.iter_mut().for_each(|client| assert_eq!(client.read_response().status, 200));
    }
}
