//! Decodes the chunked coding (RFC 9112 section 7.1) as it arrives. Strict where two parsers could read it in
//! two ways; chunk extensions are dropped, trailers are kept to be forwarded.

use super::Headers;
use super::headers::{is_token, looks_like, trim};

/// Limit for the line with a chunk's size and extensions, and for all trailers together, in bytes.
const MAX_LINE_BYTES: usize = 4096;

/// The decoder's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size {
        digits: u8,
        size: u64,
    },
    Extension {
        size: u64,
    },
    SizeEnd {
        size: u64,
    },
    Data {
        left: u64,
    },
    DataEnd {
        seen_cr: bool,
    },
    /// At the start of a trailer line or inside it.
    Trailer {
        line_bytes: usize,
    },
    TrailerEnd {
        line_bytes: usize,
    },
    Done,
}

/// Decodes one body.
#[derive(Debug, Clone)]
pub struct Decoder {
    state: State,
    line_bytes: usize,
    /// The trailers' text.
    trailers: Vec<u8>,
}

/// Fields that are dropped from trailers because they have no meaning after a body or could change how the
/// message is read (RFC 9110 section 6.5.1).
const NOT_IN_TRAILERS: [&str; 20] = [
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-authorization",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-real-ip",
    "x-request-id",
];

/// The bytes are not valid chunked coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadChunk;

impl Default for Decoder {
    fn default() -> Self {
        Decoder { state: State::Size { digits: 0, size: 0 }, line_bytes: 0, trailers: Vec::new() }
    }
}

