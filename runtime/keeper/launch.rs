//! One task: the child that puts on what is its own, and becomes the guest.
//!
//! # Safety
//!
//! The child shares the keeper's memory while the keeper stands still. It allocates nothing and returns to nobody.

use core::sync::atomic::Ordering;

use crate::call::{call, clone_and_call, exit, number};
use crate::view;
use crate::wire::{
    ARENA, BORN_INTO, BY_DESCRIPTOR, Board, EXECUTES, FILTER, FIRST, Head, KEEPS_ADMIN, LANE, MOST_DOORS, OWN_PIDS, OWN_RULES,
    PLACES, PROC, PROGRAM, RESTRICT, RULES, Rlimit, SCRATCH, TRACE, UNTRACED_IS_FINE, step,
};

const CLONE_VM: usize = 0x100;
const CLONE_VFORK: usize = 0x4000;
const CLONE_PARENT: usize = 0x8000;
const CLONE_PARENT_SETTID: usize = 0x10_0000;
const CLONE_NEWNS: usize = 0x2_0000;
const CLONE_NEWPID: usize = 0x2000_0000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
const SIGCHLD: usize = 17;

/// What the kernel adds to the number of a thread that is gone (`FUTEX_OWNER_DIED`).
const WATCHER_DIED: u32 = 0x4000_0000;

const MOST_TEXTS: usize = 128 * 1024;
const STACK_BYTES: usize = 32 * 1024;

static mut TEXTS: [usize; MOST_TEXTS] = [0; MOST_TEXTS];

#[repr(C, align(16))]
struct Stack([u8; STACK_BYTES]);

static mut STACK: Stack = Stack([0; STACK_BYTES]);

/// An order in memory.
#[derive(Clone, Copy)]
pub(crate) struct Order {
    head: Head,
    rlimits: *const Rlimit,
    path: *const u8,
    /// Addresses of the arguments, a null, those of the variables, a null.
    arguments: *const usize,
    variables: *const usize,
    /// The options of its scratch.
    scratch: *const u8,
}

/// What a child is given.
struct Birth {
    order: Order,
    board: &'static Board,
}

/// What `clone3` wants.
#[repr(C)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

impl Order {
    /// Takes an order apart. `None` if it isn't one.
    pub(crate) fn read(bytes: *const u8, length: usize) -> Option<Self> {
        // SAFETY: the buffer is aligned to 8 and holds at least a head.
        let head = unsafe { *bytes.cast::<Head>() };
        let limits_end = size_of::<Head>() + head.rlimits as usize * size_of::<Rlimit>();
        let texts = head.arguments as usize + head.variables as usize;
        if limits_end >= length || texts + 2 > MOST_TEXTS || head.doors as usize > MOST_DOORS {
            return None;
        }
        let rlimits = bytes.wrapping_add(size_of::<Head>()).cast();
        let mut at = limits_end;
        let path = text(bytes, length, &mut at)?;
        let list = (&raw mut TEXTS).cast::<usize>();
        let mut place = 0;
        let mut note = |address: usize| {
            // SAFETY: there is room for all texts and two nulls, as was checked; nobody else has the list.
            unsafe { *list.wrapping_add(place) = address };
            place += 1;
        };
        for _ in 0..head.arguments {
            note(text(bytes, length, &mut at)? as usize);
        }
        note(0);
        for _ in 0..head.variables {
            note(text(bytes, length, &mut at)? as usize);
        }
        note(0);
        let variables = list.wrapping_add(head.arguments as usize + 1);
        let scratch =
            if head.flags & SCRATCH != 0 { text(bytes, length, &mut at)? } else { path };
        Some(Self { head, rlimits, path, arguments: list, variables, scratch })
    }

    /// Starts it. What became of it is on the board.
    pub(crate) fn launch(self, board: &'static Board) {
        let birth = Birth { order: self, board };
        let argument = (&raw const birth) as usize;
        let stack = (&raw mut STACK) as usize;
        let pid = (&raw const board.pid) as usize;
        let mut flags = CLONE_VM | CLONE_VFORK | CLONE_PARENT | CLONE_PARENT_SETTID;
        if self.has(OWN_PIDS) {
            flags |= CLONE_NEWPID;
        }
        if self.has(SCRATCH) || self.has(PROC) {
            flags |= CLONE_NEWNS;
        }
        let born = if self.has(BORN_INTO) {
            let arguments = CloneArguments {
                flags: flags as u64 | CLONE_INTO_CGROUP,
                pidfd: 0,
                child_tid: 0,
                parent_tid: pid as u64,
                exit_signal: 0,
                stack: stack as u64,
                stack_size: STACK_BYTES as u64,
                tls: 0,
                set_tid: 0,
                set_tid_size: 0,
                cgroup: (FIRST as usize + self.places()) as u64,
            };
            let (address, size) = ((&raw const arguments) as usize, size_of::<CloneArguments>());
            // SAFETY: the arguments name the child's own stack, and keep this process waiting.
            unsafe { clone_and_call(number::CLONE3, address, size, 0, child, argument) }
        } else {
            let top = stack + STACK_BYTES;
            // SAFETY: the same.
            unsafe { clone_and_call(number::CLONE, flags | SIGCHLD, top, pid, child, argument) }
        };
        if let Err(errno) = born {
            failed(board, step::CLONE, errno);
        }
    }

