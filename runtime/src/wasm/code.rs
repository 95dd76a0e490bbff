//! Compiled code becomes a module: the one place where the engine has to believe what it is given.
//!
//! # Safety
//!
//! The engine checks that code was compiled by its own version with its own settings. It can't check that nobody
//! has changed it since: whoever can, runs code in this process. So what comes here is one of these, and nothing
//! else:
//!
//! * code that a compiler of this very program has just written, in memory or in a file that only this user
//!   can write to, and whose hash was checked after it was closed;
//! * a file of the cache that is this user's alone and bears the very marks (inode, size, times of its last
//!   change) that it had when its hash was checked;
//! * a copy, in either of these places, of a file whose seal was checked while it was copied.
//!
//! Such a file is never written to again, only removed, so it does not change while it is mapped.
#![expect(unsafe_code, reason = "deserializing is unsafe; the contract is told above")]

#[cfg(target_os = "linux")]
use std::fs::File;
use std::io::Read;

use wasmtime::component::Component;
use wasmtime::{Engine, Module};

/// Compiled code.
#[derive(Debug)]
pub(super) enum Code {
    /// A file that is mapped, not read.
    #[cfg(target_os = "linux")]
    File(File),
    #[cfg(not(target_os = "linux"))]
    Memory(Vec<u8>),
}

impl Code {
    /// Its bytes, from the first one on.
    pub(super) fn reader(&self) -> Box<dyn Read + '_> {
        match self {
            #[cfg(target_os = "linux")]
            Self::File(file) => Box::new(file),
            #[cfg(not(target_os = "linux"))]
            Self::Memory(bytes) => Box::new(&bytes[..]),
        }
    }
}

/// Makes it a module. Code of another engine is an error.
pub(super) fn module(engine: &Engine, code: &Code) -> wasmtime::Result<Module> {
    match code {
        #[cfg(target_os = "linux")]
        Code::File(file) => {
            let file = file.try_clone()?;
            // SAFETY: whoever made this `Code` fulfils the contract at the head of this file.
            unsafe { Module::deserialize_open_file(engine, file) }
        }
        #[cfg(not(target_os = "linux"))]
        Code::Memory(bytes) => {
            // SAFETY: the same.
            unsafe { Module::deserialize(engine, bytes) }
        }
    }
}

/// Makes it a component. Code of another engine is an error.
pub(super) fn component(engine: &Engine, code: &Code) -> wasmtime::Result<Component> {
    match code {
        #[cfg(target_os = "linux")]
        Code::File(file) => {
            use std::os::fd::AsRawFd as _;
            let path = format!("/proc/self/fd/{}", file.as_raw_fd());
            // SAFETY: the same. The path leads to this open file, whatever its name is now.
            unsafe { Component::deserialize_file(engine, path) }
        }
        #[cfg(not(target_os = "linux"))]
        Code::Memory(bytes) => {
            // SAFETY: the same.
            unsafe { Component::deserialize(engine, bytes) }
        }
    }
}
