//! gzip towards the client, for answers that the backend did not compress. Decided once per answer, from the
//! fields of the request and the answer; each piece is then flushed as it arrives, so that no bytes are held
//! back.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::config::CompressConfig;
use crate::frontend::{Framing, Responder};
use crate::http::Headers;

/// Nearly the compression of the highest level for a fraction of its processor time.
const LEVEL: u32 = 5;
/// Fields and trailers removed from compressed answers: ranges count, and digests cover, the uncompressed bytes.
const OF_THE_BYTES: [&str; 5] = ["Accept-Ranges", "Content-MD5", "Digest", "Content-Digest", "Repr-Digest"];

/// What is done with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Pass it on unchanged.
    Leave,
    /// Pass it on, with `Vary`: a cache must know that another client may get it compressed.
    Vary,
    /// Compress it.
    Gzip,
}

/// What is known of an answer before its body arrives.
pub struct Facts<'a> {
    /// The request's fields.
    pub request: &'a Headers,
    /// The answer's status.
    pub status: u16,
    /// The answer's fields.
    pub answer: &'a Headers,
    /// The answer's length, if known.
    pub framing: Framing,
}

/// Decides what is done with an answer.
pub fn decide(compress: Option<&CompressConfig>, facts: &Facts<'_>) -> Decision {
    let Some(compress) = compress else { return Decision::Leave };
    let Facts { request, status, answer, framing } = facts;
    let is_whole = !matches!(status, 0..200 | 204..=206 | 304) && answer.get("content-range").is_none();
    let is_long = match framing {
        Framing::NoBody => answer.get("content-length").is_none(),
        Framing::Length(length) => *length > 0 && *length >= compress.min_bytes,
        Framing::Unknown => true,
    };
    let is_coded = answer.get("content-encoding").is_some();
    let is_meant = answer.get("content-type").is_some_and(|kind| compress.has_type(kind));
    let is_forbidden = [request, answer].iter().any(|it| it.has_token("cache-control", "no-transform"));
    match is_whole && is_long && is_meant && !is_coded && !is_forbidden {
        true if accepts_gzip(request) => Decision::Gzip,
        true => Decision::Vary,
        false => Decision::Leave,
    }
}

/// Whether the client accepts gzip and does not prefer `identity` (RFC 9110 section 12.5.3).
fn accepts_gzip(request: &Headers) -> bool {
    let (mut gzip, mut any, mut identity) = (None, None, None);
    for member in request.tokens("accept-encoding") {
        let mut parts = member.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default();
        let Some(quality) = quality(parts) else { continue };
        match name {
            b"*" => any = Some(quality),
            _ if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") => {
                gzip = Some(quality.max(gzip.unwrap_or(0)));
            }
            _ if name.eq_ignore_ascii_case(b"identity") => identity = Some(quality),
            _ => {}
        }
    }
    let gzip = gzip.or(any).unwrap_or(0);
    gzip > 0 && gzip >= identity.unwrap_or(0)
}

/// The quality in thousandths; `None` if it is invalid.
fn quality<'a>(mut parameters: impl Iterator<Item = &'a [u8]>) -> Option<u32> {
    let weight = |it: &'a [u8]| it.strip_prefix(b"q=").or_else(|| it.strip_prefix(b"Q="));
    let Some(text) = parameters.find_map(weight) else { return Some(1000) };
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thousandths = format!("{fraction:0<3}").parse::<u32>().ok()?;
    match whole {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(1000),
        _ => None,
    }
}

/// Changes the answer's fields according to the decision and returns its new framing.
pub fn rewrite(decision: Decision, headers: &mut Headers, framing: Framing) -> Framing {
    if decision == Decision::Leave {
        return framing;
    }
    add_vary(headers);
    if decision == Decision::Vary {
        return framing;
    }
    headers.retain(|name, _| !is_of_the_bytes(name));
    headers.remove("Content-Length");
    headers.push("Content-Encoding", b"gzip");
    // A strong ETag stands for the exact bytes, so it becomes a weak one.
    let tag = headers.get("etag").filter(|tag| !tag.starts_with(b"W/")).map(|tag| [b"W/", tag].concat());
    if let Some(tag) = tag {
        headers.set("ETag", &tag);
    }
    match framing {
        Framing::Length(_) => Framing::Unknown,
        other => other,
    }
}

fn is_of_the_bytes(name: &str) -> bool {
    OF_THE_BYTES.iter().any(|other| name.eq_ignore_ascii_case(other))
}

fn add_vary(headers: &mut Headers) {
    let knows = headers.has_token("vary", "accept-encoding") || headers.has_token("vary", "*");
    if !knows {
        let all: Vec<&[u8]> = headers.tokens("vary").chain([&b"Accept-Encoding"[..]]).collect();
        let merged = all.join(&b", "[..]);
        headers.set("Vary", &merged);
    }
}

/// The writer of an answer's body, which compresses it if so decided.
pub struct Body(Option<GzEncoder<Vec<u8>>>);

