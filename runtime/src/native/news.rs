//! What of a process that is kept has news, all of it asked in one short call of the system: its streams, its channel, the
//! bell of its leash, and its end.

use std::os::fd::AsFd;
use std::time::Duration;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// Who may have news, in the order of the answer.
pub(super) const SOURCES: usize = 5;

/// A process that is asked again and again, and nearly always has nothing to say.
#[derive(Debug)]
pub(super) struct News(Epoll);

/// What there is to hear of each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heard([EpollFlags; SOURCES]);

impl News {
    pub(super) fn of(sources: [&dyn AsFd; SOURCES]) -> nix::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        for (number, source) in (0..).zip(sources) {
            epoll.add(source.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, number))?;
        }
        Ok(Self(epoll))
    }

    /// What there is now. `None` if it can't be asked.
    pub(super) fn now(&self) -> Option<Heard> {
        self.ask(EpollTimeout::ZERO)
    }

    /// Waits until there is something, for whole milliseconds and not longer than so.
    pub(super) fn within(&self, patience: Duration) -> Option<Heard> {
        self.ask(EpollTimeout::try_from(patience.as_millis()).unwrap_or(EpollTimeout::MAX))
    }

    fn ask(&self, timeout: EpollTimeout) -> Option<Heard> {
        let mut events = [EpollEvent::empty(); SOURCES];
        let count = self.0.wait(&mut events, timeout).ok()?;
        let mut heard = Heard([EpollFlags::empty(); SOURCES]);
        for event in &events[..count] {
            let place = usize::try_from(event.data()).ok().and_then(|at| heard.0.get_mut(at));
            place?.insert(event.events());
        }
        Some(heard)
    }
}

impl Heard {
    /// Whether none of them has anything but that one.
    pub(super) fn is_quiet_but_for(self, source: usize) -> bool {
        self.ready().into_iter().enumerate().all(|(at, is_ready)| !is_ready || at == source)
    }

    /// Which of them have anything.
    pub(super) fn ready(self) -> [bool; SOURCES] {
        self.0.map(|flags| !flags.is_empty())
    }

    /// Whether one of them has something to read, and whether its other end is gone.
    pub(super) fn of(self, source: usize) -> (bool, bool) {
        let gone = EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
        (self.0[source].contains(EpollFlags::EPOLLIN), self.0[source].intersects(gone))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;

    #[test]
    fn each_is_heard_of_for_as_long_as_it_has_something() {
        let mut pairs = [(); SOURCES].map(|()| UnixStream::pair().unwrap());
        let news = News::of(pairs.each_ref().map(|(ours, _)| ours as &dyn AsFd)).unwrap();
        assert_eq!(news.now().unwrap().ready(), [false; SOURCES]);
        pairs[2].1.write_all(b"x").unwrap();
        for _ in 0..2 {
            let heard = news.within(Duration::from_secs(60)).unwrap();
            assert_eq!(heard.ready(), [false, false, true, false, false]);
            assert_eq!(heard.of(2), (true, false));
        }
        pairs[2].0.read_exact(&mut [0]).unwrap();
        assert_eq!(news.within(Duration::from_micros(1)).unwrap().ready(), [false; SOURCES]);
        let (_, theirs) = std::mem::replace(&mut pairs[4], UnixStream::pair().unwrap());
        drop(theirs);
        // Its own end was closed as well, and is asked no more.
        assert_eq!(news.now().unwrap().ready(), [false; SOURCES]);
        drop(std::mem::replace(&mut pairs[0].1, UnixStream::pair().unwrap().0));
        assert!(news.now().unwrap().of(0).1);
        let heard = news.now().unwrap();
        assert!(heard.is_quiet_but_for(0) && !heard.is_quiet_but_for(1));
    }
}
