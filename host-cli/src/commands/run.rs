//! `sandtrap run`: a program, once.

use std::env;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use sandtrap::{Policy, Program, Stdin, Task, Wall};

use super::session::Session;
use crate::args::{RunArgs, misuse};
use crate::exit_code;
use crate::render;
use crate::streams;
use crate::streams::Items;

/// Runs the program and gives the exit code of its verdict.
pub(crate) fn run(args: &RunArgs) -> anyhow::Result<u8> {
    let wall = args.within.map(Wall::from);
    let policy = args.policy.policy("run", wall)?;
    if args.show_policy {
        streams::print(&render::policy(&policy, wall))?;
        return Ok(0);
    }
    let Some((name, guest_args)) = args.command.split_first() else {
        return Err(
            misuse("run", "no PROGRAM is given; name one, as in `sandtrap run ./parser`").into()
        );
    };
    let stdin = args.input.stdin()?;
    check_input(&stdin)?;
    let task = Task::command(guest_args).stdin(stdin);
    let program = program(named(name), wall, policy).backtrace(args.backtrace);
    let session = Session {
        streams: &args.streams,
        report: &args.report,
        diagnosis: &args.diagnosis,
        compile: &args.policy.compile,
        items: Items::Unheard,
    };
    let report = session.carry_out(program, task)?;
    Ok(exit_code::of(&report.verdict))
}

/// The file that a name means here.
pub(super) fn named(name: &OsStr) -> PathBuf {
    let search_path = env::var_os("PATH").unwrap_or_default();
    find(Path::new(name), &search_path)
}

/// The program, under this policy.
pub(super) fn program(file: PathBuf, wall: Option<Wall>, policy: Policy) -> Program {
    let program = Program::file(file)
        .limits(policy.limits)
        .permissions(policy.permissions)
        .guards(policy.guards)
        .trust(policy.trust)
        .compile_limits(policy.compile);
    match wall {
        Some(wall) => program.within(wall),
        None => program,
    }
}

/// A file that is there is meant. A bare name is looked up as a shell does; one that is nowhere stays as
/// it is, and the verdict says so.
pub(super) fn find(name: &Path, search_path: &OsStr) -> PathBuf {
    let is_bare = name.components().count() == 1 && name.file_name() == Some(name.as_os_str());
    if !is_bare || name.is_file() {
        return name.to_owned();
    }
    env::split_paths(search_path)
        .map(|directory| directory.join(name))
        .find(|candidate| is_executable(candidate))
        .unwrap_or_else(|| name.to_owned())
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// A missing input is told before anything is started.
fn check_input(stdin: &Stdin) -> anyhow::Result<()> {
    if let Stdin::File(path) = stdin {
        let shown = path.display();
        let meta = path.metadata().with_context(|| {
            format!("cannot read the guest's stdin from `{shown}`; name a file, null or -")
        })?;
        if meta.is_dir() {
            bail!("cannot read the guest's stdin from `{shown}`: it is a directory");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;

    fn find_in(name: &str, directories: &[&str]) -> PathBuf {
        let search_path: OsString = env::join_paths(directories).unwrap();
        find(Path::new(name), &search_path)
    }

    #[test]
    fn a_bare_name_is_looked_up_in_the_search_path() {
        assert_eq!(find_in("sh", &["/nonexistent", "/bin"]), Path::new("/bin/sh"));
    }

    #[test]
    fn a_path_is_never_looked_up() {
        for path in ["./sh", "bin/sh", "/nonexistent/sh", "../sh"] {
            assert_eq!(find_in(path, &["/bin", "/"]), Path::new(path));
        }
    }

    #[test]
    fn a_file_in_the_current_directory_counts_more() {
        assert_eq!(find_in("Cargo.toml", &["/bin"]), Path::new("Cargo.toml"));
    }

    #[test]
    fn a_name_that_is_nowhere_stays_as_it_is() {
        assert_eq!(find_in("no-such-program", &["/bin"]), Path::new("no-such-program"));
        assert_eq!(find_in("passwd", &["/etc"]), Path::new("passwd"));
    }

    #[test]
    fn a_missing_input_is_refused() {
        assert!(check_input(&Stdin::File("/nonexistent".into())).is_err());
        assert!(check_input(&Stdin::File("/tmp".into())).is_err());
        assert!(check_input(&Stdin::File("/dev/null".into())).is_ok());
        assert!(check_input(&Stdin::Null).is_ok());
    }
}
