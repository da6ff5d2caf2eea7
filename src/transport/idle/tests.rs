use std::io::Write;
use std::net::TcpListener;

use super::*;

const LIMITS: Limits = Limits {
    connect: Duration::from_secs(5),
    request: Duration::from_secs(5),
    client_body: Duration::from_secs(5),
    idle: Duration::from_secs(60),
    max_idle: 2,
};

fn link(listener: &TcpListener) -> ConnectionPool {
    let address = listener.local_addr().unwrap();
    let book = ResolvedAddresses::default();
    book.set(&[address]);
    ConnectionPool::new(
        move |limits| Wire::tcp(&[address], limits.connect),
        book,
        Arc::default(),
        Arc::default(),
    )
}

#[test]
fn the_connection_used_last_is_used_first_and_surplus_goes() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let link = link(&listener);
    let streams: Vec<_> = (0..3).map(|_| link.open(&LIMITS).unwrap()).collect();
    let last = Arc::clone(&streams[2]);
    streams.into_iter().for_each(|stream| link.put(stream, 1, &LIMITS));
    assert!(Arc::ptr_eq(&link.take(&LIMITS, false).unwrap().0, &last));
    assert!(link.take(&LIMITS, false).is_some());
    assert!(link.take(&LIMITS, false).is_none(), "the third was surplus");
}

#[test]
fn closed_talking_old_and_misleading_connections_are_not_handed_out() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let link = link(&listener);
    link.put(link.open(&LIMITS).unwrap(), 1, &LIMITS);
    drop(listener.accept().unwrap());
    assert!(link.take(&LIMITS, false).is_none(), "closed");

    link.put(link.open(&LIMITS).unwrap(), 1, &LIMITS);
    let (mut peer, _) = listener.accept().unwrap();
    peer.write_all(b"x").unwrap();
    assert!(link.take(&LIMITS, false).is_none(), "talks unasked");

    let stream = link.open(&LIMITS).unwrap();
    let _peer = listener.accept().unwrap();
    link.put(stream, 1, &LIMITS);
    assert!(link.take(&Limits { idle: Duration::ZERO, ..LIMITS }, false).is_none(), "too old");

    let stream = link.open(&LIMITS).unwrap();
    let _peer = listener.accept().unwrap();
    link.put(stream, 1, &LIMITS);
    link.book.set(&["127.0.0.2:1".parse().unwrap()]);
    assert!(link.take(&LIMITS, false).is_none(), "the name leads elsewhere now");
}

fn pass(time: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < time {
        std::thread::park_timeout(time);
    }
}

#[test]
fn what_can_not_be_sent_again_takes_a_proven_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let link = link(&listener);
    link.put(link.open(&LIMITS).unwrap(), 1, &LIMITS);
    assert!(link.take(&LIMITS, true).is_none(), "it has only just answered for the first time");
    pass(PROVEN_AFTER);
    assert!(link.take(&LIMITS, true).is_none(), "the backend is not known to keep any");
    pass(PROVEN_AFTER_AT_FIRST);
    let (proven, _) = link.take(&LIMITS, true).expect("it has stayed open for long");
    link.put(proven, PROVEN_BY, &LIMITS);
    drop(link.take(&LIMITS, true));
    link.put(link.open(&LIMITS).unwrap(), 1, &LIMITS);
    pass(PROVEN_AFTER);
    assert!(link.take(&LIMITS, true).is_some(), "now it is");
    link.put(link.open(&LIMITS).unwrap(), PROVEN_BY, &LIMITS);
    link.put(link.open(&LIMITS).unwrap(), 1, &LIMITS);
    assert_eq!(link.take(&LIMITS, true).unwrap().1, PROVEN_BY, "it has served twice");
    assert_eq!(link.take(&LIMITS, false).unwrap().1, 1, "any will do for what can be repeated");
}

#[test]
fn what_can_not_be_sent_again_takes_none_that_may_be_about_to_be_closed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let link = link(&listener);
    for _ in 0..2 {
        link.put(link.open(&LIMITS).unwrap(), PROVEN_BY, &LIMITS);
    }
    pass(UNANNOUNCED);
    assert!(link.take(&LIMITS, true).is_none(), "the backend may keep them for just so long");
    assert_eq!(link.idle.lock().len(), 1, "one has made room for the new one");
    link.announced(b"timeout=5");
    assert!(link.take(&LIMITS, true).is_some(), "it keeps them for longer, as it says");
}
