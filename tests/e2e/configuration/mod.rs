//! The file: its limits and units, and what a reload changes.

mod defaults;
mod extremes;
mod reload;
mod reload_effects;
mod reload_files;
mod units;
