//! The cache where there is none yet: it can't be opened, and so it never is.

use std::fs::{File, Metadata};
use std::io::{self, Write};
use std::path::Path;

use super::code::Code;
use super::compiler::Facts;

/// There is none.
#[derive(Debug)]
pub(crate) enum Cache {}

/// Nothing is begun.
pub(super) enum Draft {}

/// Names a content, compiled for a kind of engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key(String);

/// Marks that nobody compares.
pub(super) struct Identity;

/// What is never found.
pub(super) struct Hit {
    pub(super) key: Key,
    pub(super) facts: Facts,
    pub(super) code: Code,
}

impl Key {
    pub(super) fn of(source: &str, engine: &str) -> Self {
        Self(format!("{source} {engine}"))
    }

    pub(super) fn name(&self) -> &str {
        &self.0
    }
}

impl Identity {
    pub(super) fn of(_: &Metadata, _: &str) -> Self {
        Self
    }

    pub(super) fn fits(&self, _: &Metadata) -> bool {
        false
    }
}

impl Cache {
    pub(crate) fn open(_: &Path, _: u64) -> io::Result<Self> {
        Err(io::Error::other("the cache of compiled modules needs Linux"))
    }

    pub(super) fn find_file(&self, _: &Identity) -> Option<Hit> {
        match *self {}
    }

    pub(super) fn find(&self, _: &Key) -> Option<Hit> {
        match *self {}
    }

    pub(super) fn discard(&self, _: &Key) {
        match *self {}
    }

    pub(super) fn remember(&self, _: &Identity, _: &Key) {
        match *self {}
    }

    pub(super) fn draft(&self) -> io::Result<Draft> {
        match *self {}
    }

    pub(super) fn drop_draft(&self, _: &Draft) {
        match *self {}
    }

    pub(super) fn secret(&self) -> io::Result<[u8; 32]> {
        match *self {}
    }
}

impl Draft {
    pub(super) fn written(&self) -> &File {
        match *self {}
    }
}

impl Write for Draft {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        match *self {}
    }

    fn flush(&mut self) -> io::Result<()> {
        match *self {}
    }
}
