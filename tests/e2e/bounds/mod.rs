//! What one client, or all of them, may take.

mod connections_at_limits;
mod descriptors;
mod edge_limits;
mod limits;
mod queue;
