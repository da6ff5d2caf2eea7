//! Serializes types as the text that their `Display` writes.

/// Implements `Serialize` with `Display`.
macro_rules! written_as_text {
    ($($name:ty),+ $(,)?) => {
        $(impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        })+
    };
}
pub(super) use written_as_text;
