//! An `OpenAI` endpoint of zero latency (`workers/examples/mock_backend.rs`) as a child process.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::files::{executable, free_port};
use crate::process::Process;

/// A running mock backend.
pub struct Mock {
    process: Process,
    /// Its base URL, with `/v1`.
    pub base_url: String,
}

impl Mock {
    /// Starts one with extra `arguments`, for example `--token-ms 5`.
    pub fn start(folder: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        let port = free_port();
        let mut command = Command::new(executable("mock-backend")?);
        command.arg("--port").arg(port.to_string()).args(arguments);
        let process = Process::start(command, &folder.join("mock.log"))?;
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > deadline {
                bail!("the mock backend does not listen: {}", process.tail());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(Self {
            process,
            base_url: format!("http://127.0.0.1:{port}/v1"),
        })
    }

    /// Freezes it: it is asked, and answers nobody.
    pub fn pause(&self) {
        self.process.signal("STOP");
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.process.signal("CONT");
    }
}

async fn told(base_url: &str, path: &str) -> anyhow::Result<String> {
    let root = base_url.strip_suffix("/v1").context("a base URL ends with /v1")?;
    Ok(crate::http::get(&format!("{root}/{path}")).await?.text().await?)
}

/// The body of the newest request to the mock backend at `base_url`, as it came.
pub async fn newest(base_url: &str) -> anyhow::Result<String> {
    told(base_url, "newest").await
}

/// How many requests have come to the mock backend at `base_url`.
pub async fn executions(base_url: &str) -> anyhow::Result<usize> {
    let count = told(base_url, "count").await?;
    count
        .trim()
        .parse()
        .with_context(|| format!("`{count}` is no count"))
}

/// The `models.yaml` in which `mock` is that backend.
pub fn write_models(folder: &Path, base_url: &str) -> anyhow::Result<()> {
    let yaml = format!(
        "models:\n  mock:\n    backend: openai\n    base_url: {base_url}\n    upstream_model: mock\n    max_concurrent: 256\n    first_byte_timeout: 10m\n"
    );
    std::fs::write(folder.join("models.yaml"), yaml).context("models.yaml")
}
