use std::io::Read;

use super::*;

fn echo(options: EchoOptions) -> (Echo, TcpStream) {
    let echo = Echo::start(TcpListener::bind("127.0.0.1:0").unwrap(), options).unwrap();
    let client = TcpStream::connect(echo.address()).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    (echo, client)
}

/// Sends `text` and reads until the connection ends.
fn exchange(mut client: &TcpStream, text: &str) -> String {
    client.write_all(text.as_bytes()).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    answer
}

fn named(name: &str) -> EchoOptions {
    EchoOptions { name: name.into(), ..EchoOptions::default() }
}

#[test]
fn says_what_it_was_asked_and_keeps_the_connection() {
    let (_echo, client) = echo(named("one"));
    let text = "POST /a?b HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 3\r\n\r\nabc\
                GET / HTTP/1.1\r\nConnection: close\r\n\r\n";
    let answer = exchange(&client, text);
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2);
    let page: Value =
        serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap().lines().next().unwrap()).unwrap();
    assert_eq!(page["server"], "one");
    assert_eq!(page["path"], "/a?b");
    assert_eq!(page["headers"]["x-a"], json!(["1", "2"]));
    assert_eq!(page["body_bytes"], 3);
}

#[test]
fn reads_chunked_bodies_with_extensions_and_trailers() {
    let (_echo, client) = echo(named("one"));
    let text = "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
                3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nX-Trailer: 1\r\n\r\n";
    assert!(exchange(&client, text).contains("\"body_bytes\":13"));
}

#[test]
fn fail_closes_without_an_answer_but_health_is_fine() {
    let (echo, client) = echo(EchoOptions { fail: true, ..named("one") });
    assert_eq!(exchange(&client, "GET /x HTTP/1.1\r\n\r\n"), "");
    let other = TcpStream::connect(echo.address()).unwrap();
    assert!(exchange(&other, "GET /health HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 200 "));
}

#[test]
fn stop_ends_waiting_connections() {
    let (mut echo, client) = echo(EchoOptions { latency: Duration::from_secs(600), ..named("one") });
    let waiting = thread::spawn(move || exchange(&client, "GET /x HTTP/1.1\r\n\r\n"));
    while echo.connections.open.lock().is_empty() {
        thread::yield_now();
    }
    echo.stop();
    assert_eq!(waiting.join().unwrap(), "");
    assert!(TcpStream::connect(echo.address()).is_err());
}

#[test]
fn a_client_that_waits_to_be_asked_for_its_body_is_asked() {
    let (_echo, client) = echo(named("one"));
    let text = "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";
    let answer = exchange(&client, text);
    assert!(answer.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("\"body_bytes\":3"));
}

#[test]
fn http_1_0_is_kept_open_only_where_it_asks_and_is_told_so() {
    let (_echo, client) = echo(named("one"));
    let answer =
        exchange(&client, "GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /2 HTTP/1.0\r\n\r\n");
    assert_eq!(answer.matches("200 OK").count(), 2);
    assert_eq!(answer.matches("Connection: keep-alive").count(), 1);
    assert_eq!(answer.matches("Connection: close").count(), 1);
}

#[test]
fn an_answer_to_head_has_a_length_and_no_body() {
    let (_echo, client) = echo(named("one"));
    let answer = exchange(&client, "HEAD / HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert!(answer.contains("Content-Length: ") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[test]
fn a_head_that_does_not_end_is_not_read_for_ever() {
    let (_echo, mut client) = echo(named("one"));
    let line = format!("X-Long: {}\r\n", "x".repeat(1000));
    let head = format!("GET / HTTP/1.1\r\n{}", line.repeat(66));
    // The backend answers too much by closing, possibly while we still write.
    let _ = client.write_all(head.as_bytes());
    let mut answer = Vec::new();
    let _ = client.read_to_end(&mut answer);
    assert!(answer.is_empty());
}
