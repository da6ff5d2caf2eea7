//! What becomes of a request whose backend fails.

mod last_error;
mod reasons;
mod retries;
mod unusual_answers;
