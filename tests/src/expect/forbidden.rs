//! What is expected of the one guest that asks for what it must not have: a row for each thing.

use sandtrap::{Label, Profile};

use super::{Row, row};

const ALONE: &str = "a module makes no system calls";

fn case(name: &'static str) -> Row {
    let mut row = row("forbidden").native(Label::DeniedSyscall).because(ALONE);
    row.args = vec![name];
    row
}

/// Fatal under every profile, so that they run under the one with the most calls.
const NEVER: [&str; 20] = [
    "ptrace-parent",
    "read-parent",
    "io-uring",
    "userfaultfd",
    "keyctl",
    "add-key",
    "bpf",
    "perf-events",
    "unshare-user",
    "clone-user",
    "memfd-secret",
    "personality",
    "mount",
    "signal-everybody",
    "own-filter",
    "type-on-terminal",
    "socket-internet",
    "swallow",
    "block",
    "second-thread",
];

/// Of the older machine.
#[cfg(target_arch = "x86_64")]
const OF_THE_MACHINE: &[&str] = &["modify-ldt", "x32", "int-0x80"];
#[cfg(not(target_arch = "x86_64"))]
const OF_THE_MACHINE: &[&str] = &[];

/// Fatal even where there is a network.
const NEVER_ON_A_NETWORK: [&str; 3] = ["socket-vsock", "socket-alg", "socket-raw"];

/// Fatal where the profile is not for it, with the profile that is.
const ELSEWHERE: [(&str, Profile, Label); 3] = [
    ("fork", Profile::Process, Label::StoppedProcesses),
    ("second-exec", Profile::Process, Label::Completed),
    ("write-then-execute", Profile::Jit, Label::FailedExit),
];

pub(super) fn rows() -> Vec<Row> {
    let never = NEVER.iter().chain(OF_THE_MACHINE);
    let never = never.map(|name| case(name).under(Profile::Process));
    let networked = NEVER_ON_A_NETWORK.map(|name| case(name).networked());
    let elsewhere = ELSEWHERE.into_iter().flat_map(|(name, profile, label)| {
        let mut granted = case(name).native(label).under(profile);
        if label == Label::FailedExit {
            // The guest's word for a call that went through.
            granted.native = super::Expect::Ends(label, Some(9));
        }
        [case(name), granted]
    });
    let lives = [case("soft").native(Label::Completed), case("nothing").native(Label::Completed)];
    let raised = case("raise").native(Label::CrashedKilled);
    never.chain(networked).chain(elsewhere).chain(lives).chain([raised]).collect()
}
