//! What each profile is for, call by call; and the documentation's table, which is made of the table itself.

use std::fmt::Write as _;
use std::path::Path;

use super::{LAUNCHERS, MACHINES, asked, plain};
use crate::evidence::Remedy;
use crate::native::filter::numbers::Machine;
use crate::native::filter::rules::{Answer, Case, Launcher, Rulings, Terms, Whom};
use crate::native::filter::table::TABLE;
use crate::native::tracing::Call;
use crate::permissions::{Network, Profile};

use Answer::{Allow, Fail, Kill, Trace};
use Profile::{Compute, Files, Jit, Process, Pure};

const HERE: Machine = Machine::X86_64;

fn first(value: u64) -> [u64; 6] {
    [value, 0, 0, 0, 0, 0]
}

#[test]
fn profiles_differ_where_they_are_meant_to() {
    let exec_memory = [0, 4096, 7, 0x22, u64::MAX, 0];
    let library = [0, 4096, 5, 0x2, 3, 0];
    let thread = first(0x3d_0f00);
    let rows: [(&str, [u64; 6], [Answer; 5]); 17] = [
        ("read", [0; 6], [Allow; 5]),
        ("mmap", library, [Allow; 5]),
        ("clone", thread, [Allow; 5]),
        ("tgkill", [1, 1, 6, 0, 0, 0], [Allow; 5]),
        ("openat", [0; 6], [Fail(libc::EACCES), Allow, Allow, Allow, Allow]),
        ("pipe2", [0; 6], [Fail(libc::ENOSYS), Allow, Allow, Allow, Allow]),
        (
            "unlinkat",
            [0; 6],
            [Fail(libc::EPERM), Fail(libc::EPERM), Allow, Allow, Fail(libc::EPERM)],
        ),
        ("ftruncate", [0; 6], [Fail(libc::EPERM), Fail(libc::EPERM), Allow, Allow, Allow]),
        ("socketpair", [1, 1, 0, 0, 0, 0], [Kill, Kill, Allow, Allow, Kill]),
        ("fork", [0; 6], [Kill, Kill, Kill, Allow, Kill]),
        ("clone", first(17), [Kill, Kill, Kill, Allow, Kill]),
        ("clone", first(0x1000_0011), [Kill; 5]),
        ("mmap", exec_memory, [Kill, Kill, Kill, Allow, Allow]),
        ("mprotect", [0, 4096, 5, 0, 0, 0], [Kill, Kill, Kill, Allow, Allow]),
        (
            "memfd_create",
            [0; 6],
            [Fail(libc::ENOSYS), Fail(libc::ENOSYS), Fail(libc::ENOSYS), Fail(libc::ENOSYS), Allow],
        ),
        ("socket", [2, 1, 0, 0, 0, 0], [Kill; 5]),
        ("clone3", [0; 6], [Fail(libc::ENOSYS); 5]),
    ];
    for (name, arguments, expected) in rows {
        for (profile, expected) in Profile::ALL.into_iter().zip(expected) {
            assert_eq!(asked(HERE, plain(profile), name, arguments), expected, "{profile}: {name}");
        }
    }
}

#[test]
fn some_calls_are_deadly_on_every_term() {
    for machine in MACHINES {
        for terms in super::all_terms() {
            for name in ["io_uring_setup", "bpf", "keyctl", "mount", "unshare", "process_vm_readv"]
            {
                assert_eq!(asked(machine, terms, name, [0; 6]), Kill, "{terms:?}: {name}");
            }
            for family in [17, 38, 40] {
                let arguments = [family, 5, 0, 0, 0, 0];
                assert_eq!(asked(machine, terms, "socket", arguments), Kill, "{terms:?}: {family}");
            }
            let raw = [2, 3 | 0x80000, 1, 0, 0, 0];
            assert_eq!(asked(machine, terms, "socket", raw), Kill, "{terms:?}");
            let attach = first(16);
            assert_eq!(asked(machine, terms, "ptrace", attach), Kill, "{terms:?}");
            let typing = [0, 0xffff_ffff_0000_5412, 0, 0, 0, 0];
            assert_eq!(asked(machine, terms, "ioctl", typing), Kill, "{terms:?}");
            let everybody = [u64::from(u32::MAX), 9, 0, 0, 0, 0];
            assert_eq!(asked(machine, terms, "kill", everybody), Kill, "{terms:?}");
        }
    }
}

