//! Builds every guest for the walls it can stand behind, and tells the kit where they are.
//!
//! The guests have a target folder of their own: this script runs while cargo holds the other one.

use std::path::{Path, PathBuf};
use std::process::Command;

const WASM: &str = "wasm32-wasip1";
const COMPONENT: &str = "wasm32-wasip2";

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
    build(&root, &target, &[portable[0], portable[1], tasks], Some(WASM));
    build(&root, &target, &portable, Some(COMPONENT));
    build(&root, &target, &[portable[0], portable[1], tasks, "sandtrap-natives"], None);
    println!("cargo::rustc-env=GUESTS_NATIVE={}", target.join("guest").display());
    println!("cargo::rustc-env=GUESTS_WASM={}", target.join(WASM).join("guest").display());
    println!(
        "cargo::rustc-env=GUESTS_COMPONENT={}",
        target.join(COMPONENT).join("guest").display()
    );
    println!("cargo::rustc-env=GUESTS_SOURCE={}", root.join("guests").display());
}

fn build(root: &Path, target: &Path, packages: &[&str], triple: Option<&str>) {
    let mut cargo = Command::new(std::env::var_os("CARGO").expect("cargo sets CARGO"));
    cargo.current_dir(root).args(["build", "--profile", "guest", "--bins", "--locked"]);
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
