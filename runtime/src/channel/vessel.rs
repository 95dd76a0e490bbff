//! Where results go while they come in: into memory, or into files where the program asked for that.

use std::borrow::Cow;

use sandtrap_protocol::{Codec, FromGuest, PLACED_FROM};

use crate::evidence::Step;
use crate::isolation::LoadError;
use crate::payload::{Payload, Payloads};
use crate::permissions::Access;
use crate::task::Program;
use crate::value_file::{Draft, ValueDir};

/// The directory for a program's large results, if they are to lie in one.
pub(crate) fn results_in(program: &Program) -> Result<Option<ValueDir>, LoadError> {
    let Payloads::File(path) = program.wanted_payloads() else { return Ok(None) };
    let refused = |why: &dyn std::fmt::Display| {
        LoadError::at(
            Step::Accept,
            format!("results can't be put into `{}`: {why}", path.display()),
        )
    };
    let dir = ValueDir::open(path).map_err(|error| refused(&error))?;
    // Whoever could change a result could cut it short under whoever reads it.
    let reaches = program.policy().permissions.dirs.iter().find(|grant| {
        let host = grant.host.canonicalize().unwrap_or_else(|_| grant.host.clone());
        let overlaps = dir.path().starts_with(&host) || host.starts_with(dir.path());
        grant.access == Access::ReadWrite && overlaps
    });
    match reaches {
        Some(grant) => {
            let granted = grant.host.display();
            Err(refused(&format_args!("its guest may change `{granted}`; name another directory")))
        }
        None => Ok(Some(dir)),
    }
}

/// Takes one result.
#[derive(Debug, Default)]
pub(super) struct Vessel {
    dir: Option<ValueDir>,
    draft: Option<Draft>,
    is_lost: bool,
}

impl Vessel {
    pub(super) fn new(dir: Option<ValueDir>) -> Self {
        Self { dir, ..Self::default() }
    }

    /// Takes a part of a value, if it is one of a large result that goes into a file.
    pub(super) fn takes(&mut self, frame: &FromGuest, part: &[u8], missing: usize) -> bool {
        let Some(dir) = self.dir.as_ref().filter(|_| matches!(frame, FromGuest::Return { .. }))
        else {
            return false;
        };
        // The first part is offered with all that is to come, and decides.
        if self.draft.is_none() && part.len().saturating_add(missing) < PLACED_FROM {
            return false;
        }
        let draft = self.draft.get_or_insert_with(|| dir.draft());
        self.is_lost |= draft.add(part).is_err();
        true
    }

    /// Whether some of the result has come in already.
    pub(super) fn has_begun(&self) -> bool {
        self.draft.is_some()
    }

    /// Whether a part of it could neither be written nor held.
    pub(super) fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// The result is there: what was taken, or else what came with its frame.
    pub(super) fn result(&mut self, codec: Codec, tail: Cow<'_, [u8]>) -> Payload {
        match (self.draft.take(), &self.dir) {
            (Some(draft), _) => draft.finish(codec),
            (None, Some(dir)) => dir.store(codec, &tail),
            (None, None) => Payload::new(codec, tail),
        }
    }
}
