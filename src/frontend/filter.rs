//! A socket filter that keeps HTTP/2 away from tiny_http.
//!
//! tiny_http 0.12 answers `PRI * HTTP/2.0`, which every scanner and `curl --http2-prior-knowledge` send,
//! by waiting for itself: a thread and two descriptors are lost for each. The kernel drops a segment that
//! starts with the preface (RFC 9113 section 3.4) before tiny_http sees it; the connection then stays
//! silent until the guard closes it. A preface that comes in pieces, or `GET / HTTP/2.0`, is not caught:
//! the guard counts those.
//!
//! Sixteen bytes are compared, so that a body whose segments happen to start with `PRI ` gets through.

use socket2::{SockFilter, SockRef};

/// `PRI * HTTP/2.0\r\n` as the machine of the filter loads it.
const PREFACE: [u32; 4] = [0x5052_4920, 0x2a20_4854, 0x5450_2f32, 0x2e30_0d0a];

/// Instructions of the classic BPF machine (linux/bpf_common.h).
const LOAD_BYTE: u16 = 0x30;
const LOAD_WORD_AT_X: u16 = 0x40;
const LOAD_LENGTH: u16 = 0x80;
const AND: u16 = 0x54;
const SHIFT_RIGHT: u16 = 0x74;
const SUBTRACT_X: u16 = 0x1c;
const TO_X: u16 = 0x07;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_NOT_LESS: u16 = 0x35;
const RETURN: u16 = 0x06;

const PASS: u32 = u32::MAX;
const DROP: u32 = 0;
/// Where a TCP header says how long it is, in words, in the upper half of the byte.
const DATA_OFFSET: u32 = 12;

/// Puts the filter on a listening socket; accepted ones inherit it. Where the kernel refuses, the guard
/// still counts what gets through.
pub(super) fn drop_http2_prefaces(listener: &SockRef<'_>) {
    let _ = listener.attach_filter(&program());
}

fn program() -> [SockFilter; 17] {
    let op = SockFilter::new;
    [
        op(LOAD_BYTE, 0, 0, DATA_OFFSET),
        op(AND, 0, 0, 0xf0),
        op(SHIFT_RIGHT, 0, 0, 2),
        op(TO_X, 0, 0, 0),
        op(LOAD_LENGTH, 0, 0, 0),
        op(SUBTRACT_X, 0, 0, 0),
        op(JUMP_IF_NOT_LESS, 0, 8, 16),
        op(LOAD_WORD_AT_X, 0, 0, 0),
        op(JUMP_IF_EQUAL, 0, 6, PREFACE[0]),
        op(LOAD_WORD_AT_X, 0, 0, 4),
        op(JUMP_IF_EQUAL, 0, 4, PREFACE[1]),
        op(LOAD_WORD_AT_X, 0, 0, 8),
        op(JUMP_IF_EQUAL, 0, 2, PREFACE[2]),
        op(LOAD_WORD_AT_X, 0, 0, 12),
        op(JUMP_IF_EQUAL, 1, 0, PREFACE[3]),
        op(RETURN, 0, 0, PASS),
        op(RETURN, 0, 0, DROP),
    ]
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use super::*;

    /// What a server behind the filter reads of this within a moment.
    fn passes(bytes: &[u8], patience: Duration) -> bool {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        drop_http2_prefaces(&SockRef::from(&listener));
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.write_all(bytes).unwrap();
        server.set_read_timeout(Some(patience)).unwrap();
        server.read_exact(&mut vec![0; bytes.len()]).is_ok()
    }

    #[test]
    fn only_the_preface_is_dropped() {
        let long = Duration::from_secs(20);
        assert!(passes(b"G", long));
        assert!(passes(b"GET / HTTP/1.1\r\n\r\n", long));
        assert!(passes(b"PRI is how this text begins", long));
        assert!(passes(b"PRI * HTTP/2.0", long), "too short to be sure");
        assert!(!passes(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Duration::from_millis(300)));
    }
}
