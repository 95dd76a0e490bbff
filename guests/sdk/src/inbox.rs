//! What the host sends, frame by frame. The host is trusted here: it has made this guest, and can end it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sandtrap_protocol::{Codec, Hope, LENGTH_BYTES, MAX_HEAD, Tail, ToGuest, decode_to_guest};

use crate::blob::Blob;
use crate::serve::{self, Function};
use crate::{host, wire};

/// Small calls lie in here as a whole, several of them if the host is quick.
const ROOM: usize = 16 * 1024;

/// What the host wants.
#[derive(Debug)]
pub(crate) enum Order {
    /// It greets.
    Hello,
    /// It calls a function.
    Call { id: u64, codec: Codec, time_left: u64, function: Named, input: Blob },
    /// It answers a question: with a value, or with words that say why there is none.
    Reply { id: u64, is_result: bool, codec: Codec, value: Vec<u8> },
    /// There will be nothing more.
    Shutdown,
    /// What is not known here.
    Other,
}

/// A function that is called: one that there is, or the name of one that there isn't.
pub(crate) type Named = Result<&'static Function, String>;

/// Bytes that have come and were not read.
#[derive(Debug)]
pub(crate) struct Inbox {
    room: Box<[u8]>,
    begin: usize,
    end: usize,
    /// Where the input of the call that follows lies.
    placed: Option<(u64, u64)>,
    /// Looked at while something else went on, and not what was looked for.
    seen: Vec<Order>,
    /// Whether it is worth while to watch for a call.
    hope: Hope,
    /// For which call it was last looked whether anything has come, and when.
    looked: Option<(u64, Instant)>,
}

/// A process looks no more often than that whether its call was cancelled: a look is some calls of the system. To a module
/// it is one of its host's, which costs no more than to ask for the time.
const PAUSE: Duration = Duration::from_millis(if cfg!(unix) { 1 } else { 0 });

/// The last call that the host has cancelled. They are numbered from 1.
static CANCELLED: AtomicU64 = AtomicU64::new(0);

static INBOX: Mutex<Option<Inbox>> = Mutex::new(None);

/// An answer was taken out of it.
static TAKEN: Condvar = Condvar::new();

/// Who has asked is there by then, if he is still there at all.
#[cfg(not(target_family = "wasm"))]
const A_MOMENT: Duration = Duration::from_millis(100);

/// Waits for the next order. `None` where no more will come.
pub(crate) fn next() -> Option<Order> {
    with(|inbox| match inbox.seen.is_empty() {
        true => inbox.next(),
        false => inbox.seen_or_next(),
    })
}

/// Leaves an answer to the thread that has asked, which may be on its way to it: one that is thrown away it would wait for, for
/// ever. Whoever waits for the next call holds the inbox for as long as that takes, so it is let in first.
pub(crate) fn leave(answer: Order) {
    let mut inbox = lock();
    inbox.get_or_insert_with(Inbox::new).seen.push(answer);
    // Where there are no threads nobody has asked.
    #[cfg(not(target_family = "wasm"))]
    {
        let is_left = |inbox: &mut Option<Inbox>| {
            let seen = inbox.iter().flat_map(|inbox| &inbox.seen);
            seen.into_iter().any(|order| matches!(order, Order::Reply { .. }))
        };
        drop(TAKEN.wait_timeout_while(inbox, A_MOMENT, is_left));
    }
}

/// Waits for the answer to this question. `None` where no more will come.
pub(crate) fn answer(question: u64) -> Option<(bool, Codec, Vec<u8>)> {
    let answer = with(|inbox| inbox.answer(question));
    TAKEN.notify_all();
    answer
}

/// Whether the host has cancelled this call. Waits for nothing.
pub(crate) fn is_cancelled(call: u64, now: Instant) -> bool {
    // While another thread waits for the host, the news comes to that one.
    if let Ok(mut inbox) = INBOX.try_lock() {
        inbox.get_or_insert_with(Inbox::new).look_for_news(call, now);
    }
    CANCELLED.load(Ordering::Relaxed) == call
}

