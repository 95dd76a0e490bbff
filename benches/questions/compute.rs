//! How much longer does a guest compute behind each wall than without one? Eight kernels from one source.
#![expect(clippy::print_stdout, reason = "a bench shows its figures")]

use sandtrap::{Loaded, Program, Runtime, Task, Wall};
use sandtrap_benches::{Case, in_turns, tell_beside};
use sandtrap_kernels::KERNELS;
use sandtrap_tests::guests;

pub(crate) fn ask() {
    let runtime = Runtime::new().expect("a runtime");
    let load =
        |path, wall| runtime.load(Program::file(path).within(wall)).expect("the guest is built");
    let native = load(guests::native("kernels"), Wall::Native);
    let wasm = load(guests::wasm("kernels"), Wall::Wasm);
    let (mut all_native, mut all_wasm) = (0.0, 0.0);
    for (name, kernel) in KERNELS {
        let expected = kernel();
        let task = Task::invoke("compute", name).expect("a name");
        let act = |loaded: &Loaded| {
            let report = loaded.run(&task);
            assert_eq!(report.value::<Option<u64>>().ok().flatten(), Some(expected), "{name}");
        };
        let question = format!("compute/{name}");
        let [bare, process, module] = in_turns(
            &question,
            [
                Case::new("bare", kernel),
                Case::new("native", || act(&native)),
                Case::new("wasm", || act(&wasm)),
            ],
        );
        tell_beside(&format!("{question}/native"), &process, &bare);
        tell_beside(&format!("{question}/wasm"), &module, &bare);
        all_native += (process.median / bare.median).ln();
        all_wasm += (module.median / bare.median).ln();
    }
    let mean = |sum: f64| (sum / KERNELS.len() as f64).exp();
    println!(
        "compute: {:.2} native, {:.2} wasm (geometric means)",
        mean(all_native),
        mean(all_wasm)
    );
}
