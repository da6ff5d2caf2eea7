//! Why each of the last requests went where it went: the facts, noted as the request goes its way, and the
//! words for them.
//!
//! Only the admin listener tells of it, so without one nothing is noted ([`Trace::default`] notes nothing).
//! Memory is bounded (`memory`): so many requests and so many bytes in all, `MAX_TRIES` choices of each and
//! `MAX_SHOWN` backends of each choice.

mod memory;
mod story;
pub mod words;

pub use memory::{Explanations, MAX_RECORDS, Record};
pub use story::{AttemptResult, Story, Trace, Try, request_text};
