//! What of the world an import asks for, by its name.

use std::collections::{BTreeMap, BTreeSet};

use sandtrap_protocol::IMPORT_MODULE;

use crate::inspection::{Grant, Need, Resource};

/// Where the functions of WASI preview 1 are imported from.
const PREVIEW_1: [&str; 2] = ["wasi_snapshot_preview1", "wasi_unstable"];

/// The beginnings of the interfaces of later previews.
const INTERFACES: [(&str, Resource); 12] = [
    ("wasi:cli/environment", Resource::Environment),
    ("wasi:cli/stdin", Resource::Streams),
    ("wasi:cli/stdout", Resource::Streams),
    ("wasi:cli/stderr", Resource::Streams),
    ("wasi:cli/terminal", Resource::Streams),
    ("wasi:clocks/", Resource::Clocks),
    ("wasi:random/", Resource::Randomness),
    ("wasi:filesystem/", Resource::Files),
    ("wasi:sockets/", Resource::Network),
    ("wasi:http/", Resource::Network),
    ("wasi:keyvalue/", Resource::Network),
    ("sandtrap:", Resource::Channel),
];

/// Gathers what all imports ask for.
pub(super) fn of<'a>(imports: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<Need> {
    let mut asked: BTreeMap<Resource, BTreeSet<String>> = BTreeMap::new();
    for (module, name) in imports {
        let Some(what) = resource(module, name) else { continue };
        let by = if name.is_empty() { module } else { name };
        asked.entry(what).or_default().insert(by.to_owned());
    }
    let need = |(what, by): (Resource, BTreeSet<String>)| Need {
        what,
        grant: grant(what),
        asked_by: by.into_iter().collect(),
    };
    asked.into_iter().map(need).collect()
}

fn resource(module: &str, name: &str) -> Option<Resource> {
    if PREVIEW_1.contains(&module) {
        return preview_1(name);
    }
    if module == IMPORT_MODULE {
        return Some(Resource::Channel);
    }
    let found = INTERFACES.iter().find(|(start, _)| module.starts_with(start));
    found.map(|(_, resource)| *resource)
}

/// Every function of preview 1 that asks for something. Exits and yields ask for nothing.
fn preview_1(name: &str) -> Option<Resource> {
    Some(match name {
        "args_get" | "args_sizes_get" => Resource::Arguments,
        "environ_get" | "environ_sizes_get" => Resource::Environment,
        "clock_res_get" | "clock_time_get" | "poll_oneoff" => Resource::Clocks,
        "random_get" => Resource::Randomness,
        // What programs do with descriptors they have already: their streams, as long as nothing is granted.
        "fd_read"
        | "fd_write"
        | "fd_close"
        | "fd_seek"
        | "fd_fdstat_get"
        | "fd_fdstat_set_flags" => Resource::Streams,
        "proc_raise" => Resource::Processes,
        _ if name.starts_with("path_") || name.starts_with("fd_") => Resource::Files,
        _ if name.starts_with("sock_") => Resource::Network,
        _ => return None,
    })
}

/// How a guest behind the Wasm wall comes by it.
fn grant(what: Resource) -> Grant {
    match what {
        Resource::Arguments
        | Resource::Streams
        | Resource::Clocks
        | Resource::Randomness
        | Resource::Channel => Grant::Always,
        Resource::Environment | Resource::Files => Grant::ByName,
        Resource::Network | Resource::Processes => Grant::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(module: &str, name: &str) -> Option<Resource> {
        of([(module, name)].into_iter()).first().map(|need| need.what)
    }

    #[test]
    fn imports_ask_for_what_their_names_say() {
        for (module, name, expected) in [
            ("wasi_snapshot_preview1", "path_open", Some(Resource::Files)),
            ("wasi_snapshot_preview1", "fd_readdir", Some(Resource::Files)),
            ("wasi_snapshot_preview1", "fd_write", Some(Resource::Streams)),
            ("wasi_snapshot_preview1", "sock_accept", Some(Resource::Network)),
            ("wasi_snapshot_preview1", "proc_exit", None),
            ("wasi:sockets/tcp@0.2.0", "", Some(Resource::Network)),
            ("wasi:io/streams@0.2.0", "", None),
            ("sandtrap", "send", Some(Resource::Channel)),
            ("sandtrap", "receive", Some(Resource::Channel)),
            ("env", "path_open", None),
        ] {
            assert_eq!(asked(module, name), expected, "{module} {name}");
        }
    }
}
