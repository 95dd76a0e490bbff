//! The host is killed in the middle of a task: nothing of the task may live on.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use sandtrap::Wall;

use super::Outcome;
use super::surroundings::{Surroundings, guests};
use crate::abuse::{Expect, Profile, VARIABLE, VERSION};

pub(super) const NAME: &str = "host-killed";

/// The case that its guest runs.
const GUEST: &str = "sleep";

/// How long a guest may take to begin, and to be gone.
const TO_BEGIN: Duration = Duration::from_secs(20);
const TO_BE_GONE: Duration = Duration::from_secs(2);
const STEP: Duration = Duration::from_millis(1);

/// Starts a host of its own with a guest that sleeps, kills that host, and looks for the guest.
pub(super) fn try_out(
    itself: &Path,
    guest: &Path,
    surroundings: &Surroundings,
) -> anyhow::Result<Outcome> {
    let began = Instant::now();
    let mut host = Command::new(itself)
        .args(["run", "--in", "native", "--quiet", "--wall", "1m", "--env"])
        .arg(format!("{VARIABLE}={VERSION}"))
        .arg(guest)
        .args(surroundings.given(GUEST, 64).command())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start another sandtrap")?;
    // Its own arguments end with the guest's.
    let host_pid = host.id() as i32;
    let alone = || guests(GUEST).into_iter().filter(|pid| *pid != host_pid).count() == 0;
    let has_begun = within(TO_BEGIN, || !alone()).is_some();
    // Whoever has ended by itself can't be killed, and is waited for all the same.
    let _ = host.kill();
    let gone = within(TO_BE_GONE, alone);
    let _ = host.wait();
    let (actual, detail) = match (has_begun, gone) {
        (true, Some(took)) => (
            Expect::Contained,
            format!("it went with its host, within {} ms", took.as_millis() + 1),
        ),
        (false, _) => (Expect::Exits(0), "it never began".to_owned()),
        (true, None) => (Expect::Reaches, "it lives on without its host".to_owned()),
    };
    Ok(Outcome {
        number: 16,
        name: NAME,
        what: "living on when its host is killed",
        wall: Wall::Native,
        profile: Some(Profile::Compute),
        expected: &[Expect::Contained],
        actual,
        detail,
        took: began.elapsed(),
    })
}

/// How long it took, if it came to that.
fn within(patience: Duration, is_so: impl Fn() -> bool) -> Option<Duration> {
    let began = Instant::now();
    loop {
        if is_so() {
            return Some(began.elapsed());
        }
        if began.elapsed() >= patience {
            return None;
        }
        thread::sleep(STEP);
    }
}
