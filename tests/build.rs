//! Builds every guest for the walls it can stand behind, and tells the kit where they are.
//!
//! The guests have a target folder of their own: this script runs while cargo holds the other one.

use std::path::{Path, PathBuf};
use std::process::Command;

const WASM: &str = "wasm32-wasip1";
const COMPONENT: &str = "wasm32-wasip2";
/// The victims, and a guest that has to be static, are built against another C library, too, where this machine can.
const MUSL: &str = "x86_64-unknown-linux-musl";

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned();
    for watched in ["guests", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(watched).display());
    }
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    // …/target/debug/build/sandtrap-tests-*/out
    let target = out.ancestors().nth(4).expect("a target folder").join("guests");
    let portable = ["sandtrap-samples", "sandtrap-crashers"];
    let tasks = "sandtrap-tasks";
    let kernels = "sandtrap-kernels";
    build(&root, &target, &[portable[0], portable[1], tasks, kernels], &["--bins"], Some(WASM));
    build(&root, &target, &portable, &["--bins"], Some(COMPONENT));
    let processes = [portable[0], portable[1], tasks, kernels, "sandtrap-natives"];
    build(&root, &target, &processes, &["--bins"], None);
    let musl = has_target(MUSL);
    if musl {
        // The others need what only the usual C library has.
        let which = ["--bin", "victim", "--bin", "nothing", "--bin", "plays_cases"];
        build(&root, &target, &["sandtrap-natives"], &which, Some(MUSL));
    }
    let musl = musl.then(|| target.join(MUSL).join("guest").display().to_string());
    println!("cargo::rustc-env=GUESTS_MUSL={}", musl.unwrap_or_default());
    println!("cargo::rustc-env=GUESTS_NATIVE={}", target.join("guest").display());
    println!("cargo::rustc-env=GUESTS_WASM={}", target.join(WASM).join("guest").display());
    println!(
        "cargo::rustc-env=GUESTS_COMPONENT={}",
        target.join(COMPONENT).join("guest").display()
    );
    println!("cargo::rustc-env=GUESTS_SOURCE={}", root.join("guests").display());
}

/// Whether the compiler has a standard library for a target.
fn has_target(triple: &str) -> bool {
    let rustc = std::env::var_os("RUSTC").expect("cargo sets RUSTC");
    let asked = Command::new(rustc).args(["--print", "target-libdir", "--target", triple]).output();
    asked.is_ok_and(|answer| Path::new(String::from_utf8_lossy(&answer.stdout).trim()).is_dir())
}

fn build(root: &Path, target: &Path, packages: &[&str], which: &[&str], triple: Option<&str>) {
    let mut cargo = Command::new(std::env::var_os("CARGO").expect("cargo sets CARGO"));
    cargo.current_dir(root).args(["build", "--profile", "guest", "--locked"]).args(which);
    for package in packages {
        cargo.args(["--package", package]);
    }
    if let Some(triple) = triple {
        cargo.args(["--target", triple]);
    }
    cargo.env("CARGO_TARGET_DIR", target);
    // What cargo sets for this script describes this script, and not the guests.
    for inherited in
        ["CARGO_ENCODED_RUSTFLAGS", "RUSTFLAGS", "CARGO_BUILD_TARGET", "CARGO_MANIFEST_DIR"]
    {
        cargo.env_remove(inherited);
    }
    let status = cargo.status().expect("cargo can be started");
    assert!(
        status.success(),
        "the guests do not build; `rustup target add {WASM} {COMPONENT}` installs what modules \
         and components need"
    );
}
