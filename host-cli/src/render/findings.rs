//! What `doctor` prints: a line for each finding, with the reason and what to do.

use std::fmt::Write as _;
use std::io;

use sandtrap::{Finding, Probe, ProbeState};

use super::plain;

const SYSTEM_CALL_REFUSED: i32 = 38;
const NOT_PERMITTED: i32 = 1;
const KEYS_ARE_FULL: i32 = 122;

/// All of them, and what follows from them.
pub(crate) fn findings(found: &[Finding]) -> String {
    let mut text = String::new();
    for finding in found {
        let mut words: Vec<String> = Vec::new();
        words.extend(reason(finding));
        words.extend(remedy(finding).map(|remedy| format!("try: {remedy}")));
        let (state, name) = (finding.state.name(), finding.probe.name());
        // Writing to a string can't fail.
        let _ =
            writeln!(text, "{}", format!("{state:<8} {name:<20} {}", words.join("; ")).trim_end());
    }
    let missing: Vec<&str> =
        found.iter().filter(|it| it.is_trouble()).map(|it| it.probe.name()).collect();
    let conclusion = if missing.is_empty() {
        "This host has all that the defaults require.".to_owned()
    } else {
        let missing = missing.join(", ");
        format!(
            "Of what the defaults require, this is missing: {missing}. Tasks run without it, and their \
             reports say so; with --guards required they are refused."
        )
    };
    let _ = writeln!(text, "\n{conclusion}");
    text
}

/// What is the case, or why it is not.
pub(crate) fn reason(finding: &Finding) -> Option<String> {
    let mut words: Vec<String> = finding.fact.iter().map(|fact| plain(fact)).collect();
    if let Some(failed) = finding.failed {
        words.push(match failed.errno {
            Some(errno) => format!("{}: {}", failed.step, io::Error::from_raw_os_error(errno)),
            None => format!("{}: it had no effect", failed.step),
        });
    }
    if let Some(setting) = &finding.setting
        && finding.state == ProbeState::Missing
    {
        words.push(format!("{} is {}", setting.path, plain(&setting.value)));
    }
    (!words.is_empty()).then(|| words.join("; "))
}

/// What to do about something that is missing.
pub(crate) fn remedy(finding: &Finding) -> Option<String> {
    if finding.state != ProbeState::Missing {
        return None;
    }
    let errno = finding.failed.and_then(|failed| failed.errno);
    by_setting(finding).or_else(|| by_probe(finding.probe, errno)).map(str::to_owned)
}

/// A switch of the host's.
fn by_setting(finding: &Finding) -> Option<&'static str> {
    let setting = finding.setting.as_ref()?;
    match setting.path.rsplit('/').next()? {
        "max_user_namespaces" => Some("`sysctl user.max_user_namespaces=15000` as root"),
        "unprivileged_userns_clone" => Some("`sysctl kernel.unprivileged_userns_clone=1` as root"),
        "apparmor_restrict_unprivileged_userns" => Some(
            "an AppArmor profile for sandtrap with the rule `userns,`, or \
             `sysctl kernel.apparmor_restrict_unprivileged_userns=0`, as root",
        ),
        "ptrace_scope" if setting.value == "3" => {
            Some("a reboot with kernel.yama.ptrace_scope below 3; it can't be lowered before")
        }
        "memfd_noexec" if setting.value != "0" => Some("`sysctl vm.memfd_noexec=0` as root"),
        _ => None,
    }
}

