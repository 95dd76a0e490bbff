//! `sandtrap run`: a program, once.

use std::env;
use std::ffi::OsStr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use sandtrap::{ExecutorSettings, Policy, Program, Stdin, Task, Wall};

use super::session::Session;
use super::settings;
use crate::args::{Mistake, ReuseArg, RunArgs, StartArg, misuse};
use crate::exit_code;
use crate::render;
use crate::streams;
use crate::streams::Items;

/// Runs the program and gives the exit code of its verdict.
pub(crate) fn run(args: &RunArgs) -> anyhow::Result<u8> {
    let wall = args.within.map(Wall::from);
    let policy = args.policy.policy("run", wall)?;
    let mut executor = executor(args)?;
    executor.iter_mut().for_each(|settings| args.policy.grace_of(settings));
    if args.show_policy {
        streams::print(&render::policy(
            &policy,
            wall,
            args.policy.compile.cache_row(),
            args.attempts.rows(),
        ))?;
        return Ok(0);
    }
    let Some((name, guest_args)) = args.command.split_first() else {
        return Err(
            misuse("run", "no PROGRAM is given; name one, as in `sandtrap run ./parser`").into()
        );
    };
    let stdin = args.input.stdin()?;
    check_input(&stdin)?;
    if args.attempts.is_idempotent() {
        check_again(&stdin)?;
    }
    let task = Task::command(guest_args).stdin(stdin);
    let program = program(named(name), wall, policy).backtrace(args.report.backtrace);
    let session = Session {
        streams: &args.streams,
        report: &args.report,
        diagnosis: &args.diagnosis,
        compile: &args.policy.compile,
        items: Items::Unheard,
        executor,
        is_idempotent: args.attempts.is_idempotent(),
    };
    let report = session.carry_out(program, task)?;
    Ok(exit_code::of(&report.verdict))
}

/// What its executor is set to, if it goes through one. What only functions have is refused.
fn executor(args: &RunArgs) -> anyhow::Result<Option<ExecutorSettings>> {
    let functions = "functions have that: `sandtrap call PROGRAM FUNCTION`";
    if args.attempts.start == StartArg::Fork {
        let what = format!(
            "--start fork: a program that is run begins at its first line, and there is no moment at which it is warm; {functions} --start fork"
        );
        return Err(misuse("run", what).into());
    }
    if args.attempts.reuse == Some(ReuseArg::Warm) {
        let what = format!(
            "--reuse warm: a program that is run ends with its task, and nothing of it can be kept; {functions} --reuse warm"
        );
        return Err(misuse("run", what).into());
    }
    settings::of_one(&args.attempts, false)
}

/// What an attempt has read of a stream is not there for the next one.
fn check_again(stdin: &Stdin) -> anyhow::Result<()> {
    let is_stream = match stdin {
        Stdin::Descriptor(_) => true,
        Stdin::File(path) => path.metadata().is_ok_and(|meta| meta.file_type().is_fifo()),
        Stdin::Null | Stdin::Bytes(_) => false,
    };
    if !is_stream {
        return Ok(());
    }
    let words = "what one attempt has read of a stream is not there for the next one; put the input into a file and name it, \
                 as in --stdin input.txt, or leave --retries out";
    Err(Mistake(words.to_owned()).into())
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
