//! What is true of all listeners together.

use crate::config::raw::Fields;
use crate::config::{Config, address};

/// No two listeners can have one address, and one on all addresses has each of them.
pub(super) fn check_distinct(fields: &Fields<'_>, config: &Config) {
    let plain: Vec<_> = config.listen.iter().filter_map(|it| Some(("listen", it.tcp()?))).collect();
    let tls = config.tls.as_ref().map(|tls| ("tls.listen", tls.listen));
    let admin = config.admin.as_ref().map(|admin| ("admin.listen", admin.listen));
    let before_admin: Vec<_> = plain.iter().copied().chain(tls).collect();
    for (object, own, others) in [("tls", tls, plain), ("admin", admin, before_admin)] {
        let (Some((_, own)), Some(value)) = (own, fields.get(object)) else { continue };
        if let Some((other, address)) = others.iter().find(|(_, other)| address::clash(own, *other)) {
            let message =
                format!("{own} overlaps `{other}`, which is {address}; write another address or port");
            value.mistake_in("listen", message);
        }
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
}