#[test]
fn a_network_is_for_everybody_but_pure_and_only_where_it_was_granted() {
    let stream = [2, 1 | 0x80800, 6, 0, 0, 0];
    for profile in Profile::ALL {
        let granted = Terms { net: Network::Host, ..plain(profile) };
        let expected = if profile == Pure { Kill } else { Allow };
        assert_eq!(asked(HERE, granted, "socket", stream), expected, "{profile}");
        assert_eq!(asked(HERE, granted, "connect", [0; 6]), expected, "{profile}");
        assert_eq!(asked(HERE, plain(profile), "connect", [0; 6]), Kill, "{profile}");
        // One that is not connected could reach others by name.
        let pair = [1, 2, 0, 0, 0, 0];
        assert_ne!(asked(HERE, granted, "socketpair", pair), Allow, "{profile}");
    }
}

#[test]
fn files_of_the_system_are_locked_by_nobody_who_has_no_others() {
    let [flock, lock] = [("flock", [3, 2, 0, 0, 0, 0]), ("fcntl", [3, 6, 0, 0, 0, 0])];
    for profile in Profile::ALL {
        let granted = plain(profile);
        let alone = Terms { has_files: false, ..granted };
        let may = matches!(profile, Files | Process);
        for (name, arguments) in [flock, lock] {
            assert_eq!(asked(HERE, granted, name, arguments) == Allow, may, "{profile}: {name}");
        }
        assert_eq!(asked(HERE, alone, flock.0, flock.1), Fail(libc::EPERM), "{profile}");
        assert_eq!(asked(HERE, alone, lock.0, lock.1), Fail(libc::ENOLCK), "{profile}");
    }
}

#[test]
fn a_launchers_child_gets_to_its_exec_and_a_guest_gains_nothing_else() {
    let launched = [
        ("clone", first(0x0010_c111)),
        ("clone", first(0x2010_c111)),
        ("recvmsg", [0; 6]),
        ("setrlimit", [7, 1, 0, 0, 0, 0]),
        ("prlimit64", [0, 7, 1, 0, 0, 0]),
        ("setpgid", [0; 6]),
        ("prctl", [1, 9, 0, 0, 0, 0]),
        ("prctl", [38, 1, 0, 0, 0, 0]),
        ("prctl", [47, 4, 0, 0, 0, 0]),
        ("capset", [0; 6]),
        ("ptrace", [0; 6]),
        ("landlock_restrict_self", [0; 6]),
        ("close_range", [4, u64::from(u32::MAX), 0, 0, 0, 0]),
        ("execveat", [0; 6]),
    ];
    let never = [
        ("clone", first(0x0010_c111 | 0x1000_0000)),
        ("prlimit64", [1, 7, 1, 0, 0, 0]),
        ("setpgid", [0, 1, 0, 0, 0, 0]),
        ("prctl", [1, 0, 0, 0, 0, 0]),
        ("prctl", [4, 0, 0, 0, 0, 0]),
        ("prctl", [22, 2, 0, 0, 0, 0]),
        ("ptrace", first(0x4206)),
        ("landlock_create_ruleset", [0; 6]),
    ];
    for profile in Profile::ALL {
        let inside = Terms { launcher: LAUNCHERS[1], ..plain(profile) };
        for (name, arguments) in launched {
            assert_eq!(asked(HERE, inside, name, arguments), Allow, "{profile}: {name}");
        }
        for (name, arguments) in never.into_iter().filter(|_| profile != Process) {
            assert_ne!(asked(HERE, inside, name, arguments), Allow, "{profile}: {name}");
        }
    }
    assert_eq!(asked(HERE, plain(Compute), "clone", first(0x0010_c111)), Kill);
    assert_eq!(asked(HERE, plain(Compute), "ptrace", [0; 6]), Kill);
}

#[test]
fn kills_and_questions_are_traced_only_where_somebody_traces_them() {
    let itself = |signal| [7, signal, 0, 0, 0, 0];
    for (launcher, expected) in LAUNCHERS.into_iter().zip([Allow, Allow, Trace]) {
        let terms = Terms { launcher, ..plain(Compute) };
        assert_eq!(asked(HERE, terms, "kill", itself(9)), expected);
        assert_eq!(asked(HERE, terms, "tkill", itself(9)), expected);
        assert_eq!(asked(HERE, terms, "tgkill", [7, 7, 9, 0, 0, 0]), expected);
        assert_eq!(asked(HERE, terms, "kill", itself(6)), Allow);
        assert_eq!(asked(HERE, terms, "tgkill", [7, 9, 6, 0, 0, 0]), Allow);
        assert_eq!(asked(HERE, terms, "sched_getaffinity", [0; 6]), expected);
    }
    let terms =
        Terms { launcher: Launcher::Inside { traced: true, forks: false }, ..plain(Process) };
    assert_eq!(asked(HERE, terms, "pidfd_send_signal", [3, 9, 0, 0, 0, 0]), Trace);
}