fn lock() -> MutexGuard<'static, Option<Inbox>> {
    INBOX.lock().unwrap_or_else(PoisonError::into_inner)
}

fn with<T>(act: impl FnOnce(&mut Inbox) -> T) -> T {
    act(lock().get_or_insert_with(Inbox::new))
}

/// What is wanted by one who has sent nothing but this.
#[cfg(target_os = "linux")]
pub(crate) fn read(bytes: Vec<u8>) -> Option<Order> {
    let end = bytes.len();
    Inbox { end, ..Inbox::of(bytes) }.read()
}

impl Inbox {
    fn new() -> Self {
        Self::of(vec![0; ROOM])
    }

    fn of(room: Vec<u8>) -> Self {
        Self {
            room: room.into(),
            begin: 0,
            end: 0,
            placed: None,
            seen: Vec::new(),
            hope: Hope::default(),
            looked: None,
        }
    }

    /// What was seen already and is no answer, which is somebody else's; or what comes next.
    #[cold]
    fn seen_or_next(&mut self) -> Option<Order> {
        match self.seen.iter().position(|order| !matches!(order, Order::Reply { .. })) {
            Some(at) => Some(self.seen.remove(at)),
            None => self.next(),
        }
    }

    /// The answer to this question. Another thread may have seen it while it looked for news.
    fn answer(&mut self, question: u64) -> Option<(bool, Codec, Vec<u8>)> {
        let is_it = |order: &Order| matches!(order, Order::Reply { id, .. } if *id == question);
        let mut seen = self.seen.iter().position(is_it).map(|at| self.seen.remove(at));
        loop {
            match seen.take().map_or_else(|| self.read(), Some)? {
                Order::Reply { id, is_result, codec, value } if id == question => {
                    return Some((is_result, codec, value));
                }
                // Nobody asks two questions at once.
                Order::Reply { .. } | Order::Other => {}
                order => self.seen.push(order),
            }
        }
    }

    /// Takes what has come, if that was not done a moment ago for this call.
    fn look_for_news(&mut self, call: u64, now: Instant) {
        if self.looked.is_some_and(|(of, at)| of == call && now < at + PAUSE) {
            return;
        }
        self.looked = Some((call, now));
        while self.look() {
            match self.read() {
                Some(order) => self.seen.push(order),
                None => break,
            }
        }
    }

    /// Whether a frame has begun to come.
    fn look(&mut self) -> bool {
        if self.begin == self.end {
            (self.begin, self.end) = (0, 0);
            self.end = wire::try_receive(&mut self.room).unwrap_or(0);
        }
        self.begin < self.end
    }

    /// Has at least so many bytes in the room, if they come.
    fn fill(&mut self, wanted: usize) -> bool {
        if self.room.len() - self.begin < wanted {
            self.room.copy_within(self.begin..self.end, 0);
            (self.begin, self.end) = (0, self.end - self.begin);
        }
        while self.end - self.begin < wanted {
            let count = wire::receive(&mut self.room[self.end..]);
            if count == 0 {
                return false;
            }
            self.end += count;
        }
        true
    }

    /// Reads what comes next where nothing is owed to us: a call, wherever the host sends it.
    fn next(&mut self) -> Option<Order> {
        if self.begin == self.end {
            self.begin = 0;
            self.end = wire::receive_call(&mut self.room, &mut self.hope);
            if self.end == 0 {
                return None;
            }
        }
        self.read()
    }

