//! Checks on all listeners together.

use crate::config::listen::clash;
use crate::config::raw::Fields;
use crate::config::{Config, ListenAddress};

/// Reports listeners that overlap; a listener on all addresses overlaps each single one.
pub(super) fn check_distinct(fields: &Fields<'_>, config: &Config) {
    let plain = config.listen.iter().map(|it| ("listen", it.clone()));
    let tls = config.tls.iter().flat_map(|tls| &tls.listen).map(|it| ("tls.listen", it.clone()));
    let admin = config.admin.iter().map(|admin| ("admin.listen", ListenAddress::Tcp(admin.listen)));
    let mut before: Vec<(&str, ListenAddress)> = plain.collect();
    for (object, own) in [("tls", tls.collect::<Vec<_>>()), ("admin", admin.collect())] {
        let overlap = own.iter().find_map(|(_, own)| {
            let (other, address) = before.iter().find(|(_, other)| clash(own, other))?;
            Some(format!("{own} overlaps `{other}`, which is {address}; write another address or port"))
        });
        if let (Some(message), Some(value)) = (overlap, fields.get(object)) {
            value.mistake_in("listen", message);
        }
        before.extend(own);
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Overrides, parse};

    #[test]
    fn the_field_is_named_where_it_is_left_out_too() {
        let errors = parse(r#"{ "listen": ":9090", "admin": {} }"#, &Overrides::default()).unwrap_err();
        assert_eq!(errors.mistakes()[0].path, "admin.listen");
    }

    #[test]
    fn each_of_several_is_compared_with_all_before_it() {
        let check = |listeners: &str, expected: &str| {
            let pair = r#""certificates": [{ "certificate": "c", "private_key": "k" }]"#;
            let text = format!("{{ {} }}", listeners.replace("PAIR", pair));
            let errors =
                parse(&text, &Overrides::default()).err().map(|it| it.to_string()).unwrap_or_default();
            assert_eq!(errors.trim_start_matches("line 1: "), expected, "{listeners}");
        };
        check(r#""listen": [":80", ":81"], "tls": { "listen": [":443", ":8443"], PAIR }"#, "");
        check(
            r#""listen": [":80", ":81"], "tls": { "listen": [":443", "127.0.0.1:81"], PAIR }"#,
            "tls.listen: 127.0.0.1:81 overlaps `listen`, which is [::]:81; write another address or port",
        );
        check(
            r#""tls": { "listen": [":443", "127.0.0.1:443"], PAIR }"#,
            "tls.listen[1]: 127.0.0.1:443 overlaps `tls.listen[0]`, which is [::]:443; leave one of them out",
        );
        check(
            r#""listen": "unix:/run/lb.sock", "tls": { "listen": "unix:/run/lb.sock", PAIR }"#,
            "tls.listen: unix:/run/lb.sock overlaps `listen`, which is unix:/run/lb.sock; write another address or port",
        );
        check(
            r#""admin": { "listen": "127.0.0.1:444" }, "tls": { "listen": [":443", ":444"], PAIR }"#,
            "admin.listen: 127.0.0.1:444 overlaps `tls.listen`, which is [::]:444; write another address or port",
        );
    }
}
