//! Finds out by trying what this host offers to processes: each thing in a child that ends at once.
//!
//! All of it happens on a thread of ours that takes no signals, for a handler of the host's must not run in a child
//! that shares its memory. What needs a privilege is tried without a user namespace first, and then within one.

mod calls;
mod child;
mod tiny;

use std::ffi::CString;
use std::fs;
use std::os::fd::AsFd as _;
use std::path::Path;

use libc::c_int;
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::SigSet;
use nix::unistd::{getegid, geteuid};

use crate::finding::{FailedStep, Finding, Probe, Setting};
use crate::quantity::ByteSize;

use super::cage::RESETS;
use super::group::Site;
use calls::Material;
use child::Act;
pub(crate) use tiny::program as tiny_program;

/// The oldest kernel with all calls that no process can be started without (`close_range`).
const OLDEST: (u32, u32) = (5, 9);

/// The first version of Landlock with scopes.
const SCOPES_SINCE: u32 = 6;

/// Tries everything.
pub(crate) fn probe() -> Vec<Finding> {
    let tried = std::thread::Builder::new().name("sandtrap-probe".to_owned()).spawn(|| {
        // It fails only for an invalid set, and the full set is none.
        let _ = SigSet::all().thread_block();
        try_all()
    });
    match tried.map(std::thread::JoinHandle::join) {
        Ok(Ok(found)) => found,
        Ok(Err(_)) => vec![Finding::missing(Probe::Kernel, "the probes broke off")],
        Err(error) => vec![Finding::missing(Probe::Kernel, format!("no thread: {error}"))],
    }
}

fn try_all() -> Vec<Finding> {
    let material = Material {
        user_map: identity(geteuid().as_raw()),
        group_map: identity(getegid().as_raw()),
        program: tiny::program().ok(),
    };
    let mut found = vec![kernel()];
    found.extend(groups());
    found.extend(namespaces(&material));
    found.push(seccomp(&material));
    found.extend(landlock(&material));
    found.extend(tracing(&material));
    let resets: [Act; RESETS.len()] = [
        calls::reset::<0>,
        calls::reset::<1>,
        calls::reset::<2>,
        calls::reset::<3>,
        calls::reset::<4>,
        calls::reset::<5>,
    ];
    for (reset, act) in RESETS.iter().zip(resets) {
        found.push(finding(reset.probe, child::in_child(0, &material, act)));
    }
    let simple: [(Probe, Act); 5] = [
        (Probe::ProcessGroup, calls::begin_process_group),
        (Probe::Descriptors, calls::close_descriptors),
        (Probe::NoNewPrivileges, calls::forbid_privileges),
        (Probe::Capabilities, calls::drop_capabilities),
        (Probe::Rlimits, calls::forbid_descriptors),
    ];
    for (probe, act) in simple {
        found.push(finding(probe, child::in_child(0, &material, act)));
    }
    found.extend(executed(&material));
    found.extend([address_space(), kvm()]);
    found
}

/// Root within, and the one who asks outside.
fn identity(number: u32) -> CString {
    CString::new(format!("0 {number} 1")).unwrap_or_default()
}

fn finding(probe: Probe, done: Result<(), FailedStep>) -> Finding {
    match done {
        Ok(()) => Finding::works(probe, None),
        Err(failed) => Finding::failed(probe, failed),
    }
}

fn setting(path: &'static str) -> Option<Setting> {
    let value = fs::read_to_string(path).ok()?.trim().to_owned();
    Some(Setting { path, value })
}

fn kernel() -> Finding {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) if (major, minor) < OLDEST => {
            Finding::missing(Probe::Kernel, release)
        }
        _ => Finding::works(Probe::Kernel, Some(release.to_owned())),
    }
}