    fn read(&mut self) -> Option<Order> {
        if !self.fill(LENGTH_BYTES) {
            return None;
        }
        let prefix = self.room[self.begin..self.end].first_chunk::<LENGTH_BYTES>()?;
        let length = u32::from_le_bytes(*prefix) as usize;
        if !self.fill(LENGTH_BYTES + length.min(MAX_HEAD)) {
            return None;
        }
        let begin = self.begin + LENGTH_BYTES;
        let there = (self.end - begin).min(length);
        let body = &self.room[begin..begin + there];
        self.begin = begin + there;
        let (mut tail, missing) = (Vec::new(), length - there);
        let Ok((frame, fields)) = decode_to_guest(body) else {
            // A host of a later version may send what is not known here, and does not need an answer to it.
            return rest(&mut tail, missing).then_some(Order::Other);
        };
        if frame.tail() == Tail::Value {
            tail.reserve_exact(length - fields);
            tail.extend_from_slice(&body[fields..]);
        }
        if !rest(&mut tail, missing) {
            return None;
        }
        // Made where it is handed over, as soon as all of it is there: this is on the way of every call.
        Some(match frame {
            ToGuest::Hello { .. } => Order::Hello,
            ToGuest::Call { id, codec, time_left, function } => {
                let input = match self.placed.take() {
                    Some((at, length)) => Blob::given(at, length)?,
                    None => tail.into(),
                };
                Order::Call { id, codec, time_left, function: serve::named(function), input }
            }
            ToGuest::HostReply { id, is_result, codec } => {
                Order::Reply { id, is_result, codec, value: tail }
            }
            ToGuest::Cancel { id } => {
                CANCELLED.store(id, Ordering::Relaxed);
                Order::Other
            }
            ToGuest::Placed { at, length } => {
                self.placed = Some((at, length));
                Order::Other
            }
            ToGuest::Functions(names) => {
                host::may_call(names);
                Order::Other
            }
            ToGuest::Shutdown => Order::Shutdown,
        })
    }
}

/// Gets what is missing of a frame's tail. Says whether it came.
fn rest(tail: &mut Vec<u8>, missing: usize) -> bool {
    missing == 0 || wire::receive_all(tail, missing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sandtrap_protocol::encode_with;

    /// All of these have come, each with its tail, and nothing more will.
    fn came(frames: &[(ToGuest<'_>, &[u8])]) -> Inbox {
        let all: Vec<_> =
            frames.iter().flat_map(|(frame, tail)| encode_with(frame, tail).unwrap()).collect();
        Inbox { end: all.len(), ..Inbox::of(all) }
    }

    fn reply(id: u64) -> ToGuest<'static> {
        ToGuest::HostReply { id, is_result: true, codec: Codec::Raw }
    }

    #[test]
    fn an_answer_that_another_thread_has_seen_is_there_for_who_has_asked() {
        let mut inbox = came(&[(reply(7), b"it"), (ToGuest::Shutdown, b""), (reply(8), b"more")]);
        inbox.look_for_news(1, Instant::now());
        assert_eq!(inbox.begin, inbox.end, "all of it was read");
        assert_eq!(inbox.answer(8), Some((true, Codec::Raw, b"more".to_vec())));
        assert_eq!(inbox.answer(7), Some((true, Codec::Raw, b"it".to_vec())));
        assert!(inbox.answer(7).is_none(), "it was given once");
        assert!(matches!(inbox.seen_or_next(), Some(Order::Shutdown)));
    }

    #[test]
    fn an_answer_that_comes_where_a_call_is_waited_for_is_left_to_who_has_asked() {
        let call = ToGuest::Call { id: 2, codec: Codec::Raw, time_left: 0, function: "f" };
        let first = || came(&[(reply(7), b"it"), (call.clone(), b"")]);
        let mut seen = first();
        seen.look_for_news(1, Instant::now());
        for inbox in [first(), seen] {
            *INBOX.lock().unwrap() = Some(inbox);
            // It serves what is called, and goes on until there is no more.
            assert!(serve::go_on());
            assert_eq!(answer(7), Some((true, Codec::Raw, b"it".to_vec())));
        }
    }
}
