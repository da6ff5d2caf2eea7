//! The findings in words, with warnings derived from them. Pure.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use super::listener;
use super::probe::{Findings, Idle};
use super::subject::Subject;
use super::warnings::loops;
use crate::config::{BackendConfig, BackendUrl, Config, HealthCheckKind, write_duration};
use crate::pool::IdleTime;

/// The advised fraction of the time that a backend allows: clocks and delays differ.
const ADVISED: f64 = 0.8;

/// Limit for text of a backend in the report, in characters.
const MOST_SHOWN: usize = 60;

/// The lines for one backend.
pub(super) fn of(config: &Config, subject: &Subject<'_>, findings: &Findings) -> String {
    let Subject { pool, backend, label, .. } = subject;
    let mut text = match pool.name.as_str() {
        "default" => format!("{label}\n"),
        name => format!("{label} (pool {name})\n"),
    };
    let mut line = |name: &str, words: String| {
        // Writing to a String can't fail.
        let _ = writeln!(text, "  {name:<9} {words}");
    };
    if !matches!(backend.url, BackendUrl::Unix { .. }) {
        line("resolves", findings.addresses.as_ref().map_or_else(no, |all| list(all)));
    }
    if let Some(connected) = &findings.connected {
        line("connects", connected.as_ref().map_or_else(no, |(to, took)| connects(*to, *took)));
    }
    if let Some(health) = &findings.health {
        let what = match pool.health_check.kind {
            HealthCheckKind::Http => format!("GET {}: ", pool.health_check.path),
            HealthCheckKind::Tcp => "tcp: ".to_owned(),
            HealthCheckKind::None => String::new(),
        };
        line("health", what + &health.as_ref().map_or_else(no, |(status, took)| passes(*status, *took)));
    }
    if let Some(idle) = &findings.idle {
        line("idle", keeps(idle));
    }
    if let Some(value) = &findings.announced {
        let time = IdleTime::default();
        time.announced(value.as_bytes());
        let (used, source) = time.limit(config.timeouts.backend_idle);
        let value: String = value.chars().filter(|c| !c.is_control()).take(MOST_SHOWN).collect();
        line(
            "announces",
            format!("{value:?}; connections are kept for {} ({})", seconds(used), source.word()),
        );
    }
    for warning in warnings(config, backend, findings) {
        line("warning", warning);
    }
    text
}

fn no(reason: &String) -> String {
    format!("no: {reason}")
}

fn list(addresses: &[SocketAddr]) -> String {
    let ips: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
    ips.join(", ")
}

fn connects(to: Option<SocketAddr>, took: Duration) -> String {
    let to = to.map_or_else(String::new, |to| format!("{to} "));
    format!("{to}in {}", milliseconds(took))
}

fn passes(status: Option<u16>, took: Duration) -> String {
    let status = status.map_or_else(String::new, |status| format!("{status} "));
    format!("{status}in {}", milliseconds(took))
}

fn keeps(idle: &Idle) -> String {
    match idle {
        Idle::ClosesAtOnce => "closes after each answer, so every request opens a connection".to_owned(),
        Idle::ClosesUnsaid => "closes after each answer, and its answers do not say so".to_owned(),
        Idle::ClosesAfter(time) => format!("closes after {}", seconds(*time)),
        Idle::Keeps(time) => format!("keeps connections for {} and longer", seconds(*time)),
        Idle::Unknown(reason) => format!("unknown: {reason}"),
    }
}

fn warnings(config: &Config, backend: &BackendConfig, findings: &Findings) -> Vec<String> {
    let mut warnings = Vec::new();
    let addresses = findings.addresses.as_deref().unwrap_or_default();
    let own = addresses.iter().find_map(|it| listener::at(config, *it, listener::is_this_machine));
    warnings.extend(own.map(|listener| loops(&backend.url, listener)));
    let ours = config.timeouts.backend_idle;
    if findings.idle == Some(Idle::ClosesUnsaid) && !ours.is_zero() {
        warnings.push(
            "a connection that looks kept is closed: a GET that meets one is sent again, a POST gets a connection \
             of its own; \"Connection: close\" in its answers, or backend_idle \"0s\", saves the attempts"
                .to_owned(),
        );
    }
    if let Some(Idle::ClosesAfter(theirs)) = &findings.idle
        && theirs.mul_f64(ADVISED) < ours
    {
        let advised =
            Duration::from_millis((theirs.as_millis() as f64 * ADVISED / 100.0).max(1.0) as u64 * 100);
        warnings.push(format!(
            "backend_idle {} is more than 80 % of the {} this backend allows: a request may meet a connection that \
             is just being closed; write \"{}\" or less",
            write_duration(ours),
            seconds(*theirs),
            write_duration(advised)
        ));
    }
    warnings
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Overrides, parse};

    fn report(idle: Idle, text: &str) -> String {
        let config = parse(text, &Overrides::default()).unwrap();
        let address: SocketAddr = "127.0.0.1:3001".parse().unwrap();
        let ms = Duration::from_micros(250);
        let findings = Findings {
            addresses: Ok(vec![address]),
            connected: Some(Ok((Some(address), ms))),
            health: Some(Ok((Some(204), ms))),
            idle: Some(idle),
            announced: None,
        };
        let (pool, backend) = (&config.default_pool, config.default_pool.backends[0].clone());
        let subject = Subject { pool, label: backend.url.to_string(), backend, address: None };
        of(&config, &subject, &findings)
    }

    #[test]
    fn a_backend_that_closes_before_we_do_is_warned_of() {
        let text =
            report(Idle::ClosesAfter(Duration::from_millis(5020)), r#"{"timeouts":{"backend_idle":"60s"}}"#);
        let expected = "http://localhost:3001\n  resolves  127.0.0.1\n  connects  127.0.0.1:3001 in 0.2 ms\n  \
            health    GET /health: 204 in 0.2 ms\n  idle      closes after 5.0 s\n  \
            warning   backend_idle 60s is more than 80 % of the 5.0 s this backend allows: a request may meet a \
            connection that is just being closed; write \"4s\" or less\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn one_that_closes_without_a_word_is_told_of() {
        let text = report(Idle::ClosesUnsaid, "{}");
        assert!(
            text.contains("do not say so") && text.contains("a POST gets a connection of its own"),
            "{text}"
        );
        let none_kept = report(Idle::ClosesUnsaid, r#"{"timeouts":{"backend_idle":"0s"}}"#);
        assert!(!none_kept.contains("warning"), "{none_kept}");
        let close = report(Idle::ClosesAfter(Duration::from_millis(4900)), "{}");
        assert!(close.contains("80 %"), "4 s of 4.9 s is too close: {close}");
    }

    #[test]
    fn others_are_not() {
        for idle in [
            Idle::ClosesAfter(Duration::from_millis(5010)),
            Idle::Keeps(Duration::from_secs(5)),
            Idle::ClosesAtOnce,
        ] {
            assert!(!report(idle.clone(), "{}").contains("warning"), "{idle:?}");
        }
    }

    #[test]
    fn a_name_that_leads_to_ourselves_is_warned_of() {
        let text = report(Idle::ClosesAtOnce, r#"{ "listen": "127.0.0.1:3001" }"#);
        assert!(text.contains("own `listen`"), "{text}");
    }
}
