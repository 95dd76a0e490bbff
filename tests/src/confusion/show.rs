//! The matrix as text, for people and for the documentation.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::builds::Builds;
use super::causes::{Address, Cause, Killer};
use super::peers;
use super::{Matrix, Square};

impl Matrix {
    /// One line for each cause, then what was wrong, then the sum.
    pub fn text(&self) -> String {
        let mut text = format!("{:<38}{:<30}", "cause", "expected");
        for build in &self.builds {
            let _ = write!(text, "{build:>16}");
        }
        for (cause, squares) in self.causes.iter().zip(&self.squares) {
            let _ = write!(text, "\n{:<38}{:<30}", cause.name, cause.label.as_str());
            for square in squares {
                let _ = write!(text, "{:>16}", count(square.as_ref()));
            }
        }
        text.push('\n');
        for line in self.skipped.iter().map(|why| format!("skipped: {why}")).chain(self.wrong()) {
            let _ = writeln!(text, "{line}");
        }
        text + &self.sum()
    }

    fn sum(&self) -> String {
        let victims = self.squares.iter().flatten().flatten().count();
        format!(
            "{} causes, {} builds, {victims} victims, {} runs: {} off the diagonal\n",
            self.causes.len(),
            self.builds.len(),
            self.runs(),
            self.wrong().len()
        )
    }

    /// The page of the documentation.
    pub fn markdown(&self, builds: &Builds, command: &str) -> String {
        let mut text = format!("{HEAD}\n`{command}` made this page on {}.\n\n", machine());
        let _ = writeln!(text, "**{}**\n", self.sum().trim());
        for why in &self.skipped {
            let _ = writeln!(text, "Skipped: {why}.\n");
        }
        self.labels(&mut text);
        self.rows(&mut text);
        beside(&mut text, &self.causes, builds);
        text
    }

    /// How many runs of each expected verdict there were, and how many were called otherwise.
    fn labels(&self, text: &mut String) {
        let mut sums: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for (cause, squares) in self.causes.iter().zip(&self.squares) {
            let sum = sums.entry(cause.label.as_str()).or_default();
            for square in squares.iter().flatten() {
                sum.0 += square.runs;
                sum.1 += square.wrong.len();
            }
        }
        text.push_str("| expected verdict | runs | called so | called otherwise |\n| --- | --: | --: | --: |\n");
        for (label, (runs, wrong)) in sums {
            let _ = writeln!(text, "| `{label}` | {runs} | {} | {wrong} |", runs - wrong);
        }
    }

    fn rows(&self, text: &mut String) {
        text.push_str("\n## Every cause\n\nRight reports of all, by what the victim was built with; `–`: it has no such way to die.\n\n");
        let _ = write!(text, "| cause | verdict | and said with it |");
        self.builds.iter().for_each(|build| text.push_str(&format!(" {build} |")));
        let _ = writeln!(text, "\n| --- | --- | --- |{}", " --: |".repeat(self.builds.len()));
        for (cause, squares) in self.causes.iter().zip(&self.squares) {
            let _ = write!(text, "| {} | `{}` | {} |", cause.name, cause.label, said_with(cause));
            for square in squares {
                let _ = write!(text, " {} |", count(square.as_ref()));
            }
            text.push('\n');
        }
    }
}

const HEAD: &str = "\
# The confusion matrix

Programs that know nothing of `sandtrap` and link nothing of it, each of which dies in one of many ways, built in C and
in Rust against two C libraries. A report counts as right if all of it is: the verdict, whether it is certain, the exit
code, the address and what was wanted there, and who sent the signal.
";

fn count(square: Option<&Square>) -> String {
    square.map_or("–".to_owned(), |square| {
        format!("{} / {}", square.runs - square.wrong.len(), square.runs)
    })
}

/// What else a right report says of a cause.
fn said_with(cause: &Cause) -> String {
    let mut parts = Vec::new();
    parts.extend(cause.code.map(|code| format!("code {code}")));
    parts.extend(cause.access.map(|access| access.name().to_owned()));
    match cause.address {
        Address::Any | Address::Some => {}
        Address::Null => parts.push("below 64 KiB".to_owned()),
        Address::At(address) => parts.push(format!("at {address:#x}")),
        Address::None => parts.push("no address".to_owned()),
    }
    parts.extend(cause.killer.map(|killer| match killer {
        Killer::Itself => "by itself".to_owned(),
        Killer::Unknown => "sender unseen".to_owned(),
    }));
    if !cause.certain {
        parts.push("not certain".to_owned());
    }
    parts.join(", ")
}

/// The same victims in other cages.
fn beside(text: &mut String, causes: &[Cause], builds: &Builds) {
    let peers = peers::installed();
    let Some(build) = builds.built.first() else { return };
    text.push_str("\n## The same victims elsewhere\n\n");
    if peers.is_empty() {
        let names = peers::PEERS.map(|peer| peer.name).join(", ");
        let _ = writeln!(text, "Not installed on this machine: {names}.");
        return;
    }
    let _ = writeln!(
        text,
        "What other cages say of the victims built with {}, run once each: {}. `–`: it has no limit of its own for \
         what hangs or grows.\n",
        build.name,
        peers.iter().map(|(_, version)| version.as_str()).collect::<Vec<_>>().join(", "),
    );
    text.push_str("| cause | sandtrap |");
    peers.iter().for_each(|(peer, _)| text.push_str(&format!(" {} |", peer.name)));
    let _ = writeln!(text, "\n| --- | --- |{}", " --- |".repeat(peers.len()));
    let mut meanings: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for cause in causes.iter().filter(|cause| build.causes.contains(cause.name)) {
        let said: Vec<_> =
            peers.iter().map(|(peer, _)| (peer.name, peer.says(&build.path, cause))).collect();
        if said.iter().all(|(_, words)| words.is_none()) {
            continue;
        }
        let _ = write!(text, "| {} | `{}` |", cause.name, cause.label);
        for (peer, words) in said {
            let _ = write!(text, " {} |", words.as_deref().unwrap_or("–"));
            if let Some(words) = words {
                let meaning = meanings.entry(format!("{peer}: {words}")).or_default();
                meaning.insert(cause.label.as_str());
            }
        }
        text.push('\n');
    }
    text.push_str("\n| what it says | stands for |\n| --- | --- |\n");
    for (words, labels) in meanings {
        let labels: Vec<String> = labels.into_iter().map(|label| format!("`{label}`")).collect();
        let _ = writeln!(text, "| {words} | {} |", labels.join(", "));
    }
}

fn machine() -> String {
    // Without what its builder has added to the number.
    let kernel = nix::sys::utsname::uname().map_or_else(
        |_| "Linux".to_owned(),
        |name| {
            let release = name.release().to_string_lossy();
            format!("Linux {}", release.split('-').next().unwrap_or_default())
        },
    );
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{kernel}, {}, {processors} processors", std::env::consts::ARCH)
}
