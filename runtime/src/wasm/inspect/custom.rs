//! The decoration of a module: names, producers, features. What can't be read there says nothing.

use wasmparser::{BinaryReader, Name, NameSectionReader, ProducersSectionReader};

use crate::inspection::SectionFacts;

/// The section in which LLVM says what it was told to use.
pub(super) const TARGET_FEATURES: &str = "target_features";

/// The most names of sections that are listed. A file can have millions of empty ones.
const MOST_SECTIONS: usize = 1_000;

/// The most features that are listed: more is no feature list.
const MOST_FEATURES: u32 = 1_000;

/// Adds a section to the list; those of the same name are one row. A full list is left as it is.
pub(super) fn list(sections: &mut Vec<SectionFacts>, name: &str, data: &[u8]) {
    let bytes = data.len() as u64;
    if sections.len() >= MOST_SECTIONS {
        return;
    }
    if let Some(known) = sections.iter_mut().find(|section| section.name == name) {
        known.bytes += bytes;
    } else {
        sections.push(SectionFacts { name: name.to_owned(), bytes });
    }
}

/// What made a module: `rustc 1.90.0`.
pub(super) fn producers(fields: ProducersSectionReader<'_>) -> Vec<String> {
    let values = fields.into_iter().flatten().flat_map(|field| field.values.into_iter().flatten());
    values.map(|value| format!("{} {}", value.name, value.version).trim().to_owned()).collect()
}

/// The features as LLVM calls them: `simd128`. One that was forbidden has its sign: `-simd128`.
pub(super) fn target_features(data: &[u8]) -> Vec<String> {
    let mut reader = BinaryReader::new(data, 0);
    let count = reader.read_var_u32().unwrap_or(0).min(MOST_FEATURES);
    let mut next = || -> wasmparser::Result<String> {
        let prefix = char::from(reader.read_u8()?);
        let name = reader.read_string()?;
        Ok(if prefix == '+' { name.to_owned() } else { format!("{prefix}{name}") })
    };
    (0..count).map_while(|_| next().ok()).collect()
}

/// The names of functions.
#[derive(Default)]
pub(super) struct Names {
    functions: Vec<(u32, String)>,
}

impl Names {
    pub(super) fn take(&mut self, names: NameSectionReader<'_>) {
        for name in names.into_iter().flatten() {
            if let Name::Function(functions) = name {
                let named = functions.into_iter().flatten();
                self.functions.extend(named.map(|naming| (naming.index, naming.name.to_owned())));
            }
        }
    }

    pub(super) fn are_there(&self) -> bool {
        !self.functions.is_empty()
    }

    pub(super) fn of_function(&self, index: u32) -> Option<String> {
        let found = self.functions.iter().find(|(known, _)| *known == index);
        found.map(|(_, name)| crate::debug_info::plain(name))
    }
}
