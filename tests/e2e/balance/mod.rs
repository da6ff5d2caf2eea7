//! Which backend gets a request.

mod balancing;
mod pools;
mod shares;
mod sticky;
mod weights;
