//! Converts HAProxy's log-format strings into values with our placeholders.

/// The value with our placeholders; the error is a sample or variable that we have no placeholder for.
pub fn template(value: &str) -> Result<String, String> {
    let mut text = String::new();
    let mut rest = value;
    while let Some(at) = rest.find('%') {
        text.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(more) = after.strip_prefix('%') {
            text.push('%');
            rest = more;
        } else if let Some(inner) = after.strip_prefix('[') {
            let end = inner.find(']').ok_or_else(|| "%[".to_owned())?;
            let sample = &inner[..end];
            text.push_str(placeholder(sample).ok_or_else(|| format!("%[{sample}]"))?);
            rest = &inner[end + 1..];
        } else {
            let end = after.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(after.len());
            text.push_str(variable(&after[..end]).ok_or_else(|| format!("%{}", &after[..end]))?);
            rest = &after[end..];
        }
    }
    text.push_str(rest);
    Ok(text)
}

fn placeholder(sample: &str) -> Option<&'static str> {
    let compact: String = sample.chars().filter(|c| !c.is_whitespace()).collect();
    Some(match compact.to_ascii_lowercase().as_str() {
        "src" => "{client}",
        "hdr(host)" | "req.hdr(host)" | "req.fhdr(host)" => "{host}",
        "path" | "pathq" | "url" | "capture.req.uri" => "{path}",
        "ssl_fc,iif(https,http)" => "{scheme}",
        "unique-id" | "uuid()" | "uuid" => "{request_id}",
        _ => return None,
    })
}

fn variable(name: &str) -> Option<&'static str> {
    Some(match name {
        "ci" => "{client}",
        "HU" | "HP" => "{path}",
        "ID" => "{request_id}",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_become_placeholders_or_are_named() {
        assert_eq!(template("https://%[hdr(host)]%[capture.req.uri]"), Ok("https://{host}{path}".into()));
        assert_eq!(template("100%% %ci"), Ok("100% {client}".into()));
        assert_eq!(template("%[ssl_fc_sni]"), Err("%[ssl_fc_sni]".into()));
        assert!(template("%[").is_err() && template("%").is_err());
    }
}
