//! What processes have cost so far, from `/proc`: the kernel's own count of user and system time.

use std::fs;

/// CPU time and memory of some processes together.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    /// User and system time, seconds.
    pub cpu_s: f64,
    /// Resident memory, mebibytes.
    pub resident_mib: f64,
}

impl Cost {
    /// Of all `processes` now; one that is gone counts nothing.
    pub fn of(processes: &[u32]) -> Self {
        processes.iter().fold(Self::default(), |sum, process| Self {
            cpu_s: sum.cpu_s + cpu_s(*process).unwrap_or_default(),
            resident_mib: sum.resident_mib + resident_mib(*process).unwrap_or_default(),
        })
    }
}

/// Fields 14 and 15 of `/proc/PID/stat`, in ticks of 10 ms (`USER_HZ` is 100 on Linux); see proc(5).
pub(crate) fn cpu_s(process: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in parentheses may hold spaces; what follows it does not.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some(ticks / 100.0)
}

pub(crate) fn resident_mib(process: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<f64>().ok()? / 1024.0)
}
