//! Lives: renders Markdown to HTML with an ordinary crate of the registry, behind either wall.

use pulldown_cmark::{Event, Options, Parser, Tag, html};
use sandtrap_guest::{Context, task};
use serde::Serialize;

/// A page, and what is in it.
#[derive(Serialize)]
struct Page {
    html: String,
    headings: u32,
    links: Vec<String>,
}

#[task]
fn render(text: String, cx: &mut Context) -> anyhow::Result<Page> {
    anyhow::ensure!(!text.trim().is_empty(), "there is nothing to render");
    cx.info(format_args!("{} bytes of Markdown", text.len()));
    let (mut headings, mut links) = (0, Vec::new());
    let events = Parser::new_ext(&text, Options::all()).inspect(|event| match event {
        Event::Start(Tag::Heading { .. }) => headings += 1,
        Event::Start(Tag::Link { dest_url, .. }) => links.push(dest_url.to_string()),
        _ => {}
    });
    let mut page = String::new();
    html::push_html(&mut page, events);
    Ok(Page { html: page, headings, links })
}

sandtrap_guest::serve!(render);
