//! Remarks of `check` on what only the file shows and the resolved `Config` no longer does, such as a field
//! that was left out but should probably be there. Remarks are not mistakes.

use serde_json::{Map, Value};

use super::{Config, Route, Unmatched};

/// The remarks on this text, which must be a valid configuration.
pub(super) fn of(text: &str, config: &Config) -> Vec<String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let Ok(Value::Object(file)) = serde_json::from_str(text) else { return Vec::new() };
    rate_limit(&file).into_iter().chain(strays(&file, config)).collect()
}

fn rate_limit(file: &Map<String, Value>) -> Option<String> {
    let limit = file.get("rate_limit")?.as_object()?;
    (!limit.is_empty() && !limit.contains_key("enabled"))
        .then(|| "rate_limit limits nobody: it is off until it has \"enabled\": true".to_owned())
}

/// Requests that no route matches, if the file does not say which backends they go to.
fn strays(file: &Map<String, Value>, config: &Config) -> Option<String> {
    let takes_all = |route: &Route| route.takes_all() && !route.leads_to("default");
    let are_left = !config.pools.is_empty() && !config.routes.iter().any(takes_all);
    (are_left && !file.contains_key("backends") && config.unmatched == Unmatched::Default).then(|| {
        let urls: Vec<_> = config.default_pool.backends.iter().map(|it| it.url.to_string()).collect();
        format!(
            "backends is left out: requests that no route takes go to its default, {}; write the backends that they \
             are for, a route for all of them, or \"unmatched\": 404",
            urls.join(" ")
        )
    })
}
