//! Figures of the process for Prometheus. `process_*` are the standard names of its client libraries.

use super::{Page, unix_seconds};
use crate::metrics::operation::{NameLife, Operation, VERSION};
use crate::pool::Live;

impl Page {
    pub(super) fn operation(&mut self, it: &Operation, live: &Live) {
        let limits = &live.config.limits;
        let rows: [(&str, &str, f64); 7] = [
            ("workers", "Threads that handle requests.", live.config.workers as f64),
            ("workers_busy", "Workers that have a request.", it.busy_workers as f64),
            ("queue_limit", "limits.max_queue: requests that may wait.", limits.max_queue as f64),
            (
                "client_connections_limit",
                "limits.max_connections: client connections that there may be.",
                limits.max_connections as f64,
            ),
            (
                "streams_limit",
                "limits.max_streams: answers and tunnels that may be outside of the worker pool.",
                limits.max_streams as f64,
            ),
            (
                "config_last_reload_successful",
                "1 where the configuration that was last read is in force, 0 where it had a mistake.",
                f64::from(u8::from(it.reload.mistakes.is_none())),
            ),
            (
                "config_last_reload_success_timestamp_seconds",
                "When the configuration that is in force was read.",
                unix_seconds(Some(it.reload.loaded)),
            ),
        ];
        for (name, help, value) in rows {
            self.one(&format!("loadbalancer_{name}"), "gauge", help, value);
        }
        self.info("loadbalancer_build_info", "The program.", ("version", VERSION));
        let help = "The configuration that is in force, by a hash of what it resolves to.";
        self.info("loadbalancer_config_info", help, ("hash", live.config_hash()));
        let name = "loadbalancer_certificate_expiry_timestamp_seconds";
        self.head(name, "gauge", "Until when a certificate of the TLS listener is valid.");
        for certificate in &it.certificates {
            let labels = [("certificate", certificate.file.as_str())];
            self.sample(name, &labels, unix_seconds(Some(certificate.expires)));
        }
        self.names(it);
        self.process(it);
    }

    fn names(&mut self, it: &Operation) {
        type Row = (&'static str, &'static str, fn(&NameLife) -> f64);
        let rows: [Row; 5] = [
            ("addresses", "Addresses of a backend's name that are backends of their own.", |it| {
                it.addresses as f64
            }),
            ("addresses_absent", "Those of them that the last answer lacked.", |it| it.absent as f64),
            ("addresses_left_out", "Addresses of the last answer beyond the 256 that are used.", |it| {
                it.left_out as f64
            }),
            ("resolved", "1 where the last look-up succeeded.", |it| {
                f64::from(u8::from(it.failure.is_none()))
            }),
            ("last_answer_timestamp_seconds", "When the name was last answered for.", |it| {
                unix_seconds(it.last_answer)
            }),
        ];
        for (name, help, value) in rows {
            let name = format!("loadbalancer_name_{name}");
            self.head(&name, "gauge", help);
            for of in &it.names {
                self.sample(&name, &[("pool", &of.pool), ("name", &of.name)], value(of));
            }
        }
    }

    fn info(&mut self, name: &str, help: &str, label: (&str, &str)) {
        self.head(name, "gauge", help);
        self.sample(name, &[label], 1.0);
    }

    fn process(&mut self, it: &Operation) {
        let process = &it.process;
        let rows = [
            ("cpu_seconds_total", "counter", "Processor time.", process.cpu.map(|time| time.as_secs_f64())),
            (
                "resident_memory_bytes",
                "gauge",
                "Memory that is really there.",
                process.resident_bytes.map(|bytes| bytes as f64),
            ),
            ("open_fds", "gauge", "Open file descriptors.", process.open_fds.map(|count| count as f64)),
            ("max_fds", "gauge", "How many there may be.", process.max_fds.map(|count| count as f64)),
            ("start_time_seconds", "gauge", "When it started.", Some(unix_seconds(Some(it.started)))),
        ];
        for (name, kind, help, value) in rows {
            if let Some(value) = value {
                self.one(&format!("process_{name}"), kind, help, value);
            }
        }
    }
}
