//! Heads of requests and answers, as they pass.

mod answers;
mod client_address;
mod date;
mod framing;
mod headers;
mod interim_and_trailers;
mod proxy_headers;
