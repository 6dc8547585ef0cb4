//! Where the log is: in this process, or in a Relay that runs and is asked.

use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use relay_bus::topics::Manifest;
use relay_bus::{Bus, BusError, EmbeddedBus, KafkaBus};
use relay_clock::Clock;

use super::answer::Keeper;
use super::ask::{Ask, Read};
use super::door::log_id;
use super::letters::Who;
use super::lines::Answer;
use super::running::Running;
use crate::config::Config;
use crate::seams::{BusConfig, LOG};

/// Where the log is.
pub enum Place {
    /// Open in this process, or reached from it.
    Here(Arc<Keeper>),
    /// Open in another process.
    Beside(Running),
}

impl Place {
    /// Opens the log, or finds out who has it open.
    pub async fn find(config: &Config, ask: &Ask) -> anyhow::Result<Self> {
        let manifest = config.manifest()?;
        let clock = Clock::system();
        let bus: Arc<dyn Bus> = match &config.bus {
            BusConfig::Kafka(kafka) => {
                let bus = KafkaBus::connect(kafka.clone(), &clock).context("the Kafka clients")?;
                let bus: Arc<dyn Bus> = Arc::new(bus);
                bus.probe()
                    .await
                    .with_context(|| format!("Kafka at {} (`bus.brokers`)", kafka.brokers))?;
                bus
            }
            BusConfig::Embedded(options) => {
                let folder = config.data.join(LOG);
                ensure!(
                    folder.exists() || matches!(ask, Ask::Apply(_)),
                    "there is no log in {} (`data`, --data): name the folder of a Relay that has run, or make one by `relay topics apply`",
                    folder.display()
                );
                // With no topics of its own: what only reads changes none, and what applies them says what it did.
                let none = Manifest {
                    topics: Vec::new(),
                    ..manifest.clone()
                };
                match EmbeddedBus::open(&folder, &none, options.clone(), &clock) {
                    Ok(bus) => Arc::new(bus),
                    Err(BusError::Unavailable(held)) => {
                        // Who has it; not what a second gateway would have to do.
                        let held = held.split(';').next().unwrap_or_default().to_owned();
                        let log = log_id(&folder);
                        let ops = config.ops.clone();
                        return Ok(Self::Beside(Running { ops, log, held }));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        };
        if matches!(config.bus, BusConfig::Embedded(_))
            && matches!(ask, Ask::Read(_, Read { follow: true, .. }))
        {
            bail!(
                "no Relay has the log in {} open, so nothing comes that could be followed: start it (`relay up`), or leave --follow out",
                config.data.join(LOG).display()
            );
        }
        Ok(Self::Here(Arc::new(Keeper::new(bus, manifest, clock))))
    }

    /// Begins to hear the answer.
    pub async fn ask(&self, ask: Ask) -> anyhow::Result<Answer> {
        let name = user();
        match self {
            Self::Here(keeper) => {
                let via = "the command line";
                Ok(keeper.ask(ask, Who { name, via }))
            }
            Self::Beside(running) => running.ask(&ask, &name).await,
        }
    }
}

/// Whose process this is, as the operating system has it.
fn user() -> String {
    let id = rustix::process::getuid().as_raw();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    named(&users, id)
}

fn named(users: &str, id: u32) -> String {
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        // As a header takes it.
        let name = fields
            .next()
            .filter(|name| name.bytes().all(|byte| byte.is_ascii_graphic()))?;
        (fields.nth(1)?.parse() == Ok(id)).then_some(name)
    });
    name.map_or_else(|| format!("uid {id}"), |name| format!("{name} (uid {id})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_is_named_as_the_operating_system_does() {
        let users = "root:x:0:0:root:/root:/bin/sh\nbroken\njosé:x:8:8::/:/bin/sh\nrelay:x:10001:10001::/:/bin/false\n";
        for (id, name) in [
            (0, "root (uid 0)"),
            (10_001, "relay (uid 10001)"),
            (7, "uid 7"),
            (8, "uid 8"),
        ] {
            assert_eq!(named(users, id), name);
        }
    }
}
