//! A whole gateway on the embedded column, started, killed and started again on the same data and the same ports.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::clocks::Clocks;
use crate::files::{executable, free_port, root};
use crate::mock::{Mock, write_models};
use crate::process::Process;

/// The address of a real server, or what to do about its absence.
pub fn server(variable: &str) -> anyhow::Result<String> {
    std::env::var(variable).with_context(|| {
        format!("{variable} is not set: `make test` starts the servers, or `local.py run -- …`")
    })
}

/// How long after a request's deadline an ingress gives up, milliseconds.
pub const DEADLINE_GRACE_MS: i64 = 2_000;

/// The executable with crash points.
pub const KILLABLE: &str = "relay-with-crash-points";

/// A gateway in one process, its folder, its mock backend and its address.
pub struct Gateway {
    /// Configuration, data and logs.
    pub folder: tempfile::TempDir,
    /// `http://127.0.0.1:PORT`.
    pub base_url: String,
    /// The operators' listener.
    pub ops_url: String,
    executable: PathBuf,
    /// What a shell does before it becomes the process.
    before: Option<String>,
    clocks: Option<Clocks>,
    config: PathBuf,
    /// The backend.
    pub mock: Mock,
    process: Option<Process>,
}

impl Gateway {
    /// Prepares a gateway in front of a mock backend started with `mock_arguments`, and starts it.
    pub async fn start(program: &str, mock_arguments: &[&str]) -> anyhow::Result<Self> {
        let mut gateway = Self::prepare(program, mock_arguments)?;
        gateway.run(None)?;
        gateway.ready().await?;
        Ok(gateway)
    }

    /// Prepares one without starting it.
    pub fn prepare(program: &str, mock_arguments: &[&str]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mock = Mock::start(folder.path(), mock_arguments)?;
        write_models(folder.path(), &mock.base_url)?;
        std::fs::write(folder.path().join("policy.yaml"), POLICY)?;
        let (port, ops) = (free_port(), free_port());
        let config = folder.path().join("relay.yaml");
        std::fs::write(&config, configuration(folder.path(), port, ops))?;
        Ok(Self {
            base_url: format!("http://127.0.0.1:{port}"),
            ops_url: format!("http://127.0.0.1:{ops}"),
            folder,
            executable: executable(program)?,
            before: None,
            clocks: None,
            config,
            mock,
            process: None,
        })
    }

    /// Adds to its configuration.
    pub fn configure(&self, yaml: &str) -> anyhow::Result<()> {
        let mut configured = std::fs::read_to_string(&self.config)?;
        configured.push_str(yaml);
        Ok(std::fs::write(&self.config, configured)?)
    }

    /// Has a shell run `before` (`ulimit -n 260`) before it becomes the process.
    pub fn under(&mut self, before: &str) {
        self.before = Some(before.to_owned());
    }

    /// Replaces a part of its configuration that is there.
    pub fn reconfigure(&self, part: &str, by: &str) -> anyhow::Result<()> {
        let configured = std::fs::read_to_string(&self.config)?;
        anyhow::ensure!(configured.contains(part), "`{part}` is in no configuration");
        Ok(std::fs::write(&self.config, configured.replace(part, by))?)
    }

    /// Has it read wall clocks that can be set, from its next start on.
    pub fn with_clocks(&mut self) -> anyhow::Result<Clocks> {
        let clocks = Clocks::build(self.folder.path())?;
        self.clocks = Some(clocks.clone());
        Ok(clocks)
    }

    /// Puts a pool without workers before its own, so that every request is handed over.
    pub fn with_an_empty_pool_first(&self) -> anyhow::Result<()> {
        self.configure(&crate::pools::empty_one_first(self.folder.path(), POLICY)?)
    }

