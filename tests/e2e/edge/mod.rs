//! Rules, routes and compression.

mod compression;
mod routes;
mod rules;
