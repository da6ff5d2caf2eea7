//! One configured backend: where it is, how it is, what it has done.

mod address_book;
mod breaker;
mod by_hand;
mod core;
mod counts;
mod endpoint;
mod hand_weight;
mod idle_time;
mod state;
mod trouble;

pub use address_book::AddressBook;
pub use core::Backend;
#[cfg(test)]
pub(crate) use core::tests;
pub use endpoint::Endpoint;
pub use idle_time::{IdleSource, IdleTime};
pub use state::FULL_SHARE;
pub use trouble::{Observed, Trouble};
