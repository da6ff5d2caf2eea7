//! Converts Caddy's placeholders into ours.

/// The value with our placeholders; the error is a placeholder that we don't have. `{$NAME}` and `{env.NAME}`
/// become `${NAME}`.
pub fn template(value: &str) -> Result<String, String> {
    let mut text = String::new();
    let mut rest = value;
    while let Some(at) = rest.find('{') {
        text.push_str(&rest[..at]);
        let Some(end) = rest[at..].find('}') else { break };
        let name = &rest[at + 1..at + end];
        text.push_str(&placeholder(name).ok_or_else(|| format!("{{{name}}}"))?);
        rest = &rest[at + end + 1..];
    }
    text.push_str(rest);
    Ok(text)
}

fn placeholder(name: &str) -> Option<String> {
    if let Some(variable) = name.strip_prefix('$').or_else(|| name.strip_prefix("env.")) {
        return Some(format!("${{{}}}", variable.split(':').next().unwrap_or_default()));
    }
    Some(
        match name {
            "host" | "http.request.host" | "hostport" | "http.request.hostport" => "{host}",
            "remote_host" | "http.request.remote.host" | "client_ip" | "http.vars.client_ip" => "{client}",
            "scheme" | "http.request.scheme" => "{scheme}",
            "uri" | "http.request.uri" => "{path}",
            "http.request.uuid" => "{request_id}",
            "upstream_hostport" | "http.reverse_proxy.upstream.hostport" => "{backend}",
            _ => return None,
        }
        .to_owned(),
    )
}

/// Converts only variables of the environment, to `${NAME}`.
pub fn with_variables(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("{$").or_else(|| rest.find("{env.")) {
        let Some(end) = rest[at..].find('}') else { break };
        let name = rest[at + 1..at + end].trim_start_matches('$').trim_start_matches("env.");
        out.push_str(&format!("{}${{{}}}", &rest[..at], name.split(':').next().unwrap_or_default()));
        rest = &rest[at + end + 1..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_become_ours_or_are_named() {
        assert_eq!(template("https://www.{host}{uri}"), Ok("https://www.{host}{path}".into()));
        assert_eq!(template("{$SITE:x}/{env.A}"), Ok("${SITE}/${A}".into()));
        assert_eq!(template("{http.regexp.x.1}"), Err("{http.regexp.x.1}".into()));
        assert_eq!(with_variables("{$HOST}:80"), "${HOST}:80");
    }
}
