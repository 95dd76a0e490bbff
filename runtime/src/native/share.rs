//! A group's share of the processors: so much of every tenth of a second, and its threads wait for the next.

use std::path::Path;

use crate::quantity::Cpus;

use super::group::{Version, put};

/// A tenth of a second, in the microseconds that groups are told.
const PERIOD: u64 = 100_000;

/// Has the kernel hold a group to it. The folder is the group's in the hierarchy that shares processors out.
pub(super) fn hold(folder: Option<&Path>, version: Version, cpus: Cpus) -> Result<(), String> {
    let folder = folder.ok_or("no group that shares processors out is writable")?;
    let quota = PERIOD * u64::from(cpus.as_thousandths()) / 1000;
    let written = match version {
        Version::V1 => put(folder, "cpu.cfs_period_us", PERIOD)
            .and_then(|()| put(folder, "cpu.cfs_quota_us", quota)),
        Version::V2 => put(folder, "cpu.max", format!("{quota} {PERIOD}")),
    };
    written.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_share_is_written_as_each_version_wants_it() {
        let folder = tempfile::tempdir().unwrap();
        let read = |file| fs::read_to_string(folder.path().join(file)).unwrap();
        for file in ["cpu.cfs_period_us", "cpu.cfs_quota_us", "cpu.max"] {
            fs::write(folder.path().join(file), "").unwrap();
        }
        hold(Some(folder.path()), Version::V1, Cpus::thousandths(500)).unwrap();
        assert_eq!(
            (read("cpu.cfs_quota_us"), read("cpu.cfs_period_us")),
            ("50000".into(), "100000".into())
        );
        hold(Some(folder.path()), Version::V2, Cpus::thousandths(2000)).unwrap();
        assert_eq!(read("cpu.max"), "200000 100000");
    }

    #[test]
    fn where_no_processors_are_shared_out_that_is_said() {
        let why = hold(None, Version::V1, Cpus::thousandths(500)).unwrap_err();
        assert!(why.contains("no group that shares processors out"), "{why}");
        let folder = tempfile::tempdir().unwrap();
        let why = hold(Some(folder.path()), Version::V2, Cpus::thousandths(500)).unwrap_err();
        assert!(why.contains("cpu.max"), "{why}");
    }
}
