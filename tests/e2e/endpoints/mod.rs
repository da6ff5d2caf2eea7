//! The pages: metrics, health, dashboard, admin.

mod admin;
mod dashboard;
mod metrics;
mod metrics_page;
mod operation;
mod pages;
mod prometheus;
