//! Renders Markdown with a guest, behind the wall that the guest's file asks for.
//!
//! ```sh
//! cargo build -p sandtrap-tasks --bin markdown                            # a process
//! cargo build -p sandtrap-tasks --bin markdown --target wasm32-wasip1     # a module
//! cargo run -p sandtrap --example markdown -- target/debug/markdown README.md
//! cargo run -p sandtrap --example markdown -- target/wasm32-wasip1/debug/markdown.wasm README.md
//! ```
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program for people")]

use std::error::Error;

use sandtrap::{Program, Runtime};
use serde::Deserialize;

#[derive(Deserialize)]
struct Page {
    html: String,
    headings: u32,
    links: Vec<String>,
}

fn main() -> Result<(), Box<dyn Error>> {
    sandtrap::init();
    let mut args = std::env::args().skip(1);
    let (Some(guest), Some(file)) = (args.next(), args.next()) else {
        return Err("name a guest and a file, as in `markdown.wasm README.md`".into());
    };
    let text = std::fs::read_to_string(file)?;
    let guest = Runtime::new()?.load(Program::file(guest))?;
    let page: Page = guest.call("render", &text)?;
    println!("{}", page.html);
    eprintln!(
        "{} headings and {} links, behind the {} wall",
        page.headings,
        page.links.len(),
        guest.wall().name()
    );
    Ok(())
}
