//! Lives: does to files what its arguments say, one after another, and prints how each went.
//!
//! `read A`, `list A`, `write A TEXT`, `append A TEXT`, `write-at A OFFSET TEXT`, `fill A SIZE`, `resize A SIZE`, `touch A`,
//! `make-dir A`, `remove A`, `remove-dir A`, `rename A B`, `hard-link A B`, `soft-link TARGET A`,
//! `open-many A COUNT`, `read-on-and-on A`, `make-many A COUNT`, `count A`, `count-on-and-on A`.
#![expect(clippy::print_stdout, reason = "printing is what this guest is for")]

use std::collections::BTreeSet;
use std::fs::{self, File, FileTimes, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::time::SystemTime;

fn main() {
    let mut words = std::env::args().skip(1);
    while let Some(verb) = words.next() {
        let mut word = || words.next().expect("the verb has as many words as it needs");
        let went = match verb.as_str() {
            "read" => fs::read_to_string(word()),
            "list" => list(&word()),
            "write" => fs::write(word(), word()).map(quietly),
            "append" => write(OpenOptions::new().append(true), &word(), 0, &word()),
            "write-at" => {
                let (path, offset) = (word(), number(&word()));
                write(OpenOptions::new().write(true).create(true), &path, offset, &word())
            }
            "fill" => fill(&word(), number(&word())),
            "resize" => resize(&word(), number(&word())),
            "touch" => touch(&word()),
            "make-dir" => fs::create_dir(word()).map(quietly),
            "remove" => fs::remove_file(word()).map(quietly),
            "remove-dir" => fs::remove_dir(word()).map(quietly),
            "rename" => fs::rename(word(), word()).map(quietly),
            "hard-link" => fs::hard_link(word(), word()).map(quietly),
            "soft-link" => soft_link(&word(), &word()),
            "open-many" => Ok(open_many(&word(), number(&word()))),
            "make-many" => make_many(&word(), number(&word())),
            "count" => count(&word()),
            "count-on-and-on" => {
                let path = word();
                loop {
                    let _ = count(&path);
                }
            }
            "read-on-and-on" => read_on_and_on(&word()),
            other => panic!("`{other}` is no verb"),
        };
        match went {
            Ok(said) => println!("{verb}: {said}"),
            Err(error) => println!("{verb}: {:?}", error.kind()),
        }
    }
}

fn quietly(_: impl Sized) -> String {
    "ok".to_owned()
}

fn number(word: &str) -> u64 {
    word.parse().expect("a number")
}

fn list(path: &str) -> io::Result<String> {
    let names = fs::read_dir(path)?.map(|entry| Ok(entry?.file_name().display().to_string()));
    let names: BTreeSet<String> = names.collect::<io::Result<_>>()?;
    Ok(names.into_iter().collect::<Vec<_>>().join(" "))
}

fn write(how: &OpenOptions, path: &str, offset: u64, text: &str) -> io::Result<String> {
    let mut file = how.open(path)?;
    if offset > 0 {
        file.seek(SeekFrom::Start(offset))?;
    }
    file.write_all(text.as_bytes()).map(quietly)
}

fn fill(path: &str, size: u64) -> io::Result<String> {
    let mut file = File::create(path)?;
    let piece = [b'x'; 4096];
    (0..size / 4096).try_for_each(|_| file.write_all(&piece)).map(quietly)
}

fn resize(path: &str, size: u64) -> io::Result<String> {
    OpenOptions::new().write(true).open(path)?.set_len(size).map(quietly)
}

fn touch(path: &str) -> io::Result<String> {
    let times = FileTimes::new().set_modified(SystemTime::UNIX_EPOCH);
    File::open(path)?.set_times(times).map(quietly)
}

#[expect(deprecated, reason = "it is the only one that is there for processes and for modules")]
fn soft_link(target: &str, path: &str) -> io::Result<String> {
    fs::soft_link(target, path).map(quietly)
}

/// Opens a file so many times, or as often as it may.
fn open_many(path: &str, count: u64) -> String {
    let mut open = Vec::new();
    for _ in 0..count {
        match File::open(path) {
            Ok(file) => open.push(file),
            Err(error) => return format!("{} and {:?}", open.len(), error.raw_os_error()),
        }
    }
    format!("{} and no error", open.len())
}

fn make_many(path: &str, count: u64) -> io::Result<String> {
    (0..count).try_for_each(|number| fs::write(format!("{path}/{number:0200}"), "")).map(quietly)
}

/// How many entries a directory has, each of them another one.
fn count(path: &str) -> io::Result<String> {
    let names = fs::read_dir(path)?.map(|entry| Ok(entry?.file_name()));
    let names: BTreeSet<_> = names.collect::<io::Result<_>>()?;
    Ok(names.len().to_string())
}

/// Reads a file until somebody ends it, and stops by itself only if it reads what it must not.
fn read_on_and_on(path: &str) -> io::Result<String> {
    loop {
        if let Ok(text) = fs::read_to_string(path)
            && text.contains("secret")
        {
            return Ok(text);
        }
    }
}
