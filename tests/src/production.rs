//! The production column: each service a process of its own, on real Kafka, NATS, Redis and Postgres.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::clocks::Clocks;
use crate::files::{executable, free_port, root};
use crate::gateway::{DEADLINE_GRACE_MS, POLICY, server};
use crate::mock::{Mock, write_models};
use crate::process::Process;

/// The services, in the order of the flow.
pub const SERVICES: [&str; 6] = [
    "ingress",
    "planner",
    "cache-service",
    "scheduler",
    "workers",
    "trace-sink",
];

/// The line by which a scheduler takes no worker that is slow for dead.
pub const PATIENT: &str = "scheduler: { leases: { lost_after: 20s, unserved_grace: 60s } }\n";

/// The same six in three processes, two in each.
pub const PAIRS: [&str; 3] = ["ingress,trace-sink", "planner,cache-service", "scheduler,workers"];

/// The same six in one process.
pub const ONE: [&str; 1] = ["ingress,planner,cache-service,scheduler,workers,trace-sink"];

/// One process: an instance of one service, or of several that share it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instance {
    /// The service as the command line names it, or several by comma.
    pub service: &'static str,
    /// From 0.
    pub number: usize,
}

impl Instance {
    fn has_api(&self) -> bool {
        self.service.split(',').any(|service| service == "ingress")
    }

    fn command(&self) -> Vec<&'static str> {
        let run = self.service.contains(',').then_some("run");
        run.into_iter().chain([self.service]).collect()
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The name of an instance has no commas.
        write!(formatter, "{}-{}", self.service.replace(',', "_"), self.number)
    }
}

/// All processes of a deployment, and what is needed to start one of them again.
pub struct Production {
    /// Configuration and logs.
    pub folder: tempfile::TempDir,
    /// The ingresses' addresses, by number.
    pub base_urls: Vec<String>,
    executable: PathBuf,
    config: PathBuf,
    ports: BTreeMap<Instance, (u16, u16)>,
    processes: BTreeMap<Instance, Process>,
    clocks: Option<Clocks>,
    /// The backend.
    pub mock: Mock,
}

impl Production {
    /// Applies the topics and starts `instances` processes of each service in front of a mock backend.
    pub async fn start(program: &str, instances: usize, mock_arguments: &[&str]) -> anyhow::Result<Self> {
        Self::prepare(program, instances, mock_arguments)?.started().await
    }

    /// Likewise, of a prepared one.
    pub async fn started(mut self) -> anyhow::Result<Self> {
        self.apply_topics()?;
        self.run_all()?;
        self.ready(Duration::from_secs(60)).await?;
        Ok(self)
    }

    /// Puts a pool without workers before its own, so that every request is handed over.
    pub fn with_an_empty_pool_first(&self) -> anyhow::Result<()> {
        let lines = crate::pools::empty_one_first(self.folder.path(), POLICY)?;
        let configured = std::fs::read_to_string(&self.config)?;
        Ok(std::fs::write(&self.config, configured + &lines)?)
    }

    /// Likewise, one of each, with the project's own models and policy instead of a mock.
    pub async fn start_with_own_models(program: &str) -> anyhow::Result<Self> {
        let production = Self::prepare(program, 1, &[])?;
        let [policy, models] =
            ["deploy/policy.yaml", "models/models.yaml"].map(|name| root().join(name).display().to_string());
        let own = configuration(&policy, &models, "relay-chat")?;
        std::fs::write(&production.config, own)?;
        production.started().await
    }

    /// Replaces a part of its configuration that is there.
    pub fn reconfigure(&self, part: &str, by: &str) -> anyhow::Result<()> {
        let configured = std::fs::read_to_string(&self.config)?;
        anyhow::ensure!(configured.contains(part), "`{part}` is in no configuration");
        Ok(std::fs::write(&self.config, configured.replace(part, by))?)
    }

    /// Has it take nobody who is slow for dead: others are at work on this machine.
    pub fn be_patient(&self) -> anyhow::Result<()> {
        self.reconfigure("lame_duck: 0s\n", &format!("lame_duck: 0s\n{PATIENT}"))?;
        self.reconfigure("ingress: {", "ingress: { answers: { untold: 40s },")
    }

    fn run_all(&mut self) -> anyhow::Result<()> {
        self.instances()
            .iter()
            .try_for_each(|instance| self.run(instance, None))
    }

    /// Prepares a deployment without starting anything.
    pub fn prepare(program: &str, instances: usize, mock_arguments: &[&str]) -> anyhow::Result<Self> {
        Self::prepare_each(program, &SERVICES, |_| instances, mock_arguments)
    }

