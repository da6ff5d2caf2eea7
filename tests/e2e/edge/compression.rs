//! `compress`: answers that their backend did not compress, for clients that take gzip.

use std::io::{Read, Write};

use flate2::read::GzDecoder;
use flate2::write::GzDecoder as Feed;
use serde_json::json;

use crate::support::{Balancer, ByHand, balancer_by_hand};

/// Both listeners, with `compress` as it is by default.
fn each_listener(test: impl Fn(&ByHand, &Balancer)) {
    for front in [true, false] {
        let (backend, balancer) = balancer_by_hand(json!({ "compress": {}, "front": front }));
        test(&backend, &balancer);
    }
}

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut plain).expect("whole and right");
    plain
}

fn page() -> String {
    "<p>the same line again and again</p>\n".repeat(5000)
}

fn answer(more: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{more}\r\n{body}", body.len())
}

const FIELDS: &str = "Content-Type: text/html\r\nETag: \"a\"\r\nVary: Origin\r\nAccept-Ranges: bytes\r\n";

#[test]
fn a_page_is_compressed_and_its_fields_say_so_to_head_as_well() {
    each_listener(|backend, balancer| {
        for (method, body) in [("GET", page()), ("HEAD", String::new())] {
            let mut client = balancer.connect();
            client.ask(method, "/", &[("Accept-Encoding", "br, gzip;q=0.8")], b"");
            let head = answer(FIELDS, &page());
            backend.next().send(&head[..head.len() - page().len() + body.len()]);
            let got = client.read_response_to(method);
            assert_eq!(got.header("content-encoding"), Some("gzip"), "{method}");
            assert_eq!(got.header("etag"), Some("W/\"a\""), "{method}");
            assert_eq!(got.header("vary"), Some("Origin, Accept-Encoding"), "{method}");
            assert_eq!((got.header("accept-ranges"), got.header("content-length")), (None, None), "{method}");
            if method == "GET" {
                assert!(got.body.len() < page().len() / 10);
                assert_eq!(unpacked(&got.body), page().as_bytes());
            }
        }
    });
}

#[test]
fn a_piece_can_be_read_before_the_next_one_comes() {
    each_listener(|backend, balancer| {
        let mut client = balancer.connect();
        client.ask("GET", "/", &[("Accept-Encoding", "gzip")], b"");
        let mut exchange = backend.next();
        exchange.send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.read_until("\r\n\r\n");
        let mut plain = Feed::new(Vec::new());
        for piece in ["one", "two"] {
            exchange.send(format!("{:x}\r\n{piece}\r\n", piece.len()));
            while !plain.get_ref().ends_with(piece.as_bytes()) {
                client.read_chunk_into(&mut plain);
            }
        }
        exchange.send("0\r\n\r\n");
        client.read_chunk_into(&mut plain);
        assert_eq!(plain.finish().unwrap(), b"onetwo");
    });
}

