//! The tests of WebAssembly/wasi-testsuite for preview 1, if there is a checkout of them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sandtrap::{Access, Limits, Permissions, Program, Runtime, Stdin, Task, Verdict};
use serde_json::Value;

const CHECKOUT: &str = "SANDTRAP_WASI_TESTSUITE";

/// The folders of built tests, as the branch `prod/testsuite-base` has them.
const LANGUAGES: [&str; 3] = ["assemblyscript", "c", "rust"];

const TARGET: &str = "testsuite/wasm32-wasip1";

/// What a test expects, as far as the file beside it doesn't say otherwise.
struct Spec {
    args: Vec<String>,
    env: BTreeMap<String, String>,
    root: Option<PathBuf>,
    stdin: Option<String>,
    stdout: Option<String>,
    exit_code: i32,
}

impl Spec {
    fn of(module: &Path) -> Self {
        let text = fs::read_to_string(module.with_extension("json")).unwrap_or("{}".to_owned());
        let all: BTreeMap<String, Value> = serde_json::from_str(&text).unwrap();
        let known = ["args", "env", "root", "dirs", "stdin", "stdout", "stderr", "exit_code"];
        let unknown: Vec<_> = all.keys().filter(|key| !known.contains(&key.as_str())).collect();
        assert!(unknown.is_empty(), "{}: {unknown:?} are new; teach this test", module.display());
        let text = |name: &str| all.get(name).and_then(Value::as_str).map(str::to_owned);
        let texts = |value: Option<&Value>| -> Vec<String> {
            let list = value.and_then(Value::as_array).into_iter().flatten();
            list.map(|one| one.as_str().unwrap().to_owned()).collect()
        };
        let folder = module.parent().unwrap();
        let dirs = texts(all.get("dirs"));
        assert!(dirs.len() < 2, "{}: more than one directory; teach this test", module.display());
        let env = all.get("env").and_then(Value::as_object).into_iter().flatten();
        Self {
            args: texts(all.get("args")),
            env: env
                .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
                .collect(),
            root: text("root").or(dirs.into_iter().next()).map(|root| folder.join(root)),
            stdin: text("stdin"),
            stdout: text("stdout"),
            exit_code: all.get("exit_code").map_or(0, |code| code.as_i64().unwrap() as i32),
        }
    }
}

/// All of a folder, so that the checkout stays as it is.
fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path()).unwrap(), target).unwrap();
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Runs one test. Says what is wrong, if something is.
fn run(runtime: &Runtime, module: &Path) -> Result<(), String> {
    let spec = Spec::of(module);
    let root = tempfile::tempdir().unwrap();
    let mut permissions = Permissions::default();
    for (name, value) in &spec.env {
        permissions.grant_env(name, value);
    }
    if let Some(from) = &spec.root {
        copy(from, root.path());
        permissions.grant_dir(root.path(), "/", Access::ReadWrite);
    }
    let ample = Duration::from_secs(120);
    let limits = Limits { wall: ample, cpu: ample, ..Limits::default() };
    let stdin = spec.stdin.map_or(Stdin::Null, |text| Stdin::Bytes(text.into_bytes().into()));
    let task = Task::command(&spec.args).stdin(stdin);
    let program = Program::file(module).permissions(permissions).limits(limits);
    let report = runtime.run(program, &task);
    let code = match &report.verdict {
        Verdict::Completed => 0,
        Verdict::Failed(sandtrap::Failure::Exit { code }) => *code,
        other => {
            return Err(format!(
                "{other}\n{}",
                String::from_utf8_lossy(&report.output.stderr_tail)
            ));
        }
    };
    if code != spec.exit_code {
        return Err(format!("exit code {code} instead of {}", spec.exit_code));
    }
    match spec.stdout {
        Some(expected) if report.output.stdout_text() != expected => {
            Err(format!("wrote {:?} instead of {expected:?}", report.output.stdout_text()))
        }
        _ => Ok(()),
    }
}

fn modules(checkout: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for language in LANGUAGES {
        let folder = checkout.join("tests").join(language).join(TARGET);
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| {
            panic!(
                "{}: {error}; {CHECKOUT} has to be a checkout of the branch prod/testsuite-base",
                folder.display()
            )
        });
        let paths = entries.map(|entry| entry.unwrap().path());
        found.extend(paths.filter(|path| path.extension() == Some(OsStr::new("wasm"))));
    }
    found.sort();
    found
}

#[test]
#[expect(clippy::print_stderr, reason = "who runs it has to know that nothing was tested")]
fn the_tests_of_the_specification_pass() {
    let Some(checkout) = std::env::var_os(CHECKOUT) else {
        eprintln!(
            "NOT TESTED: {CHECKOUT} is not set. To test against the specification's own suite:\n  \
             git clone --branch prod/testsuite-base https://github.com/WebAssembly/wasi-testsuite\n  \
             {CHECKOUT}=$PWD/wasi-testsuite scripts/test -E 'test(wasi_testsuite)'"
        );
        return;
    };
    let runtime = Runtime::new().unwrap();
    let modules = modules(Path::new(&checkout));
    assert!(modules.len() >= 72, "only {} tests are there", modules.len());
    let failed: Vec<String> = modules
        .iter()
        .filter_map(|module| {
            Some(format!("{}: {}", module.display(), run(&runtime, module).err()?))
        })
        .collect();
    let passed = modules.len() - failed.len();
    eprintln!("{passed} of {} tests for preview 1 pass", modules.len());
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
}
