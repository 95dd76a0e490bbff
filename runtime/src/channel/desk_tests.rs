//! Calls of host functions: begun, answered, given up.

use super::*;
use crate::limits::Limits;
use crate::task::{Capture, Entry, TaskId};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

/// A desk, and who hears of its answers.
fn desk(functions: HostFunctions) -> (Desk, Receiver<()>, StopHandle) {
    desk_of("p", functions)
}

/// The same for a guest of another program.
fn desk_of(program: &str, functions: HostFunctions) -> (Desk, Receiver<()>, StopHandle) {
    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(tell);
    let granted = Granted { program: program.into(), functions };
    let limits = Limits { wall: Duration::from_secs(100), ..Limits::default() };
    let (task, stop, stdout) = (TaskId::next(), StopHandle::new(), Capture::Keep);
    let entry = Entry::Invoke { function: "f".to_owned(), input: Payload::raw([]) };
    let attempt = Attempt {
        task: &task,
        entry: &entry,
        limits: &limits,
        stdout,
        began: Instant::now(),
        silence: None,
    };
    // A test that is done hears no more.
    let wake = move || tell.lock().unwrap().send(()).unwrap_or_default();
    (Desk::open(&granted, &attempt, &stop, None, wake), told, stop)
}

fn call(id: u64, function: &str) -> Asked {
    Asked { id, function: function.to_owned(), input: Payload::json(&id).unwrap() }
}

/// What is in an outbox, as text.
fn sent(mut outbox: Outbox) -> String {
    let mut bytes = vec![0; 1 << 16];
    let count = outbox.take(&mut bytes);
    String::from_utf8_lossy(&bytes[..count]).into_owned()
}

#[test]
fn calls_are_answered_and_a_panic_is_an_error_of_the_guests() {
    let mut functions = HostFunctions::default();
    functions.add("double".to_owned(), |_, number: u64| number * 2);
    functions.add("panic".to_owned(), |_, _: u64| -> u64 { panic!("a secret") });
    let (mut desk, told, _stop) = desk(functions);
    let mut outbox = Outbox::default();
    let calls = vec![call(21, "double"), call(1, "panic"), call(2, "other")];
    assert_eq!(desk.serve(calls, &mut outbox), None);
    assert_eq!(outbox.replies(), 1);
    while desk.is_waiting() {
        told.recv().unwrap();
        outbox.replies_with(desk.answers());
    }
    let text = sent(outbox);
    assert!(text.contains("42") && text.contains("`panic` panicked"), "{text:?}");
    assert!(text.contains("`other` was not granted to this program; granted: `double`, `panic`"));
    assert!(!text.contains("secret"), "{text:?}");
}

#[test]
fn a_function_hears_that_its_guest_is_gone() {
    for is_stopped in [false, true] {
        let (release, hold) = mpsc::channel::<()>();
        let (tell, seen) = mpsc::channel();
        let ends = Mutex::new((hold, tell));
        let mut functions = HostFunctions::default();
        functions.add("wait".to_owned(), move |context, _: u64| {
            let ends = ends.lock().unwrap();
            let before = context.is_cancelled();
            ends.1.send(before).unwrap();
            ends.0.recv().unwrap();
            ends.1.send(context.is_cancelled()).unwrap();
        });
        let (mut desk, _told, stop) = desk(functions);
        desk.serve(vec![call(1, "wait")], &mut Outbox::default());
        assert_eq!(seen.recv(), Ok(false));
        if is_stopped {
            stop.stop(crate::evidence::StopReason::Cancelled);
        } else {
            drop(desk);
        }
        release.send(()).unwrap();
        assert_eq!(seen.recv(), Ok(true));
    }
}

#[test]
fn calls_without_end_are_refused() {
    let (mut desk, _told, _stop) = desk(HostFunctions::default());
    let mut outbox = Outbox::default();
    let calls = |count| (0..count).map(|id| call(id, "none")).collect();
    assert_eq!(desk.serve(calls(MOST_OPEN as u64), &mut outbox), None);
    assert!(desk.serve(calls(1), &mut outbox).is_some_and(|fault| fault.contains("more than 64")));
    let mut taken = vec![0; 1 << 16];
    outbox.take(&mut taken);
    assert_eq!((outbox.replies(), desk.serve(calls(1), &mut outbox)), (0, None));
}

