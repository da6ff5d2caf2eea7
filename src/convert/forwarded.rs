//! The fields on a request's way, which the balancer sets without a rule.

/// The note for such a field.
pub const BY_ITSELF: &str = "set without being asked for; what clients send counts from trusted_proxies only";

/// Whether this is such a field, apart from its value.
pub fn is_ours(name: &str) -> bool {
    ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-real-ip"]
        .iter()
        .any(|ours| name.eq_ignore_ascii_case(ours))
}

/// Whether it has this value, which has our placeholders, without a rule. Others need one: a fixed `https`,
/// for example, if TLS ends before the balancer.
pub fn has_by_itself(name: &str, value: &str) -> bool {
    match value {
        "{client}" => ["x-forwarded-for", "x-real-ip"].iter().any(|ours| name.eq_ignore_ascii_case(ours)),
        "{scheme}" => name.eq_ignore_ascii_case("x-forwarded-proto"),
        "{host}" => name.eq_ignore_ascii_case("x-forwarded-host"),
        "{request_id}" => name.eq_ignore_ascii_case("x-request-id"),
        _ => false,
    }
}
