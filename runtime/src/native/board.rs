//! The page that a keeper and its host both have in their memory.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::page::Page;
use super::wire;

/// The host's side of it.
pub(super) struct Board {
    file: File,
    page: Page<wire::Board>,
}

/// What became of a launch, as the child wrote it down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) pid: i32,
    pub(super) traced: bool,
    /// The step that failed, and why.
    pub(super) failure: Option<(u32, i32)>,
}

impl Board {
    /// Makes one, with a filter on it for those who put it upon themselves.
    pub(super) fn new(filter: &[libc::sock_filter]) -> io::Result<Self> {
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let file = File::from(memfd_create(c"sandtrap-board", flags)?);
        file.set_len(size_of::<wire::Board>() as u64)?;
        let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
        fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
        let board = Self { page: Page::of(&file, 0)?, file };
        for (place, instruction) in board.page().instructions.iter().zip(filter) {
            place.store(packed(instruction), Ordering::Relaxed);
        }
        let count = filter.len().min(wire::MOST_FILTER) as u32;
        board.page().filter.store(count, Ordering::Release);
        Ok(board)
    }

    fn page(&self) -> &wire::Board {
        &self.page
    }

    /// Where the thread that watches leaves its number, and its last will.
    pub(super) fn watcher(&self) -> &AtomicU32 {
        &self.page().watcher
    }

    /// Forgets the launch before.
    pub(super) fn clear(&self) {
        let page = self.page();
        page.pid.store(0, Ordering::Relaxed);
        page.step.store(0, Ordering::Relaxed);
        page.errno.store(0, Ordering::Relaxed);
        page.traced.store(0, Ordering::Release);
    }

    /// What there is to read of the current launch.
    pub(super) fn outcome(&self) -> Outcome {
        let page = self.page();
        let step = page.step.load(Ordering::Acquire);
        Outcome {
            pid: page.pid.load(Ordering::Acquire),
            traced: page.traced.load(Ordering::Acquire) != 0,
            failure: (step != 0).then(|| (step, page.errno.load(Ordering::Relaxed))),
        }
    }
}

impl AsFd for Board {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl std::fmt::Debug for Board {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Board").field(&self.outcome()).finish()
    }
}

/// One instruction of a filter, as it lies in memory.
pub(super) fn packed(instruction: &libc::sock_filter) -> u64 {
    let libc::sock_filter { code, jt, jf, k } = *instruction;
    let [low, high] = code.to_ne_bytes();
    let [a, b, c, d] = k.to_ne_bytes();
    u64::from_ne_bytes([low, high, jt, jf, a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instruction(k: u32) -> libc::sock_filter {
        libc::sock_filter { code: 0, jt: 0, jf: 0, k }
    }

    /// Makes a will in a thread of its own, and gives the word when that thread has ended.
    fn word_after(board: &Board, is_forgotten: bool) -> u32 {
        let end = |board: &Board| {
            let will = crate::native::sys::LastWill::make(board.watcher()).unwrap();
            assert_eq!(board.watcher().load(Ordering::Acquire) & libc::FUTEX_OWNER_DIED, 0);
            if is_forgotten {
                std::mem::forget(will);
            }
        };
        std::thread::scope(|scope| {
            // Joined, and not only left by the scope: a scope ends a moment before its threads do.
            scope.spawn(|| end(board)).join().unwrap();
        });
        board.watcher().load(Ordering::Acquire)
    }

    #[test]
    fn a_thread_that_ends_leaves_its_mark_unless_it_took_its_will_back() {
        let board = Board::new(&[]).unwrap();
        assert_eq!(word_after(&board, false) & libc::FUTEX_OWNER_DIED, 0);
        assert_ne!(word_after(&board, true) & libc::FUTEX_OWNER_DIED, 0);
    }

    #[test]
    fn a_board_is_cleared_and_keeps_its_filter() {
        let board = Board::new(&[instruction(7), instruction(8)]).unwrap();
        board.page().pid.store(5, Ordering::Relaxed);
        board.page().step.store(wire::step::EXEC, Ordering::Relaxed);
        board.page().errno.store(2, Ordering::Relaxed);
        let failure = Some((wire::step::EXEC, 2));
        assert_eq!(board.outcome(), Outcome { pid: 5, traced: false, failure });
        board.clear();
        assert_eq!(board.outcome(), Outcome { pid: 0, traced: false, failure: None });
        assert_eq!(board.page().filter.load(Ordering::Relaxed), 2);
        let second = board.page().instructions[1].load(Ordering::Relaxed);
        assert_eq!(second, packed(&instruction(8)));
    }
}
