//! What this project was asked to do, row by row, and which test shows it. The tests carry the ids of their rows at the
//! beginning of their names, as in `b4_b18_…`; `docs/acceptance.md` is made from here.

mod apart;
mod barrier;
mod callbacks;
mod pools;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The folders with tests in them.
const FOLDERS: [&str; 4] = ["guests", "host-cli", "runtime", "tests/suite"];

const HEAD: &str = "# What was asked for, and what shows it

Made by `cargo run -p sandtrap-tests --bin acceptance` from the names of the tests; a test fails when this page is out of
date, when a row has no test, or when a test names a row that isn't there.

The rows come from four papers that this was asked to follow: `b` about one function run apart from its program, `i`
about a block in a forked process with callbacks for its ends, `p` about process pools that break and hang, `s` about a
barrier against crashes around many workers.
";

/// One thing that was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its id, as in the names of tests.
    pub id: &'static str,
    /// What is asked.
    pub asks: &'static str,
    /// Where it is another thing here, or more, and why.
    pub differs: &'static str,
}

impl Row {
    const fn new(id: &'static str, asks: &'static str) -> Self {
        Self { id, asks, differs: "" }
    }

    const fn differs(self, differs: &'static str) -> Self {
        Self { differs, ..self }
    }
}

/// All of them, in their order.
pub fn rows() -> Vec<Row> {
    [&apart::ROWS[..], &callbacks::ROWS, &pools::ROWS, &barrier::ROWS].concat()
}

/// The tests of each id, as `folder/file: name`.
pub type Tests = BTreeMap<String, Vec<String>>;

/// Every test whose name begins with ids.
pub fn tests() -> Tests {
    let mut found = Tests::new();
    for folder in FOLDERS {
        walk(&root().join(folder), &mut found);
    }
    for tests in found.values_mut() {
        tests.sort();
    }
    found
}

/// The page, as it has to be.
pub fn page() -> String {
    let (tests, mut page) = (tests(), HEAD.to_owned());
    page.push_str(
        "\n| row | what it asks | where we differ | shown by |\n| --- | --- | --- | --- |\n",
    );
    for row in rows() {
        let shown = tests.get(row.id).map_or(&[][..], Vec::as_slice);
        let shown: Vec<String> = shown.iter().map(|test| format!("`{test}`")).collect();
        let Row { id, asks, differs, .. } = row;
        page.push_str(&format!("| {id} | {asks} | {differs} | {} |\n", shown.join("<br>")));
    }
    page
}

/// Where the page is.
pub fn place() -> PathBuf {
    root().join("docs/acceptance.md")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn walk(folder: &Path, found: &mut Tests) {
    let entries = fs::read_dir(folder).expect("a folder of the source");
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.ends_with("target") {
            walk(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("text");
            let file = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
            for name in names(&text) {
                for id in ids(name) {
                    found.entry(id).or_default().push(format!("{file}: {name}"));
                }
            }
        }
    }
}

/// The functions that follow a `#[test]`, with other attributes in between or without.
pub fn names(text: &str) -> Vec<&str> {
    let after = text.split("#[test]\n").skip(1);
    let named = after.filter_map(|rest| {
        let line = rest.lines().map(str::trim).find(|line| !line.starts_with("#["))?;
        let name = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ")?;
        name.split('(').next()
    });
    named.collect()
}

/// The ids at the beginning of a name, `s01` being `s1`.
pub fn ids(name: &str) -> impl Iterator<Item = String> {
    name.split('_').map_while(|part| {
        let number = part.strip_prefix(['b', 'i', 'p', 's'])?;
        let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
        let number: u32 = number.parse().ok().filter(|_| is_number)?;
        Some(format!("{}{number}", &part[..1]))
    })
}
