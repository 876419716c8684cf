//! How much memory the process has, had at most, and could have; Linux says it.

use std::fs;
use std::path::Path;

/// The bytes that the process could still take: what the machine has available, and what the
/// limits of its control groups leave.
pub fn available() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok();
    let machine = machine.and_then(|text| kilobytes(&text, "MemAvailable:"));
    machine.into_iter().chain(left_by_groups()).min()
}

/// The bytes that the process has now.
pub fn resident() -> Option<u64> {
    status("VmRSS:")
}

/// The most bytes that the process has had since [`forget_peak`].
pub fn peak() -> Option<u64> {
    status("VmHWM:")
}

/// Makes [`peak`] begin anew; where that is not allowed, it counts from the process's start.
pub fn forget_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

fn status(name: &str) -> Option<u64> {
    kilobytes(&fs::read_to_string("/proc/self/status").ok()?, name)
}

/// The value of the line `name` of a file of `/proc` in bytes.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number = line.trim().strip_suffix("kB")?.trim();
    Some(number.parse::<u64>().ok()? * 1024)
}

/// What the memory limits of the process's control group and of those around it leave, for
/// versions 2 and 1 of control groups.
fn left_by_groups() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mut left: Vec<u64> = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let root = match controllers {
            "" => "/sys/fs/cgroup",
            _ if controllers.split(',').any(|c| c == "memory") => "/sys/fs/cgroup/memory",
            _ => continue,
        };
        let files = match controllers {
            "" => ["memory.max", "memory.current", "inactive_file"],
            _ => [
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
                "total_inactive_file",
            ],
        };
        for folder in Path::new(path).ancestors() {
            let folder = folder.strip_prefix("/").unwrap_or(folder);
            left.extend(left_by(&Path::new(root).join(folder), files));
        }
    }
    left.into_iter().min()
}

/// What the limit of one group leaves: cached files count as used, but make room.
fn left_by(folder: &Path, [limit, usage, cached]: [&str; 3]) -> Option<u64> {
    let number = |name: &str| {
        let text = fs::read_to_string(folder.join(name)).ok()?;
        text.trim().parse::<u64>().ok()
    };
    // The word `max` is no number: no limit.
    let (limit, usage) = (number(limit)?, number(usage)?);
    let statistics = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
    let cached = statistics.lines().find_map(|line| {
        let (name, bytes) = line.split_once(' ')?;
        (name == cached).then(|| bytes.parse::<u64>().ok())?
    });
    let used = usage.saturating_sub(cached.unwrap_or(0));
    Some(limit.saturating_sub(used))
}
