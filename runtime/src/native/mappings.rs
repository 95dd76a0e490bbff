//! The mappings of a stopped tracee, as the kernel lists them.

use super::status::said_of;

/// How far below a stack that is not the first one a single frame may reach.
pub(super) const FURTHEST_FRAME: u64 = 16 << 20;

/// One line of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapping {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) readable: bool,
    pub(super) writable: bool,
    pub(super) executable: bool,
    /// Where in its file it begins.
    pub(super) offset: u64,
    /// The device of its file.
    pub(super) device: (u32, u32),
    /// Zero where there is no file.
    pub(super) inode: u64,
    /// Its file, or the kernel's name for it.
    pub(super) name: String,
}

/// All of them, in the order of their addresses.
#[derive(Clone, Debug, Default)]
pub(super) struct Mappings(Vec<Mapping>);

impl Mappings {
    /// Those of the process that a thread belongs to; `None` where they can't be read.
    pub(super) fn of(tid: i32) -> Option<Self> {
        let all = Self::parse(&String::from_utf8_lossy(&said_of(tid, "maps")?));
        (!all.0.is_empty()).then_some(all)
    }

    fn parse(text: &str) -> Self {
        Self(text.lines().filter_map(Mapping::parse).collect())
    }

    pub(super) fn at(&self, address: u64) -> Option<&Mapping> {
        self.above(address).find(|mapping| mapping.start <= address)
    }

    /// The mapping that an address is in, if it is in one, and all above.
    pub(super) fn above(&self, address: u64) -> impl Iterator<Item = &Mapping> {
        self.0[self.0.partition_point(|mapping| mapping.end <= address)..].iter()
    }

    /// The mapping with which the file of another one begins, below it or that one itself.
    pub(super) fn first_of(&self, one: &Mapping) -> Option<&Mapping> {
        let below = &self.0[..self.0.partition_point(|mapping| mapping.start <= one.start)];
        below.iter().rev().find(|mapping| {
            mapping.offset == 0 && mapping.inode == one.inode && mapping.name == one.name
        })
    }
}

impl Mapping {
    /// `7ffc3a1ff000-7ffc3a220000 rw-p 00000000 00:00 0     [stack]`
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.splitn(6, ' ');
        let (start, end) = words.next()?.split_once('-')?;
        let hex = |text| u64::from_str_radix(text, 16).ok();
        let &[read, write, execute, ..] = words.next()?.as_bytes() else { return None };
        Some(Self {
            start: hex(start)?,
            end: hex(end)?,
            readable: read == b'r',
            writable: write == b'w',
            executable: execute == b'x',
            offset: hex(words.next()?)?,
            device: device(words.next()?, 16)?,
            inode: words.next()?.parse().ok()?,
            name: words.next().unwrap_or_default().trim_start().to_owned(),
        })
    }
}

fn device(text: &str, radix: u32) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once(':')?;
    Some((u32::from_str_radix(major, radix).ok()?, u32::from_str_radix(minor, radix).ok()?))
}

/// The devices whose files a process answers for (FUSE): to read from them may take for ever, above all if it is the
/// guest's own.
pub(super) fn answering_devices(tid: i32) -> Vec<(u32, u32)> {
    let mounts = said_of(tid, "mountinfo").unwrap_or_default();
    String::from_utf8_lossy(&mounts).lines().filter_map(answering_device).collect()
}

/// `36 35 0:42 / /mnt rw,nosuid - fuse.sshfs host:/ rw`
fn answering_device(line: &str) -> Option<(u32, u32)> {
    let (place, kind) = line.split_once(" - ")?;
    let of_fuse = kind.starts_with("fuse");
    device(place.split(' ').nth(2)?, 10).filter(|_| of_fuse)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn parsed(text: &str) -> Mappings {
        Mappings::parse(text)
    }

    pub(in super::super) const MAPS: &str = "\
00400000-00401000 r-xp 00000000 08:11 1 /a b
00401000-00402000 rw-p 00001000 08:11 1 /a b
00500000-00600000 rw-p 00000000 00:00 0 [heap]
7f0000000000-7f0000001000 ---p 00000000 00:00 0
7f0000001000-7f0000100000 rw-p 00000000 00:00 0
7f0000200000-7f0000201000 r-xp 00000000 08:01 2 /c
7ffd00000000-7ffd00100000 rw-p 00000000 00:00 0                          [stack]
";

    #[test]
    fn every_field_of_a_line_is_read() {
        let maps = parsed(MAPS);
        let data = maps.at(0x40_1fff).unwrap();
        assert_eq!((data.start, data.end), (0x40_1000, 0x40_2000));
        assert_eq!((data.offset, data.device, data.inode), (0x1000, (8, 0x11), 1));
        assert_eq!(maps.first_of(data).unwrap().start, 0x40_0000);
        assert_eq!((data.readable, data.writable, data.executable), (true, true, false));
        assert_eq!(data.name, "/a b");
        assert_eq!(maps.at(0x40_2000), None);
        assert_eq!(maps.at(0x7ffd_0000_0000).unwrap().name, "[stack]");
    }

    #[test]
    fn devices_behind_which_a_process_stands_are_known() {
        let line = "36 35 0:42 / /mnt rw,nosuid shared:1 - fuse.sshfs host:/ rw";
        assert_eq!(answering_device(line), Some((0, 42)));
        assert_eq!(answering_device("36 35 8:1 / / rw - ext4 /dev/sda1 rw"), None);
        assert_eq!(answering_device("36"), None);
    }

    #[test]
    fn a_line_that_is_none_is_left_out() {
        for line in ["", "x", "1-2", "1-2 r", "zz-2 r--p 0 0:0 0", "1-2 r--p 0 0:0 x"] {
            assert_eq!(Mapping::parse(line), None, "{line:?}");
        }
    }
}
