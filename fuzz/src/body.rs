//! Chunked bodies, of clients and of backends.

use loadbalancer::http::chunked::Decoder;

/// The longest input that is cut in every way; longer ones only cost time.
const MAX_BYTES: usize = 4096;

/// The body, its trailers as text, how many bytes were taken, and whether it has ended; `None` where it is no
/// chunked coding.
type Decoded = Option<(Vec<u8>, String, usize, bool)>;

fn decode(input: &[u8], step: usize) -> Decoded {
    let (mut decoder, mut body, mut taken) = (Decoder::default(), Vec::new(), 0);
    for piece in input.chunks(step) {
        let amount = decoder.take(piece, &mut |data| body.extend_from_slice(data)).ok()?;
        taken += amount;
        if amount < piece.len() {
            break;
        }
    }
    let mut trailers = String::new();
    for (name, value) in decoder.trailers().iter() {
        assert!(!value.iter().any(|byte| b"\r\n\0".contains(byte)), "a trailer of more than one line");
        assert!(!name.bytes().any(|byte| byte <= b' ' || byte == b':'), "{name:?} is no name");
        trailers.push_str(&format!("{name}: {}\r\n", String::from_utf8_lossy(value)));
    }
    Some((body, trailers, taken, decoder.is_done()))
}

/// However it is cut it is the same body with the same trailers, which name nothing that could change what the
/// message is; and what comes out, chunked again, is the same.
pub fn chunked_body(input: &[u8]) {
    let input = &input[..input.len().min(MAX_BYTES)];
    let whole = decode(input, MAX_BYTES);
    for step in [1, 2, 3, 7, 64] {
        let cut = decode(input, step);
        match (&whole, &cut) {
            (Some(whole), Some(cut)) => assert_eq!(whole, cut, "in pieces of {step}"),
            (None, None) => {}
            _ => panic!("only one of both is a body, in pieces of {step}"),
        }
    }
    let Some((body, trailers, _, true)) = whole else { return };
    let lower = trailers.to_ascii_lowercase();
    for forbidden in ["content-length:", "transfer-encoding:", "host:", "authorization:", "x-forwarded-"] {
        assert!(!lower.lines().any(|line| line.starts_with(forbidden)), "{forbidden} among trailers");
    }
    let mut again = Vec::new();
    if !body.is_empty() {
        again.extend_from_slice(format!("{:x}\r\n", body.len()).as_bytes());
        again.extend_from_slice(&body);
        again.extend_from_slice(b"\r\n");
    }
    again.extend_from_slice(b"0\r\n\r\n");
    let (same, _, taken, is_done) = decode(&again, MAX_BYTES).expect("a chunked body");
    assert_eq!((same, taken, is_done), (body, again.len(), true));
}
