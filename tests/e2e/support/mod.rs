//! What the tests are written with: real processes, backends that misbehave on purpose, and a client
//! that sees bytes. Nothing here asserts what the balancer should do.
#![allow(dead_code, reason = "a vocabulary for tests yet to come, too")]

mod admin;
mod backend;
mod balancer;
mod browser;
mod by_hand;
mod client;
mod dns;
mod eventually;
mod names;
mod process;
mod tls;
mod wire;

pub use admin::Admin;
pub use backend::{Answer, Backend, Behaviour, Framing, Health};
pub use balancer::{Balancer, Run, behind_front, config, demo, lay_over};
pub use browser::Browser;
pub use by_hand::{ByHand, Exchange, balancer_by_hand};
pub use client::{Client, Response};
pub use dns::{Dns, Says};
pub use eventually::{Stop, eventually, let_pass, patience, skip, soon, with_room};
pub use names::Names;
pub use process::{Finished, Process, children, fields, peer, python_with};
pub use rustix::process::Signal;
pub use tls::{Authority, TlsClient};
