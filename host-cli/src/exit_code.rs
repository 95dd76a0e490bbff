//! The exit code of each verdict. The same cause gives the same code behind both walls.
//!
//! The codes follow what shells, `timeout` and container tools taught people. They are public and never
//! change; a new label breaks the build here.

use std::fmt;

use sandtrap::{Crash, CrashCause, Failure, Label, Verdict};

/// Wrong usage of sandtrap.
pub(crate) const MISUSE: u8 = 2;

/// Sandtrap's own failures.
pub(crate) const OWN_FAILURE: u8 = 125;

/// Somebody asked for the end, or nobody reads any more.
pub(crate) const CANCELLED: u8 = 130;

/// Shells add the number of a signal to this.
const SIGNAL_BASE: i32 = 128;

/// How the exit code of a label is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Always this code.
    Always(u8),
    /// The code that the guest itself ended with.
    TheGuests,
    /// 128 and the number of the signal.
    OfTheSignal,
}

/// The table.
pub(crate) const fn rule(label: Label) -> Rule {
    match label {
        Label::Completed => Rule::Always(0),
        Label::FailedExit => Rule::TheGuests,
        Label::FailedError => Rule::Always(1),
        Label::FailedPanic => Rule::Always(101),
        Label::CrashedOutOfMemory => Rule::Always(137),
        Label::CrashedMemoryFault | Label::CrashedStackOverflow | Label::CrashedBadCall => {
            Rule::Always(139)
        }
        Label::CrashedArithmetic => Rule::Always(136),
        Label::CrashedAbort => Rule::Always(134),
        Label::CrashedIllegalInstruction => Rule::Always(132),
        Label::CrashedKilled => Rule::OfTheSignal,
        Label::CrashedProtocol => Rule::Always(76),
        Label::CrashedUnknown => Rule::Always(70),
        Label::StoppedWallTime => Rule::Always(124),
        Label::StoppedCpuTime | Label::StoppedFuel => Rule::Always(152),
        Label::StoppedOutput | Label::StoppedResult | Label::StoppedFiles | Label::StoppedStdin => {
            Rule::Always(153)
        }
        Label::StoppedProcesses => Rule::Always(75),
        Label::StoppedCancelled | Label::StoppedShutdown => Rule::Always(CANCELLED),
        Label::DeniedSyscall | Label::DeniedCapability => Rule::Always(159),
        Label::UnstartedNotFound => Rule::Always(127),
        Label::UnstartedNotExecutable
        | Label::UnstartedInvalidModule
        | Label::UnstartedMissingImport => Rule::Always(126),
        Label::UnstartedLimitTooSmall
        | Label::UnstartedGuard
        | Label::UnstartedResources
        | Label::UnstartedRejected => Rule::Always(OWN_FAILURE),
    }
}

/// The exit code of a verdict.
pub(crate) fn of(verdict: &Verdict) -> u8 {
    match rule(verdict.label()) {
        Rule::Always(code) => code,
        Rule::TheGuests => the_guests(verdict),
        Rule::OfTheSignal => of_the_signal(verdict),
    }
}

/// A process has eight bits for its code, a module has more. What failed must never look like success.
fn the_guests(verdict: &Verdict) -> u8 {
    let Verdict::Failed(Failure::Exit { code }) = verdict else { return OWN_FAILURE };
    match code.to_le_bytes()[0] {
        0 => 1,
        low => low,
    }
}

fn of_the_signal(verdict: &Verdict) -> u8 {
    let Verdict::Crashed(Crash { cause: CrashCause::Killed { signal, .. }, .. }) = verdict else {
        return OWN_FAILURE;
    };
    u8::try_from(SIGNAL_BASE.saturating_add(signal.number())).unwrap_or(u8::MAX)
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always(code) => write!(f, "{code}"),
            Self::TheGuests => f.write_str("the guest's own"),
            Self::OfTheSignal => f.write_str("128 + signal"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sandtrap::{Killer, Signal};

    fn exit(code: i32) -> Verdict {
        Verdict::Failed(Failure::Exit { code })
    }

    fn killed(signal: i32) -> Verdict {
        let signal = Signal::from_number(signal);
        let cause = CrashCause::Killed { signal, by: Killer::Itself };
        Verdict::Crashed(Crash { cause, certain: true })
    }

    #[test]
    fn every_label_has_the_code_of_the_contract() {
        let table = [
            ("completed", "0"),
            ("failed.error", "1"),
            ("failed.panic", "101"),
            ("failed.exit", "the guest's own"),
            ("crashed.out-of-memory", "137"),
            ("crashed.stack-overflow", "139"),
            ("crashed.memory-fault", "139"),
            ("crashed.bad-call", "139"),
            ("crashed.arithmetic", "136"),
            ("crashed.abort", "134"),
            ("crashed.illegal-instruction", "132"),
            ("crashed.killed", "128 + signal"),
            ("crashed.protocol", "76"),
            ("crashed.unknown", "70"),
            ("stopped.wall-time", "124"),
            ("stopped.cpu-time", "152"),
            ("stopped.fuel", "152"),
            ("stopped.output", "153"),
            ("stopped.result", "153"),
            ("stopped.processes", "75"),
            ("stopped.files", "153"),
            ("stopped.stdin", "153"),
            ("stopped.cancelled", "130"),
            ("stopped.shutdown", "130"),
            ("denied.syscall", "159"),
            ("denied.capability", "159"),
            ("unstarted.not-found", "127"),
            ("unstarted.not-executable", "126"),
            ("unstarted.invalid-module", "126"),
            ("unstarted.missing-import", "126"),
            ("unstarted.limit-too-small", "125"),
            ("unstarted.guard", "125"),
            ("unstarted.resources", "125"),
            ("unstarted.rejected", "125"),
        ];
        let found: Vec<(&str, String)> =
            Label::ALL.iter().map(|label| (label.as_str(), rule(*label).to_string())).collect();
        let expected: Vec<(&str, String)> =
            table.iter().map(|(label, code)| (*label, (*code).to_owned())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_guests_own_code_passes_through() {
        for code in [1, 2, 101, 139, 255] {
            assert_eq!(i32::from(of(&exit(code))), code);
        }
    }

    #[test]
    fn a_code_beyond_eight_bits_is_cut_but_never_to_success() {
        assert_eq!(of(&exit(256)), 1);
        assert_eq!(of(&exit(259)), 3);
        assert_eq!(of(&exit(-1)), 255);
        assert_eq!(of(&exit(i32::MIN)), 1);
    }

    #[test]
    fn a_signal_is_added_to_128() {
        assert_eq!(of(&killed(9)), 137);
        assert_eq!(of(&killed(15)), 143);
        assert_eq!(of(&killed(64)), 192);
    }

    #[test]
    fn a_verdict_without_details_has_the_code_of_its_label() {
        assert_eq!(of(&Verdict::Completed), 0);
        assert_eq!(of(&Verdict::Stopped(sandtrap::Stop::WallTime)), 124);
    }
}