fn groups() -> Vec<Finding> {
    let [v2, v1] = Site::try_both();
    let any = match (&v2, &v1) {
        (Ok(place), _) => Finding::works(Probe::MemoryGroup, Some(format!("v2, {place}"))),
        (Err(_), Ok(place)) => Finding::works(Probe::MemoryGroup, Some(format!("v1, {place}"))),
        (Err(v2), Err(v1)) => Finding::missing(Probe::MemoryGroup, format!("v2: {v2}; v1: {v1}")),
    };
    let one = |probe, tried| match tried {
        Ok(place) => Finding::works(probe, Some(place)),
        // One of the two is enough.
        Err(why) => Finding::noted(probe, format!("none: {why}")),
    };
    vec![any, one(Probe::MemoryGroupV2, v2), one(Probe::MemoryGroupV1, v1)]
}

fn namespaces(material: &Material) -> Vec<Finding> {
    let user = child::in_child(libc::CLONE_NEWUSER, material, |_| Ok(()));
    let user = finding(Probe::UserNamespace, user).with(user_setting());
    let tried: [(Probe, c_int, Act); 7] = [
        (Probe::PidNamespace, libc::CLONE_NEWPID, calls::is_first_process),
        (Probe::MountNamespace, libc::CLONE_NEWNS, calls::private_mounts),
        (Probe::NetworkNamespace, libc::CLONE_NEWNET, calls::reaches_no_network),
        (Probe::IpcNamespace, libc::CLONE_NEWIPC, |_| Ok(())),
        (Probe::UtsNamespace, libc::CLONE_NEWUTS, calls::set_host_name),
        (Probe::CgroupNamespace, libc::CLONE_NEWCGROUP, |_| Ok(())),
        (Probe::PivotRoot, libc::CLONE_NEWNS, calls::change_root),
    ];
    let others = tried.map(|(probe, kind, act)| namespace(probe, kind, material, act));
    let apparmor = setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns");
    let apparmor = match &apparmor {
        None => Finding::noted(Probe::AppArmor, "not there"),
        Some(setting) if setting.value == "0" => Finding::noted(Probe::AppArmor, "off"),
        Some(_) => Finding::noted(Probe::AppArmor, "on").with(apparmor),
    };
    [user].into_iter().chain(others).chain([apparmor]).collect()
}

/// As it is, and if that is not allowed, within a user namespace.
fn namespace(probe: Probe, kind: c_int, material: &Material, act: Act) -> Finding {
    let plain = child::in_child(kind, material, act);
    if !matches!(plain, Err(FailedStep { errno: Some(libc::EPERM), .. })) {
        return finding(probe, plain);
    }
    match child::in_child(kind | libc::CLONE_NEWUSER, material, act) {
        Ok(()) => Finding::works(probe, Some("within a user namespace".to_owned())),
        Err(failed) => Finding::failed(probe, failed).with(user_setting()),
    }
}

/// What forbids user namespaces, if anything does.
fn user_setting() -> Option<Setting> {
    let forbids = [
        ("/proc/sys/user/max_user_namespaces", "0"),
        ("/proc/sys/kernel/unprivileged_userns_clone", "0"),
        ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"),
    ];
    forbids.into_iter().find_map(|(path, value)| setting(path).filter(|it| it.value == value))
}

fn seccomp(material: &Material) -> Finding {
    finding(Probe::Seccomp, child::in_child(0, material, calls::filter_a_call))
}

fn landlock(material: &Material) -> [Finding; 2] {
    let version = match calls::landlock_version() {
        Ok(version) => version,
        Err(errno) => {
            let failed = FailedStep { step: "asking for its version", errno: Some(errno) };
            return [Probe::Landlock, Probe::LandlockScopes]
                .map(|probe| Finding::failed(probe, failed));
        }
    };
    let abi = format!("ABI {version}");
    let files = Finding {
        fact: Some(abi.clone()),
        ..finding(Probe::Landlock, child::in_child(0, material, calls::forbid_listing))
    };
    let scopes = if version >= SCOPES_SINCE {
        finding(Probe::LandlockScopes, child::in_child(0, material, calls::forbid_signals))
    } else {
        Finding::missing(Probe::LandlockScopes, format!("{abi}, and scopes came with ABI 6"))
    };
    [files, scopes]
}

