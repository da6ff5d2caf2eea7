//! The admin state of a backend: what an operator has set, independent of its health.

/// The admin state of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum AdminState {
    /// Takes requests as its health allows.
    Enabled = 0,
    /// Finishes the requests it has and takes no new ones.
    Draining = 1,
    /// Takes no requests, for good.
    Disabled = 2,
}

impl AdminState {
    /// The state with this discriminant; unknown values mean `Enabled`.
    pub fn from_u8(value: u8) -> AdminState {
        match value {
            1 => AdminState::Draining,
            2 => AdminState::Disabled,
            _ => AdminState::Enabled,
        }
    }
}
