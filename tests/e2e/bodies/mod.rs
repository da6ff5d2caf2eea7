//! What follows a head: bodies in both directions, and tunnels.

mod both_directions;
mod bytes;
mod long_bodies;
mod streaming;
mod upgrade;