/// A child that executes as a tracee stands still before its first instruction, and is killed by its descriptor.
fn tracing(material: &Material) -> [Finding; 3] {
    let yama = setting("/proc/sys/kernel/yama/ptrace_scope");
    let note = match &yama {
        None => Finding::noted(Probe::Yama, "not there"),
        Some(setting) => Finding::noted(Probe::Yama, format!("ptrace_scope {}", setting.value)),
    };
    let (tracing, pidfd) = trace_one(material);
    [finding(Probe::Tracing, tracing).with(yama), finding(Probe::Pidfd, pidfd), note]
}

fn trace_one(material: &Material) -> (Result<(), FailedStep>, Result<(), FailedStep>) {
    let (child, done) = match child::start(0, material, calls::become_tracee) {
        Ok(started) => started,
        Err(error) => {
            let failed = Err(FailedStep { step: "starting a child", errno: error.raw_os_error() });
            return (failed, failed);
        }
    };
    if let Some(done) = done {
        calls::reap(child.pid);
        return (done, Err(FailedStep { step: "having a child that waits", errno: None }));
    }
    let stopped = calls::reap(child.pid).is_some_and(|status| libc::WIFSTOPPED(status));
    let killed = calls::kill(child.pidfd.as_fd());
    let end = if killed.is_ok() && stopped { calls::reap(child.pid) } else { None };
    let traced =
        if stopped { Ok(()) } else { Err(FailedStep { step: "stopping it", errno: None }) };
    let gone = end.is_some_and(|status| libc::WTERMSIG(status) == libc::SIGKILL);
    let ended = if gone { Ok(()) } else { Err(FailedStep { step: "ending it", errno: None }) };
    (traced, killed.and(ended))
}

/// The tiny program is executed without variables, and its code says whether it has none.
fn executed(material: &Material) -> [Finding; 2] {
    const PROBES: [Probe; 2] = [Probe::MemfdExec, Probe::Environment];
    let noexec = || setting("/proc/sys/vm/memfd_noexec");
    let failed = |failed| PROBES.map(|probe| Finding::failed(probe, failed).with(noexec()));
    let status = match child::start(0, material, calls::execute) {
        Err(error) => {
            return failed(FailedStep { step: "starting a child", errno: error.raw_os_error() });
        }
        Ok((child, done)) => {
            let status = calls::reap(child.pid);
            match done {
                Some(Err(step)) => return failed(step),
                None | Some(Ok(())) => status.filter(|status| libc::WIFEXITED(*status)),
            }
        }
    };
    match status.map(|status| libc::WEXITSTATUS(status)) {
        Some(tiny::EXIT) => PROBES.map(|probe| Finding::works(probe, None)),
        Some(tiny::EXIT_WITH_VARIABLES) => {
            let step = FailedStep { step: "executing without variables", errno: None };
            [Finding::works(PROBES[0], None), Finding::failed(PROBES[1], step)]
        }
        _ => PROBES.map(|probe| Finding::missing(probe, "it ended in another way")),
    }
}

fn address_space() -> Finding {
    match getrlimit(Resource::RLIMIT_AS) {
        Ok((libc::RLIM_INFINITY, _)) => {
            Finding::works(Probe::AddressSpace, Some("unlimited".to_owned()))
        }
        Ok((most, _)) => {
            let fact = format!("limited to {}", ByteSize::bytes(most));
            Finding::missing(Probe::AddressSpace, fact)
        }
        Err(errno) => {
            let failed = FailedStep { step: "reading the limit", errno: Some(errno as i32) };
            Finding::failed(Probe::AddressSpace, failed)
        }
    }
}

fn kvm() -> Finding {
    let there = if Path::new("/dev/kvm").exists() { "there" } else { "not there" };
    Finding::noted(Probe::Kvm, format!("{there}, and not used"))
}
