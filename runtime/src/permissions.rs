//! What a guest may see of the world. Nothing, unless it was granted by name.

use std::ffi::OsString;

/// Grants. The default grants nothing: no environment variable reaches the guest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    /// The whole environment of the guest, in this order.
    pub env: Vec<(OsString, OsString)>,
}

impl Permissions {
    /// Grants one environment variable. A later grant of the same name replaces the earlier one.
    pub fn grant_env(&mut self, key: impl Into<OsString>, value: impl Into<OsString>) {
        let key = key.into();
        self.env.retain(|(known, _)| *known != key);
        self.env.push((key, value.into()));
    }
}

/// What happens when a guard that was asked for cannot be put up on this host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GuardMode {
    /// The task is refused: `unstarted.guard`.
    Required,
    /// The declared fall-back is used, and the report says so.
    #[default]
    BestEffort,
}