impl Decoder {
    /// Decodes bytes and hands those of the body to `data`; returns how many were consumed. Bytes after the
    /// body are not consumed.
    ///
    /// # Errors
    /// The bytes are not valid chunked coding; nothing after them can be read.
    pub fn take(&mut self, bytes: &[u8], data: &mut impl FnMut(&[u8])) -> Result<usize, BadChunk> {
        let mut at = 0;
        while at < bytes.len() && self.state != State::Done {
            if let State::Data { left } = &mut self.state {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len() - at);
                data(&bytes[at..at + here]);
                at += here;
                *left -= here as u64;
                if *left == 0 {
                    self.state = State::DataEnd { seen_cr: false };
                }
                continue;
            }
            self.state = self.next(bytes[at])?;
            at += 1;
        }
        Ok(at)
    }

    /// Decodes at most as many bytes as fit into `buf`; returns how many were consumed, and how many bytes of
    /// the body were written to `buf`.
    ///
    /// # Errors
    /// As [`Decoder::take`].
    pub fn take_into(&mut self, bytes: &[u8], buf: &mut [u8]) -> Result<(usize, usize), BadChunk> {
        let (most, mut amount) = (bytes.len().min(buf.len()), 0);
        let taken = self.take(&bytes[..most], &mut |data| {
            buf[amount..amount + data.len()].copy_from_slice(data);
            amount += data.len();
        })?;
        Ok((taken, amount))
    }

    /// Whether the body has ended.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The trailers that may be forwarded; malformed lines are dropped.
    pub fn trailers(&self) -> Headers {
        let mut headers = Headers::default();
        for line in self.trailers.split(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let Ok(name) = std::str::from_utf8(&line[..colon]) else { continue };
            let may_pass = !NOT_IN_TRAILERS.iter().any(|other| looks_like(name, other))
                && !name.get(..12).is_some_and(|start| looks_like(start, "x-forwarded-"));
            if is_token(name.as_bytes()) && may_pass {
                headers.push(name, trim(&line[colon + 1..]));
            }
        }
        headers
    }

    fn next(&mut self, byte: u8) -> Result<State, BadChunk> {
        if matches!(self.state, State::Trailer { .. } | State::TrailerEnd { .. }) {
            self.trailers.push(byte);
        }
        self.line_bytes += 1;
        if self.line_bytes > MAX_LINE_BYTES {
            return Err(BadChunk);
        }
        Ok(match (self.state, byte) {
            (State::Size { digits, size }, byte) if byte.is_ascii_hexdigit() => {
                let digit = char::from(byte).to_digit(16).ok_or(BadChunk)?;
                // 15 digits can't overflow, and no real body is longer.
                if digits >= 15 {
                    return Err(BadChunk);
                }
                State::Size { digits: digits + 1, size: size * 16 + u64::from(digit) }
            }
            (State::Size { digits: 1.., size }, b'\r') => State::SizeEnd { size },
            (State::Size { digits: 1.., size }, b';' | b' ' | b'\t') => State::Extension { size },
            (State::Extension { size }, b'\r') => State::SizeEnd { size },
            (State::Extension { size }, byte) if byte == b'\t' || (byte >= b' ' && byte != 0x7f) => {
                State::Extension { size }
            }
            (State::SizeEnd { size: 0 }, b'\n') => self.line(State::Trailer { line_bytes: 0 }),
            (State::SizeEnd { size }, b'\n') => self.line(State::Data { left: size }),
            (State::DataEnd { seen_cr: false }, b'\r') => State::DataEnd { seen_cr: true },
            (State::DataEnd { seen_cr: true }, b'\n') => self.line(State::Size { digits: 0, size: 0 }),
            (State::Trailer { line_bytes }, b'\r') => State::TrailerEnd { line_bytes },
            (State::Trailer { line_bytes }, byte) if byte == b'\t' || (byte >= b' ' && byte != 0x7f) => {
                State::Trailer { line_bytes: line_bytes + 1 }
            }
            (State::TrailerEnd { line_bytes: 0 }, b'\n') => State::Done,
            // All trailers share one limit, so the count continues.
            (State::TrailerEnd { .. }, b'\n') => State::Trailer { line_bytes: 0 },
            _ => return Err(BadChunk),
        })
    }

    fn line(&mut self, state: State) -> State {
        self.line_bytes = 0;
        state
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The body, the number of bytes consumed, and whether the body has ended; `None` for invalid coding.
    fn decode(text: &[u8], step: usize) -> Option<(Vec<u8>, usize, bool)> {
        let (mut decoder, mut body, mut taken) = (Decoder::default(), Vec::new(), 0);
        for piece in text.chunks(step) {
            let amount = decoder.take(piece, &mut |data| body.extend_from_slice(data)).ok()?;
            taken += amount;
            if amount < piece.len() {
                break;
            }
        }
        Some((body, taken, decoder.is_done()))
    }

    #[test]
    fn bodies_end_where_they_end() {
        let whole = b"3;x=\"y\"\r\nabc\r\n00a\r\n0123456789\r\n0\r\nX-T: 1\r\n\r\nGET /";
        for step in [1, 2, 7, 1000] {
            let (body, taken, done) = decode(whole, step).unwrap();
            assert_eq!((&body[..], taken, done), (&b"abc0123456789"[..], whole.len() - 5, true));
        }
    }

    #[test]
    fn trailers_are_kept_but_for_those_that_have_no_business_there() {
        let text = b"1\r\na\r\n0\r\nX-Sum: 7 \r\nContent-Length: 5\r\nX-Forwarded-For: x\r\nX_Forwarded_For: x\r\nx_real_ip: x\r\nno field\r\nx-b:\r\n\r\n";
        let mut decoder = Decoder::default();
        for byte in text.chunks(1) {
            assert_eq!(decoder.take(byte, &mut |_| {}), Ok(1));
        }
        assert!(decoder.is_done());
        let trailers = decoder.trailers();
        assert_eq!(trailers.iter().collect::<Vec<_>>(), [("X-Sum", &b"7"[..]), ("x-b", b"")]);
    }

    #[test]
    fn what_two_parsers_could_read_in_two_ways_is_refused() {
        for bad in [
            &b"\r\n"[..],
            b"+5\r\n",
            b"-1\r\n",
            b"0x5\r\n",
            b" 5\r\n",
            b"5\n",
            b"5\rx",
            b"g\r\n",
            b"1\r\nab",
            b"1\r\na\n",
            b"1\r\na\rx",
            b"ffffffffffffffff\r\n",
            b"5;a\nb\r\n",
            b"5;\0\r\n",
            b"0\r\nX: a\nb",
        ] {
            assert_eq!(decode(bad, 1000), None, "{:?}", String::from_utf8_lossy(bad));
        }
        assert_eq!(decode(&[b"5;", &vec![b'x'; 5000][..]].concat(), 100), None, "endless extension");
        assert_eq!(
            decode(&b"0\r\n".iter().copied().chain(b"a: b\r\n".repeat(1000)).collect::<Vec<_>>(), 99),
            None
        );
    }

    proptest! {
        #[test]
        fn what_is_encoded_comes_back(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..50), 0..8), step in 1usize..40) {
            let mut text = Vec::new();
            for piece in &pieces {
                text.extend_from_slice(format!("{:X}\r\n", piece.len()).as_bytes());
                text.extend_from_slice(piece);
                text.extend_from_slice(b"\r\n");
            }
            text.extend_from_slice(b"0\r\n\r\n");
            prop_assert_eq!(decode(&text, step), Some((pieces.concat(), text.len(), true)));
        }

        #[test]
        fn how_it_is_cut_makes_no_difference(text: Vec<u8>, step in 1usize..9) {
            let whole = decode(&text, usize::MAX >> 1);
            let cut = decode(&text, step);
            prop_assert_eq!(whole.is_none(), cut.is_none());
            if let (Some(whole), Some(cut)) = (whole, cut) {
                prop_assert_eq!((whole.0, whole.2), (cut.0, cut.2));
            }
        }
    }
}
