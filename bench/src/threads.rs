//! What each thread of a process has cost so far, by the scheduler's own count, which is in nanoseconds.

use std::fs;

/// One thread.
#[derive(Debug, Clone, PartialEq)]
pub struct Thread {
    /// The number that the kernel gave it.
    pub id: u32,
    /// Its name, of which the kernel keeps 15 bytes.
    pub name: String,
    /// User and system time, seconds.
    pub cpu_s: f64,
}

/// All threads of `process` that there are now; none where it is gone.
pub fn of(process: u32) -> Vec<Thread> {
    let tasks = fs::read_dir(format!("/proc/{process}/task"))
        .into_iter()
        .flatten();
    tasks
        .filter_map(|task| {
            let folder = task.ok()?.path();
            Some(Thread {
                id: folder.file_name()?.to_str()?.parse().ok()?,
                name: fs::read_to_string(folder.join("comm")).ok()?.trim().to_owned(),
                cpu_s: on_cpu_s(&fs::read_to_string(folder.join("schedstat")).ok()?)?,
            })
        })
        .collect()
}

/// What all threads of `process` together have cost so far, seconds; those that have ended are not counted.
pub fn cpu_s(process: u32) -> f64 {
    of(process).iter().map(|thread| thread.cpu_s).sum()
}

/// The first field of `/proc/PID/task/TID/schedstat`: nanoseconds on a processor.
fn on_cpu_s(schedstat: &str) -> Option<f64> {
    let on_cpu = schedstat.split_whitespace().next()?.parse::<f64>().ok()?;
    Some(on_cpu / 1e9)
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    #[test]
    fn a_thread_that_works_is_seen_to_under_its_name() {
        let worker = std::thread::Builder::new().name("works".to_owned()).spawn(|| {
            let mut sum = 0_u64;
            while super::of(std::process::id())
                .iter()
                .all(|thread| thread.name != "works" || thread.cpu_s < 0.02)
            {
                sum = (0..black_box(100_000_u64)).fold(sum, u64::wrapping_add);
            }
            black_box(sum)
        });
        worker.expect("a thread can be had").join().expect("it ends");
        assert!(super::cpu_s(std::process::id()) > 0.0);
    }
}