fn by_probe(probe: Probe, errno: Option<i32>) -> Option<&'static str> {
    const CONTAINER: &str = "in a container, a seccomp profile that allows the call \
                             (docker run --security-opt seccomp=FILE); else a newer kernel";
    const KERNEL: &str = "a kernel that was built with it";
    const NAMESPACES: &str = "user namespaces for this user, or root; in a container, \
                              `--security-opt seccomp=unconfined` or CAP_SYS_ADMIN";
    match probe {
        Probe::Kernel => Some("Linux 5.9 or newer"),
        Probe::MemoryGroup | Probe::CpuGroup => Some(
            "as root, or as a user with a group handed down: \
             `systemd-run --user --scope -p Delegate=yes sandtrap …`; in a container, --cgroupns=host \
             and a writable /sys/fs/cgroup",
        ),
        Probe::UserNamespace
        | Probe::PidNamespace
        | Probe::MountNamespace
        | Probe::NetworkNamespace
        | Probe::IpcNamespace
        | Probe::UtsNamespace
        | Probe::CgroupNamespace
        | Probe::PivotRoot => Some(match errno {
            Some(SYSTEM_CALL_REFUSED | NOT_PERMITTED) | None => NAMESPACES,
            Some(_) => KERNEL,
        }),
        Probe::Scratch | Probe::Proc => Some(NAMESPACES),
        Probe::Seccomp => Some("a kernel with CONFIG_SECCOMP_FILTER"),
        Probe::Landlock => {
            Some("a kernel with CONFIG_SECURITY_LANDLOCK, started with lsm=landlock,…")
        }
        Probe::LandlockScopes => Some("Linux 6.12 or newer"),
        Probe::Tracing | Probe::Pidfd => Some(CONTAINER),
        Probe::NoNewPrivileges
        | Probe::Capabilities
        | Probe::Rlimits
        | Probe::SignalDispositions
        | Probe::SignalMask
        | Probe::Umask
        | Probe::Session
        | Probe::ProcessGroup
        | Probe::Descriptors
        | Probe::Personality
        | Probe::MemfdExec
        | Probe::Environment => Some(CONTAINER),
        Probe::Keyring => Some(match errno {
            Some(KEYS_ARE_FULL) => "`sysctl kernel.keys.maxkeys=2000` as root",
            Some(SYSTEM_CALL_REFUSED) => {
                "a kernel with CONFIG_KEYS; without it nobody has keys, and nothing is lost"
            }
            _ => CONTAINER,
        }),
        Probe::PagemapScan => Some("Linux 6.7 or newer"),
        Probe::AddressSpace => Some("`ulimit -v unlimited`"),
        Probe::MaxMapCount => Some("`sysctl vm.max_map_count=262144` as root"),
        Probe::Pool => Some("`ulimit -v unlimited`, or a runtime with fewer instances"),
        Probe::CompileConfinement => Some("what else is missing here, and memory for a compiler"),
        // Noted, and never missing.
        Probe::MemoryGroupV2
        | Probe::MemoryGroupV1
        | Probe::AppArmor
        | Probe::Yama
        | Probe::Swap
        | Probe::Kvm => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sandtrap::{FailedStep, Setting};

    fn missing(probe: Probe, setting: Option<Setting>) -> Finding {
        let failed = Some(FailedStep { step: "making it", errno: Some(NOT_PERMITTED) });
        Finding { probe, state: ProbeState::Missing, fact: None, failed, setting }
    }

    #[test]
    fn what_is_missing_has_one_line_with_the_reason_and_the_remedy() {
        let path = "/proc/sys/user/max_user_namespaces";
        let setting = Some(Setting { path, value: "0".to_owned() });
        let text = findings(&[missing(Probe::UserNamespace, setting)]);
        let line = text.lines().next().unwrap();
        assert_eq!(
            line,
            "missing  user-namespace       making it: Operation not permitted (os error 1); \
             /proc/sys/user/max_user_namespaces is 0; try: `sysctl user.max_user_namespaces=15000` as root"
        );
        assert!(
            text.contains("all that the defaults require"),
            "it is not required by itself: {text}"
        );
    }

    #[test]
    fn what_the_defaults_require_is_named_at_the_end() {
        let found = [missing(Probe::Seccomp, None), missing(Probe::PagemapScan, None)];
        let text = findings(&found);
        assert!(text.contains("this is missing: seccomp. Tasks run without it"), "{text}");
    }

    #[test]
    fn everything_that_is_required_has_a_remedy() {
        use Probe::{
            Capabilities, CompileConfinement, Descriptors, Environment, IpcNamespace, Kernel,
            Landlock, MemoryGroup, MountNamespace, NetworkNamespace, NoNewPrivileges, PidNamespace,
            Pidfd, PivotRoot, ProcessGroup, Rlimits, Seccomp, Session, SignalDispositions,
            SignalMask, Tracing, Umask, UtsNamespace,
        };
        for probe in [
            Capabilities,
            CompileConfinement,
            IpcNamespace,
            Kernel,
            Landlock,
            MemoryGroup,
            MountNamespace,
            NetworkNamespace,
            NoNewPrivileges,
            PidNamespace,
            Pidfd,
            PivotRoot,
            Rlimits,
            Descriptors,
            Environment,
            ProcessGroup,
            Session,
            SignalDispositions,
            SignalMask,
            Umask,
            Seccomp,
            Tracing,
            UtsNamespace,
        ] {
            assert!(probe.is_required() && remedy(&missing(probe, None)).is_some(), "{probe:?}");
        }
    }
}