#[test]
fn a_client_of_http_1_0_gets_it_up_to_the_close() {
    each_listener(|backend, balancer| {
        let mut client = balancer.connect();
        client.send("GET / HTTP/1.0\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
        backend.next().send(answer(FIELDS, &page()));
        let got = client.read_response();
        assert_eq!((got.header("transfer-encoding"), got.header("content-length")), (None, None));
        assert_eq!(unpacked(&got.body), page().as_bytes());
    });
}

#[test]
fn what_is_not_meant_comes_as_it_was_sent() {
    each_listener(|backend, balancer| {
        let check = |accepts: &str, more: &str, body: &str, vary: Option<&str>| {
            let mut client = balancer.connect();
            client.ask("GET", "/", &[("Accept-Encoding", accepts)], b"");
            backend.next().send(answer(more, body));
            let got = client.read_response();
            assert_eq!(got.body, body.as_bytes(), "{more}");
            assert_eq!(got.content_length(), Some(body.len()), "{more}");
            assert_eq!(got.header("vary"), vary, "{accepts} {more}");
            assert_eq!(got.header("etag"), Some("\"a\""), "{more}");
        };
        let page = page();
        let with = |more: &str| format!("ETag: \"a\"\r\n{more}\r\n");
        let html = with("Content-Type: text/html");
        check("br", &html, &page, Some("Accept-Encoding"));
        check("gzip;q=0", &html, &page, Some("Accept-Encoding"));
        check("gzip", &html, "short", None);
        check("gzip", &with("Content-Type: image/png"), &page, None);
        check("gzip", &with("Content-Type: text/event-stream"), &page, None);
        check("gzip", &with("Content-Type: text/html\r\nContent-Encoding: br"), &page, None);
        check("gzip", &with("Content-Type: text/html\r\nCache-Control: no-transform"), &page, None);
    });
}

#[test]
fn what_breaks_off_is_no_whole_answer() {
    each_listener(|backend, balancer| {
        let mut client = balancer.connect();
        client.ask("GET", "/", &[("Accept-Encoding", "gzip")], b"");
        let mut exchange = backend.next();
        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\nContent-Type: text/html\r\n\r\nhalf");
        exchange.end_sending();
        assert!(client.try_read_response_to("GET").is_err());
    });
}

#[test]
fn a_route_says_it_for_itself() {
    let (backend, balancer) = balancer_by_hand(json!({
        "compress": {},
        "routes": [
            { "path": "/as-it-is", "pool": "default", "compress": null },
            { "path": "/only-long", "pool": "default", "compress": { "min_bytes": "1MiB" } },
        ],
    }));
    for (path, coding) in [("/", Some("gzip")), ("/as-it-is", None), ("/only-long", None)] {
        let mut client = balancer.connect();
        client.ask("GET", path, &[("Accept-Encoding", "gzip")], b"");
        backend.next().send(answer(FIELDS, &page()));
        assert_eq!(client.read_response().header("content-encoding"), coding, "{path}");
    }
}

/// Reads chunks off the wire.
trait Chunks {
    fn read_chunk_into(&mut self, plain: &mut Feed<Vec<u8>>);
}

impl Chunks for crate::support::Client {
    fn read_chunk_into(&mut self, plain: &mut Feed<Vec<u8>>) {
        let mut size = Vec::new();
        while !size.ends_with(b"\r\n") {
            size.extend(self.read(1));
        }
        let size = usize::from_str_radix(std::str::from_utf8(&size).unwrap().trim(), 16).unwrap();
        plain.write_all(&self.read(size)).unwrap();
        plain.flush().unwrap();
        self.read(2);
    }
}

#[test]
fn rules_for_fields_come_before_so_that_vary_tells_caches_of_both() {
    for front in [true, false] {
        let (backend, balancer) = balancer_by_hand(json!({
            "compress": {}, "front": front,
            "response_headers": { "set": { "Vary": "Origin", "ETag": "\"r\"" }, "remove": ["Server"] },
            "routes": [{ "path": "/as-it-is", "pool": "default",
                         "response_headers": { "set": { "Cache-Control": "no-transform" } } }],
        }));
        let ask = |path: &str| {
            let mut client = balancer.connect();
            client.ask("GET", path, &[("Accept-Encoding", "gzip")], b"");
            backend.next().send(answer(FIELDS, &page()));
            client.read_response()
        };
        let got = ask("/");
        assert_eq!(got.header("content-encoding"), Some("gzip"));
        assert_eq!(got.header("vary"), Some("Origin, Accept-Encoding"));
        assert_eq!(got.header("etag"), Some("W/\"r\""), "it stands for other bytes");
        assert_eq!(ask("/as-it-is").header("content-encoding"), None);
    }
}

#[test]
fn digests_go_from_trailers_too() {
    each_listener(|backend, balancer| {
        for (accepted, digests) in [("gzip", false), ("br", true)] {
            let mut client = balancer.connect();
            let fields = [("Accept-Encoding", accepted), ("Connection", "close")];
            client.ask("GET", "/", &fields, b"");
            backend.next().send(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n\
                 0\r\nX-Sum: 7\r\nContent-MD5: x\r\nRepr-Digest: sha-256=:x:\r\n\r\n",
            );
            let bytes = client.read_to_close();
            let end = String::from_utf8_lossy(&bytes[bytes.len() - 80..]).into_owned();
            assert!(end.contains("X-Sum: 7\r\n"), "{end}");
            assert_eq!(end.contains("Content-MD5"), digests, "{end}");
            assert_eq!(end.contains("Repr-Digest"), digests, "{end}");
        }
    });
}
