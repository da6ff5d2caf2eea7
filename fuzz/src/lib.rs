//! What must hold whatever comes in. Each property takes the bytes of one input and panics where it is
//! broken. The fuzz targets feed it what libFuzzer thinks up; `tests/fuzz_corpus.rs` includes this file
//! and feeds it every file of `corpus`, so that each input ever found is a test from then on.
//!
//! Inputs are text that people can read and write by hand; bytes that are no UTF-8 are allowed.

mod answer;
mod body;
mod client;
mod config;
mod convert;
mod dns;
mod forwarded;
mod front;
mod head;
mod log;
mod proxy;

pub use answer::answer_head;
pub use body::chunked_body;
pub use client::{client_address, request_id};
pub use config::{config_text, url};
pub use convert::converted_file;
pub use dns::dns_answer;
pub use forwarded::forwarded_head;
pub use front::front_connection;
pub use head::request_head;
pub use log::{log_line, replayed_line};
pub use proxy::proxy_header;

/// Takes the bytes of one input.
pub type Property = fn(&[u8]);

/// Every property under the name of its fuzz target and its corpus.
pub const TARGETS: [(&str, Property); 14] = [
    ("answer_head", answer_head),
    ("chunked_body", chunked_body),
    ("client_address", client_address),
    ("config_text", config_text),
    ("converted_file", converted_file),
    ("dns_answer", dns_answer),
    ("forwarded_head", forwarded_head),
    ("front_connection", front_connection),
    ("log_line", log_line),
    ("proxy_header", proxy_header),
    ("replayed_line", replayed_line),
    ("request_head", request_head),
    ("request_id", request_id),
    ("url", url),
];
