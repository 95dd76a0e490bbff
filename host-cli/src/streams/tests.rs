use super::*;
use std::io::Read as _;

const WALL: Duration = Duration::from_millis(100);

fn piped(stop: &StopHandle) -> (Streams, io::PipeReader) {
    let (reader, writer) = io::pipe().unwrap();
    let sink = Sink::new("stdout", File::from(std::os::fd::OwnedFd::from(writer)));
    let (wall, grace) = (WALL, Duration::ZERO);
    let patience = Patience { stop: stop.clone(), wall, grace, time_is_up: None, over: None };
    let live = Live::Off;
    (
        Streams { stdout: Some(sink), stderr: None, patience, loss: None, printed: None, live },
        reader,
    )
}

#[test]
fn bytes_go_through_as_they_are() {
    let (mut streams, mut reader) = piped(&StopHandle::new());
    streams.hear(Event::Stdout(b"a\0\xff"));
    streams.hear(Event::Stderr(b"nobody wants this"));
    streams.hear(Event::Stdout(b"\r\n"));
    assert!(streams.finish().is_none());
    drop(streams);
    let mut all = Vec::new();
    reader.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"a\0\xff\r\n");
}

#[test]
fn a_reader_that_went_away_stops_the_guest() {
    let stop = StopHandle::new();
    let (mut streams, reader) = piped(&stop);
    drop(reader);
    streams.hear(Event::Stdout(b"hello"));
    assert_eq!(stop.reason(), Some(StopReason::Cancelled));
    assert!(matches!(streams.finish(), Some(Loss::ReaderGone)));
}

#[test]
fn a_reader_that_takes_nothing_cannot_hold_us_beyond_the_wall_time() {
    let stop = StopHandle::new();
    let (mut streams, _reader) = piped(&stop);
    let began = Instant::now();
    streams.hear(Event::Stdout(&vec![b'x'; 1 << 20]));
    assert!(began.elapsed() < WALL + GRACE + Duration::from_secs(5));
    assert_eq!(stop.reason(), Some(StopReason::WallTime));
    assert!(matches!(streams.finish(), Some(Loss::Stalled("stdout"))));
}

#[test]
fn another_attempt_has_a_time_of_its_own() {
    let (mut streams, _reader) = piped(&StopHandle::new());
    streams.patience.wall = Duration::from_secs(3_600);
    streams.patience.time_is_up = Some(Instant::now());
    assert!(!streams.patience.is_over(), "what is left is its grace");
    streams.begin_anew();
    streams.hear(Event::Started { pid: 1 });
    let patience = &streams.patience;
    assert!(patience.time_is_up.is_some_and(|at| at > Instant::now()), "{patience:?}");
    assert!(patience.over.is_none(), "{patience:?}");
}

#[test]
fn who_insists_takes_the_time_away_from_a_reader_too() {
    let stop = StopHandle::new();
    let (mut streams, _reader) = piped(&stop);
    let patience = &mut streams.patience;
    (patience.wall, patience.grace) = (Duration::from_secs(7_200), Duration::from_secs(3_600));
    patience.begin();
    stop.stop(StopReason::Cancelled);
    let began = Instant::now();
    assert!(!patience.is_over() && patience.over.is_some_and(|over| over > began + patience.grace));
    stop.stop_now(StopReason::Cancelled);
    for _ in 0..2 {
        // A reader that is only slow has a moment more, however often it is asked.
        _ = patience.is_over();
        assert!(patience.over.is_some_and(|over| over <= Instant::now() + GRACE), "{patience:?}");
    }
}

#[test]
fn the_terminal_of_a_session_is_known_by_its_number() {
    let stat = |number: u32| format!("7 (a) 1 (b) S 1 7 7 {} 7 4194304 98", number.cast_signed());
    assert_eq!(session_terminal(&stat(0)), None);
    assert_eq!(session_terminal(&stat(34816 + 3)), Some(makedev(136, 3)));
    assert_eq!(session_terminal(&stat(0x1230_8845)), Some(makedev(136, 0x12345)));
    assert_eq!(session_terminal(&stat(0xfff0_8801)), Some(makedev(136, 0xf_ff01)));
    assert_eq!(session_terminal("7 (a) S"), None);
}