#[test]
fn what_is_denied_is_told_with_what_would_allow_it() {
    let call = |name: &str, arguments| {
        let found = Machine::HERE.calls().find(|(_, known)| *known == name).expect(name);
        let machine = Some(Machine::HERE.audit());
        Call { machine, number: found.0.into(), arguments, is_stopped: true }
    };
    let exec_memory = [0, 4096, 7, 0x22, u64::MAX, 0];
    for (name, arguments, remedy) in [
        ("clone", first(17), Some(Remedy::Profile(Process))),
        ("mmap", exec_memory, Some(Remedy::Profile(Jit))),
        ("socketpair", [1, 1, 0, 0, 0, 0], Some(Remedy::Profile(Files))),
        ("connect", [0; 6], Some(Remedy::Network)),
        ("ptrace", first(16), None),
    ] {
        let call = call(name, arguments);
        let denied = plain(Compute).denied(&call);
        assert!(plain(Compute).kills(&call), "{name}");
        assert_eq!((denied.name, denied.remedy), (Some(name), remedy));
        assert_eq!(denied.arguments, Some(arguments));
    }
    let foreign = Call { machine: Some(0x4000_0003), ..call("read", [0; 6]) };
    assert_eq!(plain(Jit).denied(&foreign).abi, Some("i386"));
    assert_eq!(plain(Jit).denied(&foreign).name, None);
}

/// One word for what these calls get.
fn word(calls: &[&str], profile: Profile, net: Network) -> String {
    let rulings = Rulings::new(HERE, Terms { net, ..plain(profile) });
    let mut words: Vec<String> = Vec::new();
    for (number, _) in HERE.calls().filter(|(_, name)| calls.contains(name)) {
        let word = of_cases(&rulings.cases()[number as usize]);
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words.join(" / ")
}

fn of_cases(cases: &[&'static Case]) -> String {
    let word = |answer| match answer {
        Allow => "yes".to_owned(),
        Kill => "**killed**".to_owned(),
        Trace => "traced".to_owned(),
        Fail(errno) => nix::errno::Errno::from_raw(errno)
            .to_string()
            .split(':')
            .next()
            .map_or_else(String::new, str::to_owned),
    };
    let Some(last) = cases.last() else { return word(Fail(libc::ENOSYS)) };
    if cases.iter().all(|case| case.answer == last.answer) {
        return word(last.answer);
    }
    let otherwise = if last.tests.is_empty() { last.answer } else { Fail(libc::ENOSYS) };
    if otherwise == Allow {
        return "all but some".to_owned();
    }
    format!("some, else {}", word(otherwise))
}

/// Titles and calls, without what is only for launchers.
fn all_rules() -> impl Iterator<Item = (&'static str, &'static str)> {
    let rules = TABLE.iter().flat_map(|part| *part);
    let guests = rules.filter(|rule| !matches!(rule.whom, Whom::Launched | Whom::Traced));
    guests.map(|rule| (rule.title, rule.calls))
}

fn documentation() -> String {
    let mut text = include_str!("profiles.md").to_owned();
    // Each call once, where it is first spoken of.
    let mut titles: Vec<(&str, Vec<&str>)> = Vec::new();
    for (title, calls) in all_rules() {
        for call in calls.split_whitespace() {
            if titles.iter().any(|(_, known)| known.contains(&call)) {
                continue;
            }
            match titles.iter_mut().find(|(known, _)| *known == title) {
                Some((_, known)) => known.push(call),
                None => titles.push((title, vec![call])),
            }
        }
    }
    for (title, calls) in &titles {
        let _ = write!(text, "| {title} |");
        for profile in Profile::ALL {
            let (alone, granted) =
                (word(calls, profile, Network::None), word(calls, profile, Network::Host));
            let cell = if alone == granted {
                alone
            } else {
                format!("{alone}; with a network: {granted}")
            };
            let _ = write!(text, " {cell} |");
        }
        let _ = writeln!(text, " `{}` |", calls.join("` `"));
    }
    text
}

#[test]
fn the_documentation_is_what_the_table_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/profiles.md");
    let expected = documentation();
    if std::env::var_os("SANDTRAP_WRITE_DOCS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "run this test with SANDTRAP_WRITE_DOCS=1 to write it anew");
}
