//! What people have asked of a backend, whatever its health.

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum AdminState {
    /// It takes requests as its health allows.
    Enabled = 0,
    /// It finishes what it has and takes nothing new.
    Draining = 1,
    /// It takes nothing, and that is meant to last.
    Disabled = 2,
}

impl AdminState {
    /// The other way round; whatever is unknown is enabled.
    pub fn from_u8(value: u8) -> AdminState {
        match value {
            1 => AdminState::Draining,
            2 => AdminState::Disabled,
            _ => AdminState::Enabled,
        }
    }
}
