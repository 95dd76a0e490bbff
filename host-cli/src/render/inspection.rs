//! What `inspect` prints for people. Names come out of the file, and are made plain like a guest's words.

use std::fmt::Write as _;

use sandtrap::{
    ByteSize, ComponentFacts, ExecutableFacts, Grant, ImportGroup, Inspection, Item, MemoryFacts,
    ModuleFacts, Need, Role, ScriptFacts, SectionFacts,
};

use super::plain;

/// How many of a kind are listed; `--json` has all of them.
const MOST_ROWS: usize = 40;

/// The widest name that others are lined up with.
const WIDEST: usize = 32;

/// What a process may do that was granted nothing.
const CAGE: [&str; 4] = [
    "a process runs in a cage: it reads the system's programs and libraries, writes to the streams it was given, and makes",
    "the system calls of its profile; no network, no environment, no other files, none of the host's processes.",
    "More is granted by --dir, --env, --net, --scratch, --proc and --profile (`sandtrap run --show-policy` says what holds);",
    "`sandtrap doctor` says which of these guards this host has.",
];

/// All that was found out, in sections.
pub(crate) fn inspection(found: &Inspection) -> String {
    let mut text = String::new();
    let kind = kind(found);
    line(&mut text, &format!("{}: {kind}, {}", plain(&found.program), size(found.bytes)));
    match &found.obstacle {
        None => row(&mut text, "runs", &runs(found)),
        Some(obstacle) => {
            let detail = plain(&obstacle.detail);
            row(&mut text, "runs", &format!("no: {detail}  [{}]", obstacle.label));
        }
    }
    if let Some(facts) = &found.module {
        module(&mut text, facts);
    }
    if let Some(facts) = &found.component {
        component(&mut text, facts);
    }
    if let Some(facts) = &found.executable {
        executable(&mut text, facts);
    }
    if let Some(facts) = &found.script {
        script(&mut text, facts);
    }
    needs(&mut text, found);
    text
}

fn kind(found: &Inspection) -> String {
    let name = found.kind.name();
    if let Some(module) = &found.module {
        let form = if module.is_text { " (text)" } else { "" };
        return match module.role {
            Role::Plain => format!("{name}{form}"),
            role => format!("{name}{form}, {}", role.name()),
        };
    }
    match &found.component {
        Some(facts) if facts.role != Role::Plain => format!("{name}, {}", facts.role.name()),
        _ => name.to_owned(),
    }
}

fn runs(found: &Inspection) -> String {
    let wall = found.wall.unwrap_or("native");
    match &found.module {
        Some(module) if module.role == Role::Command || module.has_start => {
            format!("behind the {wall} wall, with `--memory {}` or more", flag(module))
        }
        Some(module) => {
            format!("by `sandtrap call`, with `--memory {}` or more", flag(module))
        }
        None if found.component.as_ref().is_some_and(|facts| facts.role != Role::Command) => {
            "by `sandtrap call`".to_owned()
        }
        None => format!("behind the {wall} wall"),
    }
}

/// The least size as the flag takes it.
fn flag(module: &ModuleFacts) -> String {
    let kib = module.least_memory_bytes.div_ceil(1 << 10);
    if kib.is_multiple_of(1 << 10) { format!("{}MiB", kib >> 10) } else { format!("{kib}KiB") }
}

