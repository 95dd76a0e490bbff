//! Names and lines for addresses, out of debug information (DWARF) that a guest may have made to do harm.
//!
//! What reads it trusts it: it goes as deep as functions are inlined in each other, and copies every name as often as it
//! is used. So its cost is looked at before (`cost`), and names have an end.

mod bounded;
mod cost;

use std::borrow::Cow;

use addr2line::Context;
use addr2line::gimli::{self, AbbreviationsCacheStrategy, Dwarf, EndianSlice, LittleEndian};

pub(crate) use bounded::Bounded;
pub(crate) use cost::Purse;

/// How much of a name is decoded. Those of functions within generic functions have some thousand bytes.
const MOST_MANGLED: usize = 4096;

/// How much of a name, or of a file's, is shown.
const MOST_SHOWN: usize = 1024;

pub(crate) type Bytes<'a> = EndianSlice<'a, LittleEndian>;

/// Debug information that is safe to be asked.
pub(crate) struct Lines<'a> {
    context: Context<Bytes<'a>>,
}

/// What is known of one function at an address.
pub(crate) struct Found {
    /// How it is called.
    pub(crate) function: Option<String>,
    /// File and line.
    pub(crate) place: Option<String>,
}

impl<'a> Lines<'a> {
    /// Opens it, if it can be read and takes no more of the host's memory than there is in the purse, were all of it looked
    /// at. What is opened is paid for; what stays open beside another one has to come out of the same purse.
    pub(crate) fn open(
        mut section: impl FnMut(gimli::SectionId) -> Bytes<'a>,
        purse: &mut Purse,
    ) -> Option<Self> {
        // An index of what stands in the units, too. One more list that could be read again and again.
        let mut section = |id| match id {
            gimli::SectionId::DebugAranges => Bytes::default(),
            _ => section(id),
        };
        let mut dwarf = Dwarf::load(|id| Ok::<_, gimli::Error>(section(id))).ok()?;
        let mut spent = purse.clone();
        cost::check_tables(&dwarf, &mut spent)?;
        // Units that share a table would read it again and again.
        dwarf.populate_abbreviations_cache(AbbreviationsCacheStrategy::All);
        cost::check(&dwarf, &mut spent)?;
        let context = Context::from_dwarf(dwarf).ok()?;
        *purse = spent;
        Some(Self { context })
    }

    /// The functions at an address, the innermost inlined one first, and no more than this many.
    pub(crate) fn at(&self, address: u64, most: usize) -> Vec<Found> {
        let mut found = Vec::new();
        // Nothing is there, and who looks adds one to it.
        if address == u64::MAX {
            return found;
        }
        let Ok(mut frames) = self.context.find_frames(address).skip_all_loads() else {
            return found;
        };
        while found.len() < most
            && let Ok(Some(frame)) = frames.next()
        {
            let name = frame.function.as_ref().and_then(|name| name.raw_name().ok());
            let place = frame.location.and_then(|location| {
                let file = cut(location.file?, MOST_SHOWN);
                Some(location.line.map_or(file.to_string(), |line| format!("{file}:{line}")))
            });
            found.push(Found { function: name.map(|name| plain(&name)), place });
        }
        found
    }
}

/// The name as it stands in the source, without the compiler's hash. One without an end is cut.
pub(crate) fn plain(name: &str) -> String {
    let shown = format!("{:#}", rustc_demangle::demangle(&cut(name, MOST_MANGLED)));
    cut(&shown, MOST_SHOWN).into_owned()
}

fn cut(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return text.into();
    }
    format!("{}…", &text[..text.floor_char_boundary(most)]).into()
}

#[cfg(test)]
mod tests;
