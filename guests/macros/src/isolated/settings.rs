//! What may stand in the brackets of `#[isolated(…)]`. Everything that can be seen to be wrong without running
//! anything is said here, where it was written; the library reads the values again when it uses them.

use proc_macro2::Span;
use syn::parse::{Parse, ParseStream};
use syn::{Error, Ident, Lit, LitStr, Token};

/// What a value has to look like.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Size,
    Time,
    Count,
    Share,
    Flag,
    Word(&'static [&'static str]),
    Text(&'static str),
    /// The name of one, of which there is no list here: the library is asked while the function is compiled.
    Guard,
}

/// Every key there is. Those of text and of guards may come more than once.
const KEYS: [(&str, Kind); 26] = [
    ("start", Kind::Word(&["spawn", "fork"])),
    ("memory", Kind::Size),
    ("on_memory_limit", Kind::Word(&["trap", "refuse"])),
    ("wall", Kind::Time),
    ("grace", Kind::Time),
    ("cpu", Kind::Time),
    ("cpus", Kind::Share),
    ("stack", Kind::Size),
    ("output", Kind::Size),
    ("result", Kind::Size),
    ("processes", Kind::Count),
    ("threads", Kind::Count),
    ("open_files", Kind::Count),
    ("file_bytes", Kind::Size),
    ("profile", Kind::Word(&["pure", "compute", "files", "process", "jit"])),
    ("dir", Kind::Text("/data:rw")),
    ("scratch", Kind::Size),
    ("scratch_files", Kind::Count),
    ("proc", Kind::Flag),
    ("env", Kind::Text("LANG")),
    ("net", Kind::Word(&["none", "host"])),
    ("guards", Kind::Word(&["required", "best-effort"])),
    ("require_guard", Kind::Guard),
    ("optional_guard", Kind::Guard),
    ("stdout", Kind::Word(&STREAMS)),
    ("stderr", Kind::Word(&STREAMS)),
];

const STREAMS: [&str; 3] = ["inherit", "null", "capture"];

pub(super) const SIZES: [&str; 9] = ["B", "KiB", "MiB", "GiB", "TiB", "kB", "KB", "MB", "GB"];
pub(super) const TIMES: [&str; 6] = ["ns", "us", "ms", "s", "m", "h"];

/// One setting: its key, and its value as text.
#[derive(Debug)]
pub(super) struct Setting {
    pub(super) key: String,
    pub(super) value: String,
    /// Where a guard was named.
    pub(super) guard: Option<Span>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Settings(pub(super) Vec<Setting>);

impl Parse for Settings {
    fn parse(input: ParseStream<'_>) -> Result<Self, Error> {
        let mut settings = Self::default();
        while !input.is_empty() {
            settings.add(input)?;
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(settings)
    }
}

impl Settings {
    fn add(&mut self, input: ParseStream<'_>) -> Result<(), Error> {
        let name: Ident = input.parse()?;
        let key = name.to_string();
        let Some((_, kind)) = KEYS.iter().find(|(known, _)| *known == key) else {
            let known: Vec<&str> = KEYS.iter().map(|(known, _)| *known).collect();
            let words = format!(
                "`{key}` is no setting of an isolated function; there are {}",
                known.join(", ")
            );
            return Err(Error::new(name.span(), words));
        };
        let is_list = matches!(kind, Kind::Text(_) | Kind::Guard);
        if !is_list && self.0.iter().any(|setting| setting.key == key) {
            return Err(Error::new(name.span(), format!("`{key}` is said twice")));
        }
        input.parse::<Token![=]>()?;
        let value: Lit = input.parse()?;
        let text = read(&key, *kind, &value)?;
        if !matches!(kind, Kind::Guard) {
            self.0.push(Setting { key, value: text, guard: None });
            return Ok(());
        }
        for name in text.split(',').map(str::trim) {
            if self.0.iter().any(|it| it.guard.is_some() && it.value == name) {
                let words = format!("the guard `{name}` is named twice");
                return Err(Error::new(value.span(), words));
            }
            let (key, value, guard) = (key.clone(), name.to_owned(), Some(value.span()));
            self.0.push(Setting { key, value, guard });
        }
        Ok(())
    }
}

fn read(key: &str, kind: Kind, value: &Lit) -> Result<String, Error> {
    let complain = |words: String| Err(Error::new(value.span(), words));
    match (kind, value) {
        (Kind::Count, Lit::Int(count)) if count.base10_parse::<u32>().is_ok() => {
            Ok(count.base10_digits().to_owned())
        }
        (Kind::Count, _) => complain(format!("`{key}` is a number, as in `{key} = 4`")),
        (Kind::Share, Lit::Int(share)) if share.suffix().is_empty() => {
            Ok(share.base10_digits().to_owned())
        }
        (Kind::Share, Lit::Float(share)) if share.suffix().is_empty() => {
            Ok(share.base10_digits().to_owned())
        }
        (Kind::Flag, Lit::Bool(flag)) => Ok(flag.value.to_string()),
        (Kind::Flag, _) => complain(format!("`{key}` is true or false, as in `{key} = true`")),
        (Kind::Share, _) => complain(format!("`{key}` is a number, as in `{key} = 1.5`")),
        (Kind::Size, Lit::Str(text)) if is_quantity(text, &SIZES) => Ok(text.value()),
        (Kind::Size, _) => complain(format!("`{key}` is a size, as in `{key} = \"512MiB\"`")),
        (Kind::Time, Lit::Str(text)) if is_quantity(text, &TIMES) => Ok(text.value()),
        (Kind::Time, _) => complain(format!("`{key}` is a time, as in `{key} = \"10s\"`")),
        (Kind::Word(words), Lit::Str(text)) if words.contains(&&*text.value()) => Ok(text.value()),
        (Kind::Word(words), _) => {
            let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
            complain(format!("`{key}` is one of {}", words.join(", ")))
        }
        (Kind::Text(_) | Kind::Guard, Lit::Str(text)) if !text.value().is_empty() => {
            Ok(text.value())
        }
        (Kind::Guard, _) => {
            complain(format!("`{key}` has names, as in `{key} = \"seccomp,landlock\"`"))
        }
        (Kind::Text(example), _) => {
            complain(format!("`{key}` is a text, as in `{key} = \"{example}\"`"))
        }
    }
}

/// A number, perhaps with a point, and one of these units behind it.
fn is_quantity(text: &LitStr, units: &[&str]) -> bool {
    let text = text.value();
    let text = text.trim();
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let number = &text[..text.len() - unit.len()];
    units.contains(&unit.trim_start()) && number.parse::<f64>().is_ok()
}
