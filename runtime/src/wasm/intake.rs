//! Takes in what a compiler writes: the heading apart, the code into a file (of the cache, or without a name) or
//! into memory. What arrives is as hostile as any output until its heading was read.

use std::io::{self, Write};

use super::cache::{Cache, Draft, Key};
use super::code::Code;
use super::compiler::{Facts, Heading};

/// A heading is some hundred bytes, or an error message of the engine.
pub(super) const MOST_HEADING: usize = 256 * 1024;

/// Where the code goes.
enum Vessel<'a> {
    Cache(&'a Cache, Draft),
    Nameless(Nameless),
}

/// Room without a name: gone when nobody needs it.
struct Nameless {
    #[cfg(target_os = "linux")]
    file: std::fs::File,
    #[cfg(not(target_os = "linux"))]
    bytes: Vec<u8>,
}

/// Takes one stream of a compiler.
pub(super) struct Intake<'a> {
    beginning: Vec<u8>,
    heading: Option<Heading>,
    vessel: Option<Vessel<'a>>,
}

/// Compiled code and what is known of it.
pub(super) struct Compiled {
    pub(super) facts: Facts,
    pub(super) code: Code,
    /// Under what it is kept. Another content than was asked for has another one.
    pub(super) key: Key,
}

/// What came in.
pub(super) enum Taken {
    Compiled(Box<Compiled>),
    /// What is wrong with the module.
    Invalid(String),
    /// The compiler is none for this engine, or what it wrote is no stream.
    Foreign,
}

impl<'a> Intake<'a> {
    /// Takes code into the cache, if there is one that can be written to.
    pub(super) fn new(cache: Option<&'a Cache>) -> io::Result<Self> {
        let draft = cache.and_then(|cache| Some(Vessel::Cache(cache, cache.draft().ok()?)));
        let vessel = match draft {
            Some(draft) => draft,
            None => Vessel::Nameless(Nameless::new()?),
        };
        Ok(Self { beginning: Vec::new(), heading: None, vessel: Some(vessel) })
    }

    /// Everything has come: what was it?
    pub(super) fn finish(mut self, engine: &str) -> io::Result<Taken> {
        let Some(heading) = self.heading.take() else { return Ok(Taken::Foreign) };
        let facts = match heading.outcome {
            _ if heading.engine != engine => return Ok(Taken::Foreign),
            Ok(facts) => facts,
            Err(fault) => return Ok(Taken::Invalid(fault)),
        };
        let key = Key::of(&facts.source, engine);
        let code = match self.vessel.take() {
            None => return Ok(Taken::Foreign),
            Some(vessel) => vessel.keep(&key, &facts)?,
        };
        Ok(Taken::Compiled(Box::new(Compiled { facts, code, key })))
    }

    /// The heading has a length in front of it.
    fn read_heading(&mut self) -> io::Result<()> {
        let Some((length, rest)) = self.beginning.split_first_chunk() else { return Ok(()) };
        let length = u32::from_le_bytes(*length) as usize;
        if length > MOST_HEADING {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "this is no compiler's heading",
            ));
        }
        if let Some((heading, code)) = rest.split_at_checked(length) {
            self.heading = Some(serde_json::from_slice(heading)?);
            let code = code.to_vec();
            self.beginning.clear();
            self.take_code(&code)?;
        }
        Ok(())
    }

    fn take_code(&mut self, code: &[u8]) -> io::Result<()> {
        match self.vessel.take() {
            Some(Vessel::Cache(cache, mut draft)) => {
                let before = draft.written().metadata()?.len();
                if draft.write_all(code).is_ok() {
                    self.vessel = Some(Vessel::Cache(cache, draft));
                    return Ok(());
                }
                // The disk is full. It may be without the cache.
                let mut nameless = Nameless::new()?;
                nameless.copy(draft.written(), before)?;
                cache.drop_draft(&draft);
                nameless.write_all(code)?;
                self.vessel = Some(Vessel::Nameless(nameless));
            }
            Some(Vessel::Nameless(mut nameless)) => {
                nameless.write_all(code)?;
                self.vessel = Some(Vessel::Nameless(nameless));
            }
            None => {}
        }
        Ok(())
    }
}

impl Write for Intake<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.heading.is_some() {
            self.take_code(bytes)?;
        } else {
            self.beginning.extend_from_slice(bytes);
            self.read_heading()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Intake<'_> {
    fn drop(&mut self) {
        if let Some(Vessel::Cache(cache, draft)) = &self.vessel {
            cache.drop_draft(draft);
        }
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::File;
    use std::io::{self, Read as _, Seek as _, Write as _};

    use nix::sys::memfd::{MFdFlags, memfd_create};

    use super::{Code, Facts, Key, Nameless, Vessel};

    impl Vessel<'_> {
        pub(super) fn keep(self, key: &Key, facts: &Facts) -> io::Result<Code> {
            match self {
                Self::Cache(cache, draft) => cache.keep(key, facts, draft),
                Self::Nameless(Nameless { mut file }) => {
                    file.rewind()?;
                    Ok(Code::File(file))
                }
            }
        }
    }

    impl Nameless {
        pub(super) fn new() -> io::Result<Self> {
            let file = File::from(memfd_create("sandtrap-code", MFdFlags::MFD_CLOEXEC)?);
            Ok(Self { file })
        }

        pub(super) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
            self.file.write_all(bytes)
        }

        /// Takes the first bytes of a file.
        pub(super) fn copy(&mut self, mut from: &File, bytes: u64) -> io::Result<()> {
            from.rewind()?;
            io::copy(&mut from.take(bytes), &mut self.file).map(drop)
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use std::fs::File;
    use std::io::{self, Read as _};

    use super::{Code, Facts, Key, Nameless, Vessel};

    impl Vessel<'_> {
        pub(super) fn keep(self, _: &Key, _: &Facts) -> io::Result<Code> {
            match self {
                Self::Cache(cache, _) => match *cache {},
                Self::Nameless(nameless) => Ok(Code::Memory(nameless.bytes)),
            }
        }
    }

    impl Nameless {
        pub(super) fn new() -> io::Result<Self> {
            Ok(Self { bytes: Vec::new() })
        }

        pub(super) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
            self.bytes.extend_from_slice(bytes);
            Ok(())
        }

        pub(super) fn copy(&mut self, from: &File, bytes: u64) -> io::Result<()> {
            from.take(bytes).read_to_end(&mut self.bytes).map(drop)
        }
    }
}
