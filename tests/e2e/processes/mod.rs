//! Renewal, service managers, pid files.

mod front_hand_over;
mod pid_file;
mod renewal;
mod service_manager;