    /// Starts the process; with `crash_at` it will die there.
    pub fn run(&mut self, crash_at: Option<&str>) -> anyhow::Result<()> {
        let mut command = match &self.before {
            None => Command::new(&self.executable),
            Some(before) => {
                let mut shell = Command::new("sh");
                shell
                    .arg("-c")
                    .arg(format!("{before} && exec \"$0\" \"$@\""))
                    .arg(&self.executable);
                shell
            }
        };
        command
            .arg("up")
            .arg("--config")
            .arg(&self.config)
            .current_dir(root())
            .env_remove("RELAY_CRASH_AT");
        if let Some(point) = crash_at {
            command.env("RELAY_CRASH_AT", point);
        }
        if let Some(clocks) = &self.clocks {
            clocks.give(&mut command, "relay")?;
        }
        self.process = Some(Process::start(command, &self.folder.path().join("relay.log"))?);
        Ok(())
    }

    /// Runs another command of the executable with the gateway's configuration, to its end.
    pub fn command(&self, words: &[&str]) -> anyhow::Result<Output> {
        let output = self.beside(words).output();
        output.with_context(|| format!("relay {}", words.join(" ")))
    }

    /// Another command of the executable with the gateway's configuration, not started yet.
    pub fn beside(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.executable);
        command.args(words).arg("--config").arg(&self.config);
        command.current_dir(root());
        command
    }

    /// Waits until `/readyz` says so.
    pub async fn ready(&mut self) -> anyhow::Result<()> {
        let url = format!("{}/readyz", self.base_url);
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Ok(response) = crate::http::get(&url).await
                && response.status().is_success()
            {
                return Ok(());
            }
            if self.ended() {
                bail!("the gateway ended before it was ready: {}", self.tail());
            }
            if Instant::now() > deadline {
                bail!("not ready after 30 s: {}", self.tail());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until the operators' listener says so at `path`.
    pub async fn until(&self, path: &str, so: impl Fn(&str) -> bool) -> anyhow::Result<()> {
        crate::http::until(&format!("{}{path}", self.ops_url), so).await
    }

    /// Whether the process is gone.
    pub fn ended(&mut self) -> bool {
        self.process
            .as_mut()
            .is_none_or(|process| process.ended().is_some())
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Drains and waits for the end.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(mut process) = self.process.take() {
            process.terminate();
            let status = process.wait(Duration::from_secs(30))?;
            anyhow::ensure!(
                status.success(),
                "a drained gateway exits with 0, not {status}: {}",
                process.tail()
            );
        }
        Ok(())
    }

    /// Sends it a signal, by its name without `SIG`.
    pub fn signal(&self, name: &str) {
        self.process.iter().for_each(|process| process.signal(name));
    }

    /// Waits for its end.
    pub fn wait(&mut self, most: Duration) -> anyhow::Result<std::process::ExitStatus> {
        self.process.as_mut().context("it was never started")?.wait(most)
    }

    /// Waits until a crash point has killed it.
    pub fn crashed(&mut self, most: Duration) -> anyhow::Result<()> {
        let process = self.process.as_mut().context("it was never started")?;
        let status = process.wait(most)?;
        anyhow::ensure!(
            crate::crash::is_crash(status),
            "it ended by itself instead of crashing: {}",
            process.tail()
        );
        self.process = None;
        Ok(())
    }

    /// Where its log and tables are.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Process ids of what runs, for measuring.
    pub fn process_ids(&self) -> Vec<u32> {
        self.process.iter().map(Process::id).collect()
    }

    /// The mock backend's base URL.
    pub fn backend(&self) -> &str {
        &self.mock.base_url
    }

    /// What it has said so far, the banner with it.
    pub fn log(&self) -> String {
        self.process.as_ref().map(Process::log).unwrap_or_default()
    }

    /// The end of its log, for people.
    pub fn tail(&self) -> String {
        self.process.as_ref().map(Process::tail).unwrap_or_default()
    }
}

pub(crate) const POLICY: &str = include_str!("policy.yaml");

fn configuration(folder: &Path, port: u16, ops: u16) -> String {
    let folder = folder.display();
    format!(
        "data: {folder}/data\ninstance: proof\ningress: {{ port: {port}, defaults: {{ model: mock }}, deadlines: {{ grace: {DEADLINE_GRACE_MS}ms }} }}\nops: {{ port: {ops} }}\n\
         planner: {{ policy: {folder}/policy.yaml }}\nworkers: {{ models: {folder}/models.yaml, short_slots: 64, long_slots: 16 }}\n"
    )
}