fn count(number: impl Into<u64>, what: &str) -> String {
    let number = number.into();
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

fn module(text: &mut String, facts: &ModuleFacts) {
    let largest = facts.largest_function.as_ref().map_or_else(String::new, |largest| {
        let name = largest.name.as_deref().map_or_else(
            || format!("function {}", largest.index),
            |name| format!("`{}`", plain(name)),
        );
        format!(", the largest {name} with {}", size(largest.bytes))
    });
    row(
        text,
        "code",
        &format!("{}, {}{largest}", count(facts.functions, "function"), size(facts.code_bytes)),
    );
    row(
        text,
        "data",
        &format!("{} in {}", size(facts.data_bytes), count(facts.data_segments, "segment")),
    );
    for memory in &facts.memories {
        row(text, "memory", &memory_line(memory));
    }
    if let Some(stack) = &facts.stack {
        let most =
            stack.most_bytes.map_or_else(String::new, |most| format!("at most {}, ", size(most)));
        row(text, "stack", &format!("in its memory, {most}down from {:#x}", stack.top));
    }
    for table in facts.tables.iter().take(MOST_ROWS) {
        let most = table.maximum.map_or("no maximum".to_owned(), |most| format!("at most {most}"));
        row(text, "table", &format!("{} of {}, {most}", table.minimum, plain(&table.element)));
    }
    words(text, "uses", &facts.uses);
    words(text, "features", &facts.target_features);
    words(text, "made by", &facts.producers);
    let places = match (facts.has_names, facts.has_debug_info) {
        (true, true) => "names of functions, and places in the source (DWARF)",
        (true, false) => "names of functions; no places in the source",
        (false, true) => "places in the source (DWARF)",
        (false, false) => "none: a trace would show numbers",
    };
    row(text, "traces", places);
    sections(text, &facts.custom_sections);
    for group in &facts.imports {
        imports(text, group);
    }
    items(text, "Exports", &facts.exports);
}

fn memory_line(memory: &MemoryFacts) -> String {
    let most = memory
        .maximum_bytes
        .map_or_else(|| "no maximum".to_owned(), |most| format!("at most {}", size(most)));
    let mut line = format!("{} at the start, {most}", size(memory.minimum_bytes));
    for (is_so, word) in [
        (memory.is_imported, ", imported"),
        (memory.is_64_bit, ", 64-bit addresses"),
        (memory.is_shared, ", shared between threads"),
    ] {
        if is_so {
            line.push_str(word);
        }
    }
    line
}

fn component(text: &mut String, facts: &ComponentFacts) {
    let functions: u64 = facts.modules.iter().map(|module| module.functions).sum();
    let modules = count(facts.modules.len() as u64, "module");
    let inner = count(facts.components, "component");
    let functions = count(functions, "function");
    row(text, "holds", &format!("{modules} with {functions}, {inner}"));
    row(text, "memory", &format!("{} at the start", size(facts.least_memory_bytes)));
    words(text, "made by", &facts.producers);
    sections(text, &facts.custom_sections);
    items(text, "Imports", &facts.imports);
    items(text, "Exports", &facts.exports);
}

fn executable(text: &mut String, facts: &ExecutableFacts) {
    let linked = match (&facts.interpreter, facts.is_static) {
        (Some(loader), _) => format!("loaded by {}", plain(loader)),
        (None, true) => "statically linked".to_owned(),
        (None, false) => "not linked".to_owned(),
    };
    let place = if facts.is_position_independent { ", position-independent" } else { "" };
    let (format, kind, machine) = (facts.format, facts.kind, &facts.architecture);
    row(text, "format", &format!("{format} {kind} for {machine}, {linked}{place}"));
    words(text, "libraries", &facts.libraries);
    let symbols = match (facts.has_symbols, facts.has_debug_info) {
        (_, true) => "with debug information",
        (true, false) => "symbols, no debug information",
        (false, false) => "stripped",
    };
    row(text, "symbols", symbols);
}

fn script(text: &mut String, facts: &ScriptFacts) {
    let argument = facts.argument.as_ref().map_or_else(String::new, |word| format!(" {word}"));
    row(text, "read by", &plain(&format!("{}{argument}", facts.interpreter)));
}

fn imports(text: &mut String, group: &ImportGroup) {
    line(text, &format!("\nImports from {}", plain(&group.module)));
    let width = width(group.items.iter().map(|import| &import.item));
    for import in group.items.iter().take(MOST_ROWS) {
        let mark = if import.offered { "" } else { "  (not offered)" };
        line(text, &format!("  {}{mark}", item(&import.item, width)));
    }
    more(text, group.items.len());
}

fn items(text: &mut String, heading: &str, all: &[Item]) {
    if all.is_empty() {
        return;
    }
    line(text, &format!("\n{heading}"));
    let width = width(all.iter());
    for one in all.iter().take(MOST_ROWS) {
        line(text, &format!("  {}", item(one, width)));
    }
    more(text, all.len());
}

fn item(item: &Item, width: usize) -> String {
    let line = format!("{:<width$}  {} {}", plain(&item.name), item.kind, plain(&item.ty));
    line.trim_end().to_owned()
}

fn width<'a>(items: impl Iterator<Item = &'a Item>) -> usize {
    let shown = items.take(MOST_ROWS).map(|item| plain(&item.name).chars().count());
    shown.max().unwrap_or(0).min(WIDEST)
}

fn more(text: &mut String, count: usize) {
    if count > MOST_ROWS {
        line(text, &format!("  and {} more; `--json` lists them all", count - MOST_ROWS));
    }
}

fn needs(text: &mut String, found: &Inspection) {
    if found.executable.is_some() || found.script.is_some() {
        line(text, "\nPermissions");
        for words in CAGE {
            line(text, &format!("  {words}"));
        }
        for need in &found.needs {
            need_line(text, need, "it calls");
        }
        return;
    }
    if found.needs.is_empty() {
        return;
    }
    line(text, "\nPermissions it would need");
    for need in &found.needs {
        let grant = match need.grant {
            Grant::Always => "every guest has it:",
            Grant::ByName => "only what is granted by name:",
            Grant::Never => "never granted to a module:",
        };
        need_line(text, need, grant);
    }
}

fn need_line(text: &mut String, need: &Need, grant: &str) {
    let names: Vec<String> = need.asked_by.iter().map(|name| plain(name)).collect();
    row(text, need.what.name(), &format!("{grant} {}", names.join(", ")));
}

fn sections(text: &mut String, all: &[SectionFacts]) {
    let all: Vec<String> =
        all.iter().map(|section| format!("{} ({})", section.name, size(section.bytes))).collect();
    words(text, "custom", &all);
}

fn words(text: &mut String, name: &str, words: &[String]) {
    if words.is_empty() {
        return;
    }
    let shown: Vec<String> = words.iter().take(MOST_ROWS).map(|word| plain(word)).collect();
    let rest = words.len() - shown.len();
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    row(text, name, &(shown.join(", ") + &more));
}

fn size(bytes: u64) -> String {
    ByteSize::bytes(bytes).to_string()
}

fn row(text: &mut String, name: &str, content: &str) {
    line(text, &format!("  {name:<11} {content}"));
}

fn line(text: &mut String, content: &str) {
    // Writing to a string can't fail.
    let _ = writeln!(text, "{content}");
}
