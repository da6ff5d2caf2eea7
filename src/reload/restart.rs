//! What a reload can't change: the listeners and the worker threads.

use crate::config::Config;

/// Resets fields that only take effect at the start; returns those whose change has no effect.
pub(super) fn keep_what_needs_a_restart(config: &mut Config, running: &Config) -> Vec<&'static str> {
    let mut fields = Vec::new();
    let mut keep = |field, differs: bool| {
        if differs {
            fields.push(field);
        }
    };
    keep("listen", config.listen != running.listen);
    keep("workers", config.workers != running.workers);
    keep("front", config.front != running.front);
    keep("proxy_protocol", config.proxy_protocol != running.proxy_protocol);
    keep("admin", config.admin != running.admin);
    let (new, old) = (config.tls.as_ref(), running.tls.as_ref());
    keep("tls.listen", new.map(|tls| &tls.listen) != old.map(|tls| &tls.listen));
    let both = new.zip(old);
    keep("tls.proxy_protocol", both.is_some_and(|(new, old)| new.proxy_protocol != old.proxy_protocol));
    config.listen.clone_from(&running.listen);
    config.workers = running.workers;
    config.front = running.front;
    config.proxy_protocol = running.proxy_protocol;
    config.admin.clone_from(&running.admin);
    match (&mut config.tls, &running.tls) {
        (Some(tls), Some(running)) => {
            tls.listen.clone_from(&running.listen);
            tls.proxy_protocol = running.proxy_protocol;
        }
        (tls, running) => tls.clone_from(running),
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Overrides, parse};

    fn config(text: &str) -> Config {
        parse(text, &Overrides::default()).unwrap()
    }

    #[test]
    fn what_is_bound_at_the_start_stays() {
        let running = config(r#"{"listen":"127.0.0.1:1","workers":3}"#);
        let mut new = config(r#"{"listen":"127.0.0.1:2","workers":4,"slow_start":"1s"}"#);
        assert_eq!(keep_what_needs_a_restart(&mut new, &running), ["listen", "workers"]);
        assert_eq!((new.listen, new.workers), (running.listen.clone(), 3));
        assert_ne!(new.slow_start, running.slow_start);
    }

    #[test]
    fn each_field_that_needs_a_restart_is_named_when_it_changes() {
        let tls = |more: &str| {
            format!(
                r#"{{"tls":{{"listen":"127.0.0.1:4","certificates":[{{"certificate":"c","private_key":"k"}}]{more}}}}}"#
            )
        };
        let named = |old: &str, new: &str| {
            let (running, mut new) = (config(old), config(new));
            let fields = keep_what_needs_a_restart(&mut new, &running);
            assert_eq!(
                (new.listen, new.tls.map(|tls| (tls.listen, tls.proxy_protocol))),
                (running.listen, running.tls.map(|tls| (tls.listen, tls.proxy_protocol)))
            );
            fields
        };
        assert_eq!(named(&tls(""), &tls(r#","proxy_protocol":true"#)), ["tls.proxy_protocol"]);
        assert_eq!(named(&tls(r#","proxy_protocol":true"#), "{}"), ["tls.listen"]);
        assert_eq!(named("{}", &tls(r#","proxy_protocol":true"#)), ["tls.listen"]);
        assert_eq!(
            named("{}", r#"{"front":false,"proxy_protocol":true,"admin":{}}"#),
            ["front", "proxy_protocol", "admin"]
        );
        assert_eq!(named(&tls(""), &tls(r#","redirect_http":true"#)), [""; 0]);
    }
}
