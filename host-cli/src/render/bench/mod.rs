//! The findings of a bench: as tables on a terminal, as Markdown, as JSON, and as a page with plots.

mod axis;
mod json;
mod page;
mod plots;
mod sheets;
mod svg;

pub(crate) use json::json;
pub(crate) use page::page;
pub(crate) use sheets::{markdown, table};
