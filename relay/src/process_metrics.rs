//! What Prometheus wants to know of any process (`process_*`), and which build this is.
//!
//! By hand: `prometheus`'s own collector counts whole seconds of CPU, and would bring a second `rustix`.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge, IntGaugeVec, Opts, Registry};
use rustix::process::{Resource, getrlimit};

/// Registers both.
pub fn register(registry: &Registry) -> Result<(), prometheus::Error> {
    registry.register(Box::new(Process::new()?))?;
    let help = "1, for the version of this build.";
    let build = IntGaugeVec::new(Opts::new("relay_build_info", help), &["version"])?;
    build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    registry.register(Box::new(build))
}

/// Linux tells times to programs in hundredths of a second, on every machine that Relay builds for.
const TICKS: f64 = 100.0;

struct Process {
    cpu: Counter,
    /// Resident, virtual, descriptors, their limit, threads, start.
    gauges: [Gauge; 6],
}

impl Process {
    fn new() -> Result<Self, prometheus::Error> {
        Ok(Self {
            cpu: Counter::new("process_cpu_seconds_total", "User and system CPU time, seconds.")?,
            gauges: [
                Gauge::new("process_resident_memory_bytes", "Resident memory, bytes.")?,
                Gauge::new("process_virtual_memory_bytes", "Virtual memory, bytes.")?,
                Gauge::new("process_open_fds", "Open file descriptors.")?,
                Gauge::new("process_max_fds", "Most file descriptors that may be open.")?,
                Gauge::new("process_threads", "Threads of the operating system.")?,
                Gauge::new(
                    "process_start_time_seconds",
                    "When the process started, seconds since 1970.",
                )?,
            ],
        })
    }

    /// Looks at the process; what the system does not tell stays as it was.
    fn look(&self) -> Option<()> {
        let stat = Stat::parse(&std::fs::read_to_string("/proc/self/stat").ok()?)?;
        let cpu = stat.cpu_ticks as f64 / TICKS;
        self.cpu.inc_by((cpu - self.cpu.get()).max(0.0));
        let memory = std::fs::read_to_string("/proc/self/status").ok()?;
        let booted = number_behind(&std::fs::read_to_string("/proc/stat").ok()?, "btime")?;
        let [resident, whole, open, most, threads, began] = &self.gauges;
        resident.set(number_behind(&memory, "VmRSS:")? * 1_024.0);
        whole.set(number_behind(&memory, "VmSize:")? * 1_024.0);
        // Reading the folder takes one itself.
        open.set(std::fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as f64);
        most.set(
            getrlimit(Resource::Nofile)
                .current
                .map_or(f64::INFINITY, |most| most as f64),
        );
        threads.set(stat.threads as f64);
        began.set(booted + stat.started_ticks as f64 / TICKS);
        Some(())
    }
}

/// The number behind a word that begins a line.
fn number_behind(text: &str, word: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(word))?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        let gauges = self.gauges.iter().flat_map(Collector::desc);
        self.cpu.desc().into_iter().chain(gauges).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let _ = self.look();
        let gauges = self.gauges.iter().flat_map(Collector::collect);
        self.cpu.collect().into_iter().chain(gauges).collect()
    }
}

/// What stands in `/proc/self/stat`.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    cpu_ticks: u64,
    threads: u64,
    started_ticks: u64,
}

impl Stat {
    /// The name of the program, which may hold anything, ends with the last bracket.
    fn parse(text: &str) -> Option<Self> {
        let (_, fields) = text.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        Some(Self {
            cpu_ticks: number(11)? + number(12)?,
            threads: number(17)?,
            started_ticks: number(19)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use prometheus::{Encoder, TextEncoder};

    use super::*;

    #[test]
    fn the_process_and_its_build_are_told() {
        let registry = Registry::new();
        register(&registry).expect("nothing has these names");
        let mut text = Vec::new();
        let all = registry.gather();
        TextEncoder::new().encode(&all, &mut text).expect("it is text");
        let text = String::from_utf8(text).expect("it is text");
        assert!(text.contains("relay_build_info{version=\"0.1.0\"} 1"), "{text}");
        for name in [
            "process_resident_memory_bytes",
            "process_virtual_memory_bytes",
            "process_open_fds",
            "process_max_fds",
            "process_threads",
            "process_start_time_seconds",
        ] {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            let value: f64 = line
                .unwrap_or_else(|| panic!("{name}: {text}"))
                .parse()
                .expect("a number");
            assert!(value > 0.0, "{name} {value}");
        }
        assert!(text.contains("process_cpu_seconds_total"), "{text}");
    }

    #[test]
    fn a_program_s_name_may_hold_anything() {
        let stat = "7 (a) b) (c) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0 12345 1000000 200 1844";
        let expected = Stat {
            cpu_ticks: 300,
            threads: 9,
            started_ticks: 12_345,
        };
        assert_eq!(Stat::parse(stat), Some(expected));
        assert_eq!(Stat::parse("7 (relay) S 1"), None);
    }
}
