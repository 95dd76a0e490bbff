//! The kit: every guest built both ways, what is expected of each, and a wall that follows a script.

pub mod acceptance;
pub mod acted;
pub mod bombs;
pub mod chaos;
pub mod children;
pub mod confusion;
pub mod expect;
pub mod guests;
pub mod hostile;
pub mod landlock_mask;
pub mod late;
pub mod remains;
pub mod scripted;
pub mod soak;
pub mod spec;