    fn has(&self, flag: u32) -> bool {
        self.head.flags & flag != 0
    }

    fn places(&self) -> usize {
        PLACES + usize::from(self.has(ARENA)) + usize::from(self.has(LANE))
    }
}

/// The text that begins at `at`, which is moved behind its end.
fn text(bytes: *const u8, length: usize, at: &mut usize) -> Option<*const u8> {
    let begin = *at;
    while *at < length {
        // SAFETY: `at` is below the length of the buffer.
        let byte = unsafe { *bytes.wrapping_add(*at) };
        *at += 1;
        if byte == 0 {
            return Some(bytes.wrapping_add(begin));
        }
    }
    None
}

/// Writes down what failed.
pub(crate) fn failed(board: &Board, which: u32, errno: i32) {
    board.errno.store(errno, Ordering::Relaxed);
    board.step.store(which, Ordering::Release);
}

/// The child's whole life. The order is the security argument.
extern "C" fn child(birth: usize) -> ! {
    // SAFETY: the keeper stands still, so what it gave is there.
    let Birth { order, board } = unsafe { &*(birth as *const Birth) };
    let (which, errno) = order.become_guest(board);
    failed(board, which, errno);
    exit(127)
}

impl Order {
    /// Returns only with the step that failed.
    fn become_guest(&self, board: &Board) -> (u32, i32) {
        let steps: [(u32, fn(&Self, &Board) -> Result<(), i32>); 11] = [
            (step::PROCESS_GROUP, Self::stand_alone),
            (step::GROUP, Self::join_groups),
            (step::SCRATCH, Self::make_scratch),
            (step::PROC, Self::show_processes),
            (step::RULES, Self::restrict),
            (step::DESCRIPTORS, Self::place_descriptors),
            (step::LIMITS, Self::lower_limits),
            (step::CAPABILITIES, Self::drop_capabilities),
            (step::FILTER, Self::filter),
            // From here on the host sees it, beginning with the exec itself.
            (step::TRACE, Self::ask_to_be_traced),
            (step::TRACE, Self::is_watched),
        ];
        for (which, act) in steps {
            if let Err(errno) = act(self, board) {
                return (which, errno);
            }
        }
        (step::EXEC, self.execute())
    }

    /// A process group of its own, so that a signal to the group reaches nobody else; and it dies with the host.
    fn stand_alone(&self, _: &Board) -> Result<(), i32> {
        const PDEATHSIG: usize = 1;
        const KILL: usize = 9;
        // SAFETY: makes this child the leader of a new group.
        unsafe { call(number::SETPGID, [0; 6]) }?;
        // SAFETY: asks for SIGKILL when the host's watching thread ends.
        unsafe { call(number::PRCTL, [PDEATHSIG, KILL, 0, 0, 0, 0]) }?;
        Ok(())
    }

    fn join_groups(&self, _: &Board) -> Result<(), i32> {
        let written_to = if self.has(BORN_INTO) { 1 } else { 0 };
        for door in written_to..self.head.doors as usize {
            let descriptor = FIRST as usize + self.places() + door;
            // SAFETY: one byte of a constant: "0" is the kernel's word for the writer itself.
            unsafe { call(number::WRITE, [descriptor, c"0".as_ptr() as usize, 1, 0, 0, 0]) }?;
        }
        Ok(())
    }

    /// Rules to which something can be added, if it has any.
    fn own_rules(&self) -> Option<usize> {
        let behind_doors = FIRST as usize + self.places() + self.head.doors as usize;
        self.has(OWN_RULES).then_some(behind_doors)
    }

    fn make_scratch(&self, _: &Board) -> Result<(), i32> {
        if !self.has(SCRATCH) {
            return Ok(());
        }
        let rules = self.own_rules();
        let opened = view::scratch(self.scratch, rules, self.has(EXECUTES))?;
        let behind_doors = FIRST as usize + self.places() + self.head.doors as usize;
        view::hand_over(rules.map_or(behind_doors, |rules| rules + 1), opened)
    }

    fn show_processes(&self, _: &Board) -> Result<(), i32> {
        if self.has(PROC) { view::processes(self.own_rules()) } else { Ok(()) }
    }

    /// Before the descriptors are closed: the rules are one of them.
    fn restrict(&self, _: &Board) -> Result<(), i32> {
        if !self.has(RESTRICT) {
            return Ok(());
        }
        let rules = self.own_rules().unwrap_or(RULES as usize);
        // SAFETY: takes a descriptor and no flags.
        unsafe { call(number::LANDLOCK_RESTRICT_SELF, [rules, 0, 0, 0, 0, 0]) }?;
        Ok(())
    }

