//! One file for each verb. Each gives the exit code, or an error that is sandtrap's own.

mod batch;
mod bench;
mod call;
mod compile;
mod completions;
mod doctor;
mod explain;
mod inspect;
mod man;
mod run;
mod schema;
mod selftest;
mod session;
mod settings;

pub(crate) use batch::batch;
pub(crate) use bench::bench;
pub(crate) use call::call;
pub(crate) use compile::compile;
pub(crate) use completions::completions;
pub(crate) use doctor::doctor;
pub(crate) use explain::explain;
pub(crate) use inspect::inspect;
pub(crate) use man::man;
pub(crate) use run::run;
pub(crate) use schema::schema;
pub(crate) use selftest::selftest;
