//! CPU time that threads and processes have used, as Linux tells it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::time::Duration;

/// Ticks of `/proc/PID/stat` in a second, which Linux promises to programs whatever it counts in itself.
const TICKS: u32 = 100;

/// CPU time that the calling thread has used. `None` where there is no `/proc` with it.
#[must_use]
pub fn of_this_thread() -> Option<Duration> {
    on_cpu(&fs::read_to_string("/proc/thread-self/schedstat").ok()?)
}

/// CPU time that a process has used up to some moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// By thread, to the nanosecond.
    threads: BTreeMap<u32, Duration>,
    /// Of all its threads, those that have ended too, in ticks of 10 ms.
    ticks: Duration,
}

impl Usage {
    /// What a process has used up to now.
    ///
    /// # Errors
    /// When there is no such process, or no Linux.
    pub fn of(pid: u32) -> io::Result<Self> {
        let garbled = |what| io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/{what}"));
        let ticks =
            ticks(&fs::read_to_string(format!("/proc/{pid}/stat"))?).ok_or_else(|| garbled("stat"))?;
        let mut threads = BTreeMap::new();
        for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
            let name = entry?.file_name();
            let Some(thread) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            // A thread may end while it is looked at; its time is in the ticks.
            let Ok(text) = fs::read_to_string(format!("/proc/{pid}/task/{thread}/schedstat")) else {
                continue;
            };
            threads.insert(thread, on_cpu(&text).ok_or_else(|| garbled("task/schedstat"))?);
        }
        Ok(Self { threads, ticks })
    }

    /// What was used since an earlier moment: exactly while no thread has ended, in steps of 10 ms otherwise.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Duration {
        if earlier.threads.keys().any(|thread| !self.threads.contains_key(thread)) {
            return self.ticks.saturating_sub(earlier.ticks);
        }
        self.threads
            .iter()
            .map(|(thread, now)| now.saturating_sub(earlier.threads.get(thread).copied().unwrap_or_default()))
            .sum()
    }
}

/// The bytes of memory that a process has in use, from `/proc/PID/status`.
///
/// # Errors
/// When there is no such process, or no Linux.
pub fn resident(pid: u32) -> io::Result<u64> {
    resident_of(&fs::read_to_string(format!("/proc/{pid}/status"))?)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/status")))
}

/// The first number of a `schedstat`: nanoseconds on a CPU.
fn on_cpu(schedstat: &str) -> Option<Duration> {
    schedstat.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// `utime` and `stime` of a `stat`. The name of the program is in parentheses and may hold anything.
fn ticks(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(Duration::from_secs(user.checked_add(system)?) / TICKS)
}

/// The line `VmRSS:    1234 kB`.
fn resident_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_times_are_found_after_any_program_name() {
        let stat = "42 (a) b (c) R 1 42 42 0 -1 4194304 90 0 0 0 250 75 0 0 20 0 1 0 1 2 3";
        assert_eq!(ticks(stat), Some(Duration::from_millis(3250)));
        for cut in ["", "42 (a", "42 (a) R 1 2", "42 (a) R 1 2 3 4 5 6 7 8 9 10 x 1"] {
            assert_eq!(ticks(cut), None, "{cut:?}");
        }
    }

    #[test]
    fn time_on_the_cpu_is_the_first_number() {
        assert_eq!(on_cpu("2476118 7 1\n"), Some(Duration::from_nanos(2_476_118)));
        assert_eq!(on_cpu("x 7 1"), None);
        assert_eq!(on_cpu(""), None);
    }

    #[test]
    fn memory_in_use_is_the_line_of_that_name() {
        assert_eq!(resident_of("Name:\tx\nVmRSS:\t  3072 kB\nVmSwap:\t 1 kB\n"), Some(3 << 20));
        assert_eq!(resident_of("Name:\tx\n"), None);
        assert_eq!(resident_of("VmRSS:\t many kB\n"), None);
    }

    #[test]
    fn a_thread_that_has_ended_makes_the_answer_coarse_and_never_too_small() {
        let at = |threads: &[(u32, u64)], ticks| Usage {
            threads: threads.iter().map(|&(id, ms)| (id, Duration::from_millis(ms))).collect(),
            ticks: Duration::from_millis(ticks),
        };
        let before = at(&[(1, 100), (2, 7)], 100);
        assert_eq!(at(&[(1, 103), (2, 7), (3, 2)], 110).since(&before), Duration::from_millis(5));
        assert_eq!(at(&[(1, 103)], 110).since(&before), Duration::from_millis(10));
    }
}
