//! The modes in which a guest works at all, found out by a first call in each.

use sandtrap::{Loaded, Program, Report, Runtime, Start};

use super::findings::Findings;
use super::modes::{Mode, words_of};
use super::survey::Survey;

/// A mode that works.
pub(super) struct Contender {
    pub(super) mode: Mode,
    pub(super) program: Program,
    pub(super) loaded: Loaded,
}

impl Survey<'_> {
    /// The modes in which a first call ends well.
    pub(super) fn contenders(&self, runtime: &Runtime, findings: &mut Findings) -> Vec<Contender> {
        let mut contenders: Vec<Contender> = Vec::new();
        let mut first: Option<(Mode, Report)> = None;
        for mode in Mode::ALL {
            match self.contender(mode, runtime) {
                Ok((contender, report)) => {
                    contenders.push(contender);
                    match &first {
                        Some((other, earlier)) => {
                            findings.warnings.extend(difference(*other, earlier, mode, &report));
                        }
                        None => first = Some((mode, report)),
                    }
                }
                Err(why) => findings.left_out.push((mode.name(), why)),
            }
        }
        contenders
    }

    fn contender(&self, mode: Mode, runtime: &Runtime) -> Result<(Contender, Report), String> {
        let program = mode.program(self.guests, self.shape)?;
        let takes_calls = mode.is_warm() || mode.beginning() == Start::Fork;
        if takes_calls && self.work.is_command() {
            let verb = if mode.is_warm() { "kept" } else { "forked" };
            return Err(format!(
                "a program that is run from its beginning can't be {verb}: name a --function"
            ));
        }
        let loaded = runtime.load(program.clone()).map_err(|error| error.to_string())?;
        let mut cell = mode.open(&loaded)?;
        let report = cell.run(&self.work.task());
        match report.verdict.is_completed() {
            true => Ok((Contender { mode, program, loaded }, report)),
            false => Err(format!("its first call ended otherwise: {}", words_of(&report.verdict))),
        }
    }
}

/// Whether two modes gave different results, in words.
fn difference(one: Mode, earlier: &Report, other: Mode, later: &Report) -> Option<String> {
    let same = earlier.output.result == later.output.result
        && earlier.output.stdout == later.output.stdout;
    (!same).then(|| {
        format!(
            "`{}` and `{}` gave different results: make sure that both files are built from one source",
            one.name(),
            other.name()
        )
    })
}
