//! Converts nginx's variables into our placeholders.

/// The value with our placeholders; the error is the name of a variable without a placeholder.
pub fn template(value: &str) -> Result<String, String> {
    let mut text = String::new();
    let mut rest = value;
    while let Some(at) = rest.find('$') {
        text.push_str(&rest[..at]);
        let (name, after) = variable(&rest[at + 1..]);
        match placeholder(name) {
            Some(placeholder) => text.push_str(placeholder),
            None => return Err(format!("${name}")),
        }
        rest = after;
    }
    text.push_str(rest);
    Ok(text)
}

/// The name after a dollar sign, and the text after it.
fn variable(text: &str) -> (&str, &str) {
    if let Some(inner) = text.strip_prefix('{')
        && let Some(end) = inner.find('}')
    {
        return (&inner[..end], &inner[end + 1..]);
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    (&text[..end], &text[end..])
}

fn placeholder(name: &str) -> Option<&'static str> {
    Some(match name {
        "remote_addr" | "realip_remote_addr" => "{client}",
        "host" | "http_host" => "{host}",
        "scheme" => "{scheme}",
        "request_uri" => "{path}",
        "request_id" => "{request_id}",
        "upstream_addr" => "{backend}",
        _ => return None,
    })
}

/// Converts the key of `hash` into a `hash_key`.
pub fn hash_key(key: &str) -> Option<String> {
    let name = key.strip_prefix('$')?.trim_start_matches('{').trim_end_matches('}');
    Some(match name {
        "remote_addr" | "binary_remote_addr" => "client".to_owned(),
        "request_uri" | "uri" => "path".to_owned(),
        _ => match (name.strip_prefix("http_"), name.strip_prefix("cookie_")) {
            (Some(field), _) => format!("header:{}", field.replace('_', "-")),
            (_, Some(cookie)) => format!("cookie:{cookie}"),
            _ => return None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_become_placeholders_or_are_named() {
        assert_eq!(template("https://$host$request_uri"), Ok("https://{host}{path}".into()));
        assert_eq!(template("${scheme}://a"), Ok("{scheme}://a".into()));
        assert_eq!(template("$arg_x"), Err("$arg_x".into()));
        assert_eq!(hash_key("$http_x_user"), Some("header:x-user".into()));
        assert_eq!(hash_key("$cookie_id"), Some("cookie:id".into()));
        assert_eq!(hash_key("a$b"), None);
    }
}