#[test]
fn a_guest_has_its_share_of_the_threads_and_takes_nothing_with_it_when_it_is_gone() {
    let (release, hold) = mpsc::channel::<()>();
    let (tell, seen) = mpsc::channel();
    let ends = (Mutex::new(hold), Mutex::new(tell));
    let mut functions = HostFunctions::default();
    functions.add("wait".to_owned(), move |_, number: u64| {
        ends.1.lock().unwrap().send(number).unwrap();
        // Until the test lets go of it.
        let _ = ends.0.lock().unwrap().recv();
    });
    let calls = || (0..MOST_OPEN as u64).map(|id| call(id, "wait")).collect();
    let mut hogs: Vec<_> = (0..4).map(|_| desk(functions.clone())).collect();
    for (hog, _, _) in &mut hogs {
        assert_eq!(hog.serve(calls(), &mut Outbox::default()), None);
    }
    drop(functions);
    // All of its threads would be taken, and another guest would wait for its answer.
    let mut others = HostFunctions::default();
    others.add("double".to_owned(), |_, number: u64| number * 2);
    let (mut other, told, _stop) = desk(others);
    other.serve(vec![call(21, "double")], &mut Outbox::default());
    assert_eq!(told.recv(), Ok(()));
    assert_eq!(seen.iter().take(4 * AT_ONCE).count(), 4 * AT_ONCE);
    drop(hogs);
    drop(release);
    // Those that run end, and those that waited are never begun.
    assert_eq!(seen.iter().count(), 0);
}

#[test]
fn calls_beyond_the_share_are_answered_each_in_its_turn() {
    let (release, hold) = mpsc::channel::<()>();
    let hold = Mutex::new(hold);
    let mut functions = HostFunctions::default();
    functions.add("double".to_owned(), move |_, number: u64| {
        // Until the test lets go of it.
        let _ = hold.lock().unwrap().recv();
        number * 2
    });
    let (mut desk, told, _stop) = desk(functions);
    let mut outbox = Outbox::default();
    assert_eq!(desk.serve((0..20).map(|id| call(id, "double")).collect(), &mut outbox), None);
    assert_eq!(desk.shared.state().at_work, AT_ONCE);
    drop(release);
    while desk.is_waiting() {
        told.recv().unwrap();
        outbox.replies_with(desk.answers());
    }
    assert_eq!(outbox.replies(), 20);
    // Some of those that had one to do look for another one.
    while desk.shared.state().at_work > 0 {
        std::thread::yield_now();
    }
}

#[test]
fn a_program_with_very_many_guests_leaves_threads_for_another_and_its_own_calls_wait() {
    let (release, hold) = mpsc::channel::<()>();
    let hold = Mutex::new(hold);
    let mut functions = HostFunctions::default();
    functions.add("wait".to_owned(), move |_, number: u64| {
        // Until the test lets go of it.
        let _ = hold.lock().unwrap().recv();
        number
    });
    let calls = || (0..AT_ONCE as u64).map(|id| call(id, "wait")).collect();
    // More than there are threads for.
    let mut hogs: Vec<_> =
        (0..=clerks::MOST / AT_ONCE).map(|_| desk_of("hog", functions.clone())).collect();
    for (hog, _, _) in &mut hogs {
        assert_eq!(hog.serve(calls(), &mut Outbox::default()), None);
    }
    let mut others = HostFunctions::default();
    others.add("double".to_owned(), |_, number: u64| number * 2);
    let (mut other, told, _stop) = desk_of("other", others);
    let mut outbox = Outbox::default();
    for id in 0..3 {
        assert_eq!(other.serve(vec![call(id, "double")], &mut outbox), None);
        assert_eq!(told.recv(), Ok(()));
        outbox.replies_with(other.answers());
    }
    assert_eq!(outbox.replies(), 3);
    let answered = |hog: &mut Desk| hog.answers().len();
    assert_eq!(hogs.iter_mut().map(|(hog, _, _)| answered(hog)).sum::<usize>(), 0);
    drop(release);
    for (hog, told, _stop) in &mut hogs {
        let mut outbox = Outbox::default();
        while hog.is_waiting() {
            told.recv().unwrap();
            outbox.replies_with(hog.answers());
        }
        assert_eq!(outbox.replies(), AT_ONCE, "none was refused");
    }
}

#[test]
fn what_waits_for_its_programs_turn_goes_with_its_guest() {
    let (release, hold) = mpsc::channel::<()>();
    let hold = Mutex::new(hold);
    let mut functions = HostFunctions::default();
    functions.add("wait".to_owned(), move |_, _: u64| {
        let _ = hold.lock().unwrap().recv();
    });
    let program = "gone before its turn";
    let mut hogs: Vec<_> =
        (0..=clerks::MOST / AT_ONCE).map(|_| desk_of(program, functions.clone())).collect();
    for (hog, _, _) in &mut hogs {
        let calls = (0..AT_ONCE as u64).map(|id| call(id, "wait")).collect();
        assert_eq!(hog.serve(calls, &mut Outbox::default()), None);
    }
    let (mut last, _told, _stop) = hogs.pop().unwrap();
    // No thread has come to any of its calls, and none can.
    assert_eq!(last.shared.state().waiting.len(), AT_ONCE);
    last.close();
    assert_eq!(last.shared.state().waiting.len(), 0);
    drop(release);
    while last.shared.state().at_work > 0 {
        std::thread::yield_now();
    }
    assert_eq!(last.answers().len(), 0);
}