    /// 0 to 3 are the guest's, and the next ones if it has an arena or a lane; everything else is closed, at the exec at the latest.
    fn place_descriptors(&self, _: &Board) -> Result<(), i32> {
        const CLOSE_AT_EXEC: usize = 4;
        for place in 0..self.places() {
            let from = FIRST as usize + place;
            // SAFETY: duplicates onto a low number of this child's own table; no source is that low.
            unsafe { call(number::DUP3, [from, place, 0, 0, 0, 0]) }?;
        }
        let flags = if self.has(BY_DESCRIPTOR) { CLOSE_AT_EXEC } else { 0 };
        let arguments = [self.places(), u32::MAX as usize, flags, 0, 0, 0];
        // SAFETY: closes the rest of this child's own table.
        unsafe { call(number::CLOSE_RANGE, arguments) }?;
        Ok(())
    }

    fn lower_limits(&self, _: &Board) -> Result<(), i32> {
        for index in 0..self.head.rlimits as usize {
            let limit = self.rlimits.wrapping_add(index);
            // SAFETY: the order holds that many limits.
            let resource = unsafe { (*limit).resource } as usize;
            let values = limit as usize + size_of::<u64>();
            // SAFETY: the two values behind the resource are what the kernel reads.
            unsafe { call(number::PRLIMIT64, [0, resource, values, 0, 0, 0]) }?;
        }
        Ok(())
    }

    /// The keeper needs some to make namespaces; a guest needs none.
    fn drop_capabilities(&self, _: &Board) -> Result<(), i32> {
        const AMBIENT: usize = 47;
        const CLEAR_ALL: usize = 4;
        const VERSION_3: u32 = 0x2008_0522;
        if self.has(KEEPS_ADMIN) {
            return Ok(());
        }
        let header = [VERSION_3, 0];
        let none = [0_u32; 6];
        // SAFETY: a switch without arguments. Where there are no ambient capabilities it has nothing to do.
        let _ = unsafe { call(number::PRCTL, [AMBIENT, CLEAR_ALL, 0, 0, 0, 0]) };
        let arguments = [(&raw const header) as usize, (&raw const none) as usize, 0, 0, 0, 0];
        // SAFETY: a header for this process and two sets of three words, as version 3 wants them.
        unsafe { call(number::CAPSET, arguments) }?;
        Ok(())
    }

    fn filter(&self, board: &Board) -> Result<(), i32> {
        const SET_FILTER: usize = 1;
        #[repr(C)]
        struct Program {
            length: u16,
            instructions: usize,
        }
        if !self.has(FILTER) {
            return Ok(());
        }
        let length = board.filter.load(Ordering::Relaxed) as u16;
        let program =
            Program { length, instructions: (&raw const board.instructions) as usize };
        let arguments = [SET_FILTER, 0, (&raw const program) as usize, 0, 0, 0];
        // SAFETY: the host has written that many instructions to the board; the kernel checks and copies them.
        unsafe { call(number::SECCOMP, arguments) }?;
        Ok(())
    }

    fn ask_to_be_traced(&self, board: &Board) -> Result<(), i32> {
        if !self.has(TRACE) {
            return Ok(());
        }
        // SAFETY: PTRACE_TRACEME is 0 and takes no arguments.
        match unsafe { call(number::PTRACE, [0; 6]) } {
            Ok(_) => board.traced.store(1, Ordering::Release),
            Err(_) if self.has(UNTRACED_IS_FINE) => {}
            Err(errno) => return Err(errno),
        }
        Ok(())
    }

    /// Last: the thread that is to watch it may have ended before it was asked for anything. The kernel writes that
    /// down before it gives this child another parent, so whoever reads nothing here has the right parent still.
    fn is_watched(&self, board: &Board) -> Result<(), i32> {
        if board.watcher.load(Ordering::Acquire) & WATCHER_DIED != 0 {
            exit(0);
        }
        Ok(())
    }

    fn execute(&self) -> i32 {
        const AT_FDCWD: usize = -100_isize as usize;
        const EMPTY_PATH: usize = 0x1000;
        let (folder, path, flags) = if self.has(BY_DESCRIPTOR) {
            (PROGRAM as usize, c"".as_ptr() as usize, EMPTY_PATH)
        } else {
            (AT_FDCWD, self.path as usize, 0)
        };
        let arguments =
            [folder, path, self.arguments as usize, self.variables as usize, flags, 0];
        // SAFETY: the texts and both lists end with nulls and live in the keeper's memory, which stands still.
        match unsafe { call(number::EXECVEAT, arguments) } {
            Ok(_) => 0,
            Err(errno) => errno,
        }
    }
}
