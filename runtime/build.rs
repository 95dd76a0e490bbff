//! Builds the keeper, the small program that the library carries inside and runs tasks from.

use std::env;
use std::path::PathBuf;
use std::process::Command;

const SOURCES: [&str; 7] = [
    "keeper/main.rs",
    "keeper/call.rs",
    "keeper/heir.rs",
    "keeper/launch.rs",
    "keeper/memory.rs",
    "keeper/view.rs",
    "keeper/wire.rs",
];

fn main() {
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    let wanted = |name: &str| env::var(name).unwrap_or_default();
    if wanted("CARGO_CFG_TARGET_OS") != "linux" {
        return;
    }
    let out = PathBuf::from(wanted("OUT_DIR")).join("keeper");
    let mut compiler = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    compiler
        .args(["--edition=2024", "--crate-name=keeper", "--crate-type=bin"])
        .args(["--target", &wanted("TARGET")])
        .args(["-Copt-level=2", "-Cpanic=abort", "-Coverflow-checks=off", "-Cstrip=symbols"])
        .args(["-Cdebug-assertions=off", "-Crelocation-model=static"])
        .arg("-Ctarget-feature=+crt-static")
        .args(["-Clink-arg=-nostartfiles", "-Clink-arg=-nostdlib", "-Clink-arg=-static"])
        // It needs no stack that may be executed, and its pages are few.
        .args(["-Clink-arg=-Wl,-z,noexecstack", "-Clink-arg=-Wl,--build-id=none"]);
    if wanted("CARGO_CFG_TARGET_ENV") == "musl" {
        // Or its start files would be linked in.
        compiler.arg("-Clink-self-contained=no");
    }
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        compiler.arg("-C").arg(format!("linker={}", linker.to_string_lossy()));
    }
    compiler.arg("-o").arg(&out).arg("keeper/main.rs");
    let output =
        compiler.output().unwrap_or_else(|error| panic!("the compiler cannot be run: {error}"));
    assert!(
        output.status.success(),
        "the keeper does not compile:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
