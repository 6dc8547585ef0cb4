//! What is measured: a build of the gateway, on either column, in front of a mock backend.

use relay_tests::gateway::Gateway;
use relay_tests::ledger::{self, Ledger};
use relay_tests::production::Production;

/// Where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// One process on the embedded log.
    Embedded,
    /// Six processes on Kafka.
    Production,
}

impl Column {
    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Production => "six processes on Kafka",
        }
    }
}

/// One that runs.
pub struct Target {
    /// Where requests go in.
    pub bases: Vec<String>,
    /// The mock backend alone.
    pub backend: [String; 1],
    /// Whose CPU time, memory and bytes count.
    pub processes: Vec<u32>,
    running: Running,
}

enum Running {
    Embedded(Box<Gateway>),
    Production(Box<Production>),
}

impl Target {
    /// Starts `program`, an executable beside this one or anywhere, in front of a mock backend with these arguments.
    ///
    /// # Errors
    /// Where it does not become ready.
    pub async fn start(column: Column, program: &str, mock: &[&str]) -> anyhow::Result<Self> {
        let root = |backend: &str| [backend.trim_end_matches("/v1").to_owned()];
        Ok(match column {
            Column::Embedded => {
                let gateway = Gateway::start(program, mock).await?;
                Self {
                    bases: vec![gateway.base_url.clone()],
                    backend: root(gateway.backend()),
                    processes: gateway.process_ids(),
                    running: Running::Embedded(Box::new(gateway)),
                }
            }
            Column::Production => {
                let deployment = Production::start(program, 1, mock).await?;
                Self {
                    bases: deployment.base_urls.clone(),
                    backend: root(deployment.backend()),
                    processes: deployment.process_ids(),
                    running: Running::Production(Box::new(deployment)),
                }
            }
        })
    }

    /// Stops it; what its log holds.
    ///
    /// # Errors
    /// Where it does not stop by itself, or its log cannot be read.
    pub async fn ledger(self) -> anyhow::Result<Ledger> {
        match self.running {
            Running::Embedded(mut gateway) => {
                gateway.stop()?;
                ledger::read(&*ledger::embedded(&gateway.data())?).await
            }
            Running::Production(deployment) => {
                drop(deployment);
                ledger::read(&*ledger::kafka()?).await
            }
        }
    }
}
