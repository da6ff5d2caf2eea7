use std::sync::Arc;

use parking_lot::Mutex;

use super::*;

/// What the client sees.
#[derive(Debug, Default, Clone)]
struct Seen {
    writes: Vec<String>,
    ending: Option<Ending>,
}

#[derive(Clone, Default)]
struct Fake {
    seen: Arc<Mutex<Seen>>,
    pending_body: bool,
}

impl ClientStream for Fake {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }
    fn body_is_pending(&self) -> bool {
        self.pending_body
    }
    fn can_keep_alive(&self) -> bool {
        true
    }
    fn can_tunnel(&self) -> bool {
        false
    }
    fn tunnel(&mut self) -> io::Result<Box<dyn Duplex>> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn try_read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }
    fn readiness(&self) -> Option<BorrowedFd<'_>> {
        None
    }
    fn give_up(&mut self) {}
    fn trailers(&mut self) -> Headers {
        Headers::default()
    }
    fn waits_for_client(&self) -> bool {
        false
    }
    fn finish(&mut self, rest: &[u8], ending: Ending) -> io::Result<()> {
        if !rest.is_empty() {
            self.write(rest)?;
        }
        self.end(ending);
        Ok(())
    }
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.seen.lock().writes.push(String::from_utf8_lossy(bytes).into_owned());
        Ok(())
    }
    fn end(&mut self, ending: Ending) {
        self.seen.lock().ending.get_or_insert(ending);
    }
}

/// Sends an answer of these pieces and returns what the client sees.
fn answer(version: Version, to_head: bool, framing: Framing, pieces: &[&str]) -> (Seen, io::Result<()>) {
    let fake = Fake::default();
    let mut responder = Responder::new(Box::new(fake.clone()), version, to_head, version == Version::Http11);
    let mut headers = Headers::default();
    headers.push("Date", b"now");
    responder.start(200, &headers, framing);
    let result = pieces
        .iter()
        .try_for_each(|piece| responder.write(piece.as_bytes()))
        .and_then(|()| responder.finish());
    let seen = fake.seen.lock().clone();
    (seen, result)
}

#[test]
fn head_and_first_piece_are_one_write() {
    let (seen, result) = answer(Version::Http11, false, Framing::Length(4), &["ab", "cd"]);
    assert!(result.is_ok());
    assert_eq!(seen.writes, ["HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 4\r\n\r\nab", "cd"]);
    assert_eq!(seen.ending, Some(Ending::KeepAlive));
}

#[test]
fn an_unknown_length_is_chunked_for_1_1_and_ends_with_the_connection_for_1_0() {
    let (seen, _) = answer(Version::Http11, false, Framing::Unknown, &["ab"]);
    assert_eq!(
        seen.writes.concat(),
        "HTTP/1.1 200 OK\r\nDate: now\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
    );
    let (seen, _) = answer(Version::Http10, false, Framing::Unknown, &["ab"]);
    assert_eq!(seen.writes.concat(), "HTTP/1.1 200 OK\r\nDate: now\r\nConnection: close\r\n\r\nab");
    assert_eq!(seen.ending, Some(Ending::Close));
}

#[test]
fn head_requests_get_the_length_and_no_body() {
    let (seen, result) = answer(Version::Http11, true, Framing::Length(4), &["abcd"]);
    assert!(result.is_ok());
    assert_eq!(seen.writes.concat(), "HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 4\r\n\r\n");
    assert_eq!(seen.ending, Some(Ending::KeepAlive));
}

#[test]
fn a_body_shorter_or_longer_than_its_length_is_broken_off() {
    let (seen, result) = answer(Version::Http11, false, Framing::Length(4), &["ab"]);
    assert!(result.is_err());
    assert_eq!(seen.ending, Some(Ending::BrokenOff));
    let (_, result) = answer(Version::Http11, false, Framing::Length(1), &["ab"]);
    assert!(result.is_err());
}

#[test]
fn breaking_off_never_looks_like_an_end() {
    for (version, expected) in [(Version::Http11, Ending::BrokenOff), (Version::Http10, Ending::Reset)] {
        let fake = Fake::default();
        let mut responder = Responder::new(Box::new(fake.clone()), version, false, true);
        responder.start(200, &Headers::default(), Framing::Unknown);
        responder.write(b"ab").unwrap();
        responder.break_off();
        let seen = fake.seen.lock().clone();
        assert!(!seen.writes.concat().contains("0\r\n\r\n"));
        assert_eq!(seen.ending, Some(expected));
    }
}

#[test]
fn an_unread_request_body_closes_the_connection() {
    let fake = Fake { pending_body: true, ..Fake::default() };
    let mut responder = Responder::new(Box::new(fake.clone()), Version::Http11, false, true);
    responder.start(413, &Headers::default(), Framing::Length(0));
    responder.finish().unwrap();
    let seen = fake.seen.lock().clone();
    assert!(seen.writes.concat().contains("Connection: close\r\n"));
    assert_eq!(seen.ending, Some(Ending::Close));
}

#[test]
fn an_answer_without_a_date_gets_one_and_an_interim_answer_none() {
    for (code, dates) in [(200, 1), (101, 0)] {
        let fake = Fake::default();
        let mut responder = Responder::new(Box::new(fake.clone()), Version::Http11, false, true);
        responder.start(code, &Headers::default(), Framing::NoBody);
        responder.flush().unwrap();
        let text = fake.seen.lock().writes.concat();
        assert_eq!(text.matches("\r\nDate: ").count(), dates, "{text}");
        assert_eq!(text.contains(" GMT\r\n"), dates == 1, "{text}");
    }
}
