//! Rules, routes and compression.

mod compression;
mod guards;
mod routes;
mod rules;