    /// Likewise, of processes that host what each of `hosted` names.
    pub fn prepare_sharing(
        program: &str,
        hosted: &[&'static str],
        instances: usize,
        mock_arguments: &[&str],
    ) -> anyhow::Result<Self> {
        Self::prepare_each(program, hosted, |_| instances, mock_arguments)
    }

    /// Likewise, eight processes: the six services, a second ingress and a standby of the scheduler.
    pub fn prepare_eight(program: &str, mock_arguments: &[&str]) -> anyhow::Result<Self> {
        let instances = |service: &str| 1 + usize::from(["ingress", "scheduler"].contains(&service));
        Self::prepare_each(program, &SERVICES, instances, mock_arguments)
    }

    fn prepare_each(
        program: &str,
        hosted: &[&'static str],
        instances: impl Fn(&str) -> usize,
        mock_arguments: &[&str],
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mock = Mock::start(folder.path(), mock_arguments)?;
        write_models(folder.path(), &mock.base_url)?;
        std::fs::write(folder.path().join("policy.yaml"), POLICY)?;
        let config = folder.path().join("relay.yaml");
        let [policy, models] =
            ["policy.yaml", "models.yaml"].map(|name| folder.path().join(name).display().to_string());
        let mocked = configuration(&policy, &models, "mock")?;
        std::fs::write(&config, mocked)?;
        let numbered = |service| (0..instances(service)).map(move |number| Instance { service, number });
        let ports: BTreeMap<_, _> = hosted
            .iter()
            .flat_map(|service| numbered(*service))
            .map(|instance| (instance, (free_port(), free_port())))
            .collect();
        let ingresses = ports.iter().filter(|(instance, _)| instance.has_api());
        let base_urls = ingresses
            .map(|(_, (port, _))| format!("http://127.0.0.1:{port}"))
            .collect();
        Ok(Self {
            base_urls,
            folder,
            executable: executable(program)?,
            config,
            ports,
            processes: BTreeMap::new(),
            clocks: None,
            mock,
        })
    }

    /// Has every process read a wall clock that can be set, from its next start on.
    pub fn with_clocks(&mut self) -> anyhow::Result<Clocks> {
        let clocks = Clocks::build(self.folder.path())?;
        self.clocks = Some(clocks.clone());
        Ok(clocks)
    }

    /// `relay topics apply`.
    pub fn apply_topics(&self) -> anyhow::Result<()> {
        let mut command = Command::new(&self.executable);
        let applied = command
            .args(["topics", "apply", "--config"])
            .arg(&self.config)
            .current_dir(root())
            .output()?;
        anyhow::ensure!(
            applied.status.success(),
            "topics apply: {}",
            String::from_utf8_lossy(&applied.stderr)
        );
        Ok(())
    }

    /// Starts one process (again); with `crash_at` it will die there.
    pub fn run(&mut self, instance: &Instance, crash_at: Option<&str>) -> anyhow::Result<()> {
        let (port, ops) = self.ports[instance];
        let mut command = Command::new(&self.executable);
        command.args(instance.command()).arg("--config").arg(&self.config);
        if instance.has_api() {
            command.arg("--port").arg(port.to_string());
        }
        command.arg("--admin-port").arg(ops.to_string());
        command.arg("--instance").arg(instance.to_string());
        command.current_dir(root()).env_remove("RELAY_CRASH_AT");
        if let Some(point) = crash_at {
            command.env("RELAY_CRASH_AT", point);
        }
        if let Some(clocks) = &self.clocks {
            clocks.give(&mut command, &instance.to_string())?;
        }
        let log = self.folder.path().join(format!("{instance}.log"));
        self.processes
            .insert(instance.clone(), Process::start(command, &log)?);
        Ok(())
    }

    /// Waits until every process says that nothing is missing.
    pub async fn ready(&mut self, most: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + most;
        for (instance, (_, ops)) in &self.ports {
            let Some(process) = self.processes.get_mut(instance) else {
                continue;
            };
            let url = format!("http://127.0.0.1:{ops}/readyz");
            while !crate::http::get(&url)
                .await
                .is_ok_and(|response| response.status().is_success())
            {
                if let Some(status) = process.ended() {
                    bail!("{instance:?} ended with {status}: {}", process.tail());
                }
                if Instant::now() > deadline {
                    bail!("{instance:?} is not ready after {most:?}: {}", process.tail());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }

    /// `kill -9` of one process.
    pub fn kill(&mut self, instance: &Instance) {
        self.processes.remove(instance);
    }

    /// Asks one process to drain, without waiting for its end.
    pub fn terminate(&self, instance: &Instance) {
        if let Some(process) = self.processes.get(instance) {
            process.terminate();
        }
    }

    /// Whether a crash point has killed one process.
    ///
    /// # Errors
    /// If it ended in any other way.
    pub fn crashed(&mut self, instance: &Instance) -> anyhow::Result<bool> {
        let Some(process) = self.processes.get_mut(instance) else {
            return Ok(false);
        };
        let Some(status) = process.ended() else {
            return Ok(false);
        };
        anyhow::ensure!(
            crate::crash::is_crash(status),
            "{instance:?} ended with {status}: {}",
            process.tail()
        );
        Ok(true)
    }

    /// What has ended without being asked to.
    pub fn ended(&mut self) -> Vec<Instance> {
        let ended =
            |(instance, process): (&Instance, &mut Process)| process.ended().map(|_| instance.clone());
        self.processes.iter_mut().filter_map(ended).collect()
    }

    /// Asks one process to drain and waits for its end.
    pub fn stop(&mut self, instance: &Instance) -> anyhow::Result<()> {
        self.terminate(instance);
        self.drained(instance)
    }

    /// Waits until a process that was asked to drain has ended.
    pub fn drained(&mut self, instance: &Instance) -> anyhow::Result<()> {
        if let Some(mut process) = self.processes.remove(instance) {
            let status = process.wait(Duration::from_secs(60))?;
            anyhow::ensure!(
                status.success(),
                "{instance:?} exited with {status}: {}",
                process.tail()
            );
        }
        Ok(())
    }

    /// Asks all that run to drain and waits for their ends: groups are left at once, so that who comes next need not wait for
    /// dead members to be given up.
    pub fn stop_all(&mut self) -> anyhow::Result<()> {
        let running: Vec<_> = self.processes.keys().cloned().collect();
        for instance in &running {
            self.terminate(instance);
        }
        running.iter().try_for_each(|instance| self.drained(instance))
    }

    /// All instances.
    pub fn instances(&self) -> Vec<Instance> {
        self.ports.keys().cloned().collect()
    }

    /// The operators' listener of one instance.
    pub fn ops_url(&self, instance: &Instance) -> String {
        format!("http://127.0.0.1:{}", self.ports[instance].1)
    }

    /// What `/readyz` of one process says of each dependency; nothing while it does not listen.
    pub async fn dependencies(&self, instance: &Instance) -> BTreeMap<String, String> {
        let Ok(response) = crate::http::get(&format!("{}/readyz", self.ops_url(instance))).await else {
            return BTreeMap::new();
        };
        let body: Value = response.json().await.unwrap_or_default();
        serde_json::from_value(body["dependencies"].clone()).unwrap_or_default()
    }

    /// Process ids of what runs, for measuring.
    pub fn process_ids(&self) -> Vec<u32> {
        self.processes.values().map(Process::id).collect()
    }

    /// The end of one process's log, for people.
    pub fn tail(&self, instance: &Instance) -> String {
        self.processes
            .get(instance)
            .map(Process::tail)
            .unwrap_or_default()
    }

    /// The mock backend's base URL.
    pub fn backend(&self) -> &str {
        &self.mock.base_url
    }
}

/// The lines that put a configuration on the real servers.
pub fn on_servers() -> anyhow::Result<String> {
    let [kafka, nats, redis, postgres] = [
        "RELAY_KAFKA_BROKERS",
        "RELAY_NATS_URL",
        "RELAY_REDIS_URL",
        "RELAY_POSTGRES_URL",
    ]
    .map(server);
    Ok(format!(
        "bus: {{ kind: kafka, brokers: \"{}\" }}\n\
         control: {{ kind: nats, url: \"{}\" }}\n\
         store: {{ kind: postgres, url: \"{}\" }}\n\
         cache_service: {{ redis: {{ url: \"{}\" }} }}\n",
        kafka.context("the production column")?,
        nats?,
        postgres?,
        redis?,
    ))
}

fn configuration(policy: &str, models: &str, model: &str) -> anyhow::Result<String> {
    Ok(format!(
        "{}\
         lame_duck: 0s\n\
         ingress: {{ defaults: {{ model: {model} }}, deadlines: {{ default: 45s, grace: {DEADLINE_GRACE_MS}ms }}, batch: {{ waiting_limit: 20000, max_in_flight: 1000 }} }}\n\
         planner: {{ policy: {policy} }}\n\
         workers: {{ models: {models}, short_slots: 64, long_slots: 16 }}\n",
        on_servers()?,
    ))
}
