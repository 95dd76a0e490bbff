//! Dies of: good frames without end.
//!
//! Both walls: `stopped.result`.

fn main() {
    // A greeting, then one failed allocation of one byte after another.
    sandtrap_crashers::send_raw(&[2, 0, 0, 0, 0, 1]);
    let frames = [2, 0, 0, 0, 3, 1].repeat(1000);
    loop {
        sandtrap_crashers::send_raw(&frames);
    }
}
