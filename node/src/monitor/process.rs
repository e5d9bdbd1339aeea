//! What the process uses, from Linux's `/proc`; elsewhere unknown.

/// Linux tells CPU time to programs in hundredths of a second, whatever the kernel's own clock.
const TICKS_PER_SECOND: f64 = 100.0;

/// Memory, time, threads and files of this process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Usage {
    pub(super) resident_bytes: u64,
    /// Of these, bytes that are not pages of a file.
    pub(super) anonymous_bytes: u64,
    pub(super) cpu_seconds: f64,
    pub(super) threads: u64,
    pub(super) open_files: usize,
}

impl Usage {
    /// As it is now; `None` where the system does not tell.
    pub(super) fn read() -> Option<Self> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        Some(Self {
            resident_bytes: field(&status, "VmRSS:")?.saturating_mul(1024),
            anonymous_bytes: field(&status, "RssAnon:")?.saturating_mul(1024),
            threads: field(&status, "Threads:")?,
            cpu_seconds: cpu_seconds(&stat)?,
            open_files: std::fs::read_dir("/proc/self/fd").ok()?.count(),
        })
    }
}

/// The number after a name at the start of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// User and system time. The program's name, in brackets, may hold anything; fields count after it.
#[expect(
    clippy::cast_precision_loss,
    reason = "2^53 ticks are three million years"
)]
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11);
    let user: u64 = times.next()?.parse().ok()?;
    let system: u64 = times.next()?.parse().ok()?;
    Some(user.saturating_add(system) as f64 / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_linux_are_read() {
        assert_eq!(
            field("VmPeak:\t 9 kB\nVmRSS:\t   123 kB\n", "VmRSS:"),
            Some(123)
        );
        assert_eq!(field("", "VmRSS:"), None);
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0 1 2 3";
        assert_eq!(cpu_seconds(stat), Some(3.0));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_uses_something() {
        let usage = Usage::read().unwrap();
        assert!(
            usage.anonymous_bytes > 1 << 16
                && usage.resident_bytes > usage.anonymous_bytes.max(1 << 20)
                && usage.threads > 0
                && usage.open_files > 2,
            "{usage:?}"
        );
    }
}
