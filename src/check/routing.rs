//! Warnings about routes and backends that have no effect. Pure.

use crate::config::{Config, PathMatch, Route, Unmatched};

/// One line for each warning.
pub(super) fn warnings(config: &Config) -> Vec<String> {
    let mut found = stars(config);
    found.extend(unnamed_pools(config));
    found.extend(idle_backends(config));
    found.extend(admin_port(config));
    found
}

/// In other programs, a star in a path is a wildcard.
fn stars(config: &Config) -> Vec<String> {
    let path = |route: &Route| match &route.path {
        PathMatch::Prefix(path) => ("path", path.clone()),
        PathMatch::Exact(path) => ("path_exact", path.clone()),
        PathMatch::Regex(_) => ("path_regex", String::new()),
    };
    let paths = config.routes.iter().map(path).enumerate();
    let warning = |(index, (field, path)): (usize, (&str, String))| {
        let meant = path.split('*').next().unwrap_or_default().trim_end_matches('/');
        let meant = if meant.is_empty() { "/" } else { meant };
        format!(
            "routes[{index}].{field} {path:?} is for a path with a star in it and no other; \"path\" is for all that \
             is below it: write \"path\": {meant:?}"
        )
    };
    paths.filter(|(_, (_, path))| path.contains('*')).map(warning).collect()
}

fn unnamed_pools(config: &Config) -> Vec<String> {
    let is_named = |name: &str| config.routes.iter().any(|route| route.leads_to(name));
    let unnamed = config.pools.iter().filter(|pool| !is_named(&pool.name));
    unnamed.map(|pool| format!("pools.{} gets no requests: no route leads to it", pool.name)).collect()
}

/// Unmatched requests are refused and no route leads to the top-level backends.
fn idle_backends(config: &Config) -> Option<String> {
    let Unmatched::Refused(status) = config.unmatched else { return None };
    let is_named = config.routes.iter().any(|route| route.leads_to(&config.default_pool.name));
    (!is_named && !config.default_pool.backends.is_empty()).then(|| {
        format!(
            "backends get no requests: no route leads to \"default\", and what no route takes is answered {status} \
             (`unmatched`)"
        )
    })
}

/// Overlapping addresses are a mistake; these only share the port.
fn admin_port(config: &Config) -> Option<String> {
    let admin = config.admin.as_ref()?.listen;
    let mut plain = config.listen.iter().filter_map(|listen| listen.tcp());
    let same = plain.find(|it| it.port() == admin.port() && it.port() != 0)?;
    Some(format!(
        "admin.listen {admin} has the port of `listen`, {same}: which of the two a client meets depends on the \
         address that it happens to use"
    ))
}