impl Body {
    /// A writer for this decision.
    pub fn new(decision: Decision) -> Body {
        let encoder = || GzEncoder::new(Vec::new(), Compression::new(LEVEL));
        Body((decision == Decision::Gzip).then(encoder))
    }

    /// Passes a piece on, flushed: the client can decode all of it when this returns.
    ///
    /// # Errors
    /// The client is gone or too slow.
    pub fn write(&mut self, piece: &[u8], client: &mut Responder) -> io::Result<()> {
        let Some(encoder) = &mut self.0 else { return client.write(piece) };
        encoder.write_all(piece)?;
        encoder.flush()?;
        let sent = client.write(encoder.get_ref());
        encoder.get_mut().clear();
        sent
    }

    /// The trailers of the answer: digests may come there, too.
    pub fn trailers(&self, mut sent: Headers) -> Headers {
        sent.retain(|name, _| self.0.is_none() || !is_of_the_bytes(name));
        sent
    }

    /// Writes the end of the gzip stream.
    ///
    /// # Errors
    /// The client is gone or too slow.
    pub fn finish(&mut self, client: &mut Responder) -> io::Result<()> {
        let Some(encoder) = self.0.take() else { return Ok(()) };
        client.write(&encoder.finish()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&str, &str)]) -> Headers {
        let mut headers = Headers::default();
        fields.iter().for_each(|(name, value)| headers.push(name, value.as_bytes()));
        headers
    }

    #[test]
    fn gzip_is_accepted_by_its_quality() {
        for (accepts, expected) in [
            ("gzip", true),
            ("GZip", true),
            ("x-gzip", true),
            ("br, gzip;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip; q=0.000", false),
            ("gzip;q=0.001", true),
            ("*", true),
            ("*;q=0", false),
            ("*, gzip;q=0", false),
            ("*;q=0, gzip", true),
            ("identity, gzip;q=0.5", false),
            ("identity;q=0.5, gzip", true),
            ("br", false),
            ("gzipped", false),
            ("gzip;q=x", false),
            ("gzip;q=2", false),
            ("gzip;q=0.0001", false),
            ("", false),
        ] {
            assert_eq!(accepts_gzip(&headers(&[("Accept-Encoding", accepts)])), expected, "{accepts}");
        }
        assert!(!accepts_gzip(&headers(&[])));
    }

    #[test]
    fn only_whole_long_plain_answers_of_a_type_are_compressed() {
        let compress = CompressConfig { types: vec!["text/*".to_owned()], min_bytes: 100 };
        let check = |status, framing, fields: &[(&str, &str)], accepts, expected| {
            let (request, answer) = (headers(&[("Accept-Encoding", accepts)]), headers(fields));
            let facts = Facts { request: &request, status, answer: &answer, framing };
            assert_eq!(decide(Some(&compress), &facts), expected, "{status} {framing:?} {fields:?}");
            assert_eq!(decide(None, &facts), Decision::Leave);
        };
        let html = ("Content-Type", "text/html");
        let long = Framing::Length(100);
        check(200, long, &[html], "gzip", Decision::Gzip);
        check(404, Framing::Unknown, &[html], "gzip", Decision::Gzip);
        check(200, long, &[html], "br", Decision::Vary);
        check(200, Framing::Length(99), &[html], "gzip", Decision::Leave);
        for status in [101, 204, 205, 206, 304] {
            check(status, long, &[html], "gzip", Decision::Leave);
        }
        for other in [
            ("Content-Encoding", "br"),
            ("Content-Range", "bytes 0-99/200"),
            ("Cache-Control", "public, No-Transform"),
        ] {
            check(200, long, &[html, other], "gzip", Decision::Leave);
        }
        check(200, long, &[("Content-Type", "image/png")], "gzip", Decision::Leave);
        check(200, long, &[], "gzip", Decision::Leave);
    }

    #[test]
    fn fields_say_what_the_bytes_are() {
        let mut answer = headers(&[
            ("ETag", "\"a\""),
            ("Vary", "Origin"),
            ("Accept-Ranges", "bytes"),
            ("Content-MD5", "x"),
            ("X-A", "1"),
        ]);
        assert_eq!(rewrite(Decision::Gzip, &mut answer, Framing::Length(5)), Framing::Unknown);
        let found: Vec<_> =
            answer.iter().map(|(name, value)| (name, std::str::from_utf8(value).unwrap())).collect();
        let expected = [
            ("X-A", "1"),
            ("Vary", "Origin, Accept-Encoding"),
            ("Content-Encoding", "gzip"),
            ("ETag", "W/\"a\""),
        ];
        assert_eq!(found, expected);
        for (vary, expected) in [("accept-encoding", "accept-encoding"), ("*", "*")] {
            let mut answer = headers(&[("Vary", vary)]);
            assert_eq!(rewrite(Decision::Vary, &mut answer, Framing::Length(5)), Framing::Length(5));
            assert_eq!(answer.get("vary"), Some(expected.as_bytes()));
        }
    }
}
