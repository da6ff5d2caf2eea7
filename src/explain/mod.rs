//! Explains why each of the last requests went where it went: facts recorded while the request is handled,
//! and the words for them.
//!
//! Only the admin listener shows them, so without one nothing is recorded ([`Trace::default`] records
//! nothing). Memory is bounded (`memory`): by the number of requests and their total size, and for each
//! request by `MAX_TRIES` choices with `MAX_SHOWN` backends each.

mod memory;
mod story;
pub mod words;

pub use memory::{Explanations, MAX_RECORDS, Record};
pub use story::{AttemptResult, Story, Trace, Try, request_text};
