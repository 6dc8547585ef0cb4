//! `relay topics` and `relay dead-letters`: the log, looked after by people.
//!
//! What is asked (`ask`) is answered by one piece of code (`answer`) over whatever log there is: one that this process opens or
//! reaches, or that of a Relay which runs beside it (`place`), asked over HTTP (`wire`, `running`, and `door` at the other end).

mod answer;
pub mod ask;
mod bytes;
pub mod door;
mod letters;
mod lines;
mod place;
mod printing;
mod reading;
mod running;
mod shown;
mod table;
#[cfg(test)]
mod tests;
mod when;
mod wire;

use anyhow::{Context, ensure};
use serde_json::Value;

use self::ask::{Ask, Letters, Selection};
use self::place::Place;
use self::printing::{Form, print};
use crate::cli::{CloseLetters, DeadLetters, Topics, read};
use crate::config::Config;
use crate::seams::BusConfig;

pub use self::answer::Keeper;

/// Runs one of the commands.
pub async fn run(config: &Config, command: Topics) -> anyhow::Result<()> {
    match command {
        Topics::Apply => {
            let manifest = config.manifest()?;
            let did = |item: &Value| item["did"].as_str().unwrap_or_default().to_owned();
            say(config, Ask::Apply(manifest), Form::Sentences(did)).await
        }
        Topics::Offsets(asked) => {
            let table = Form::Table(printing::OFFSETS, printing::offsets);
            say(config, Ask::Offsets, if asked.json { Form::Json } else { table }).await
        }
        Topics::Read(asked) => {
            let (topic, read) = read(asked, None);
            say(config, Ask::Read(topic, read), Form::Json).await
        }
        Topics::Tail(asked) => {
            let (topic, read) = read(asked.read, Some(asked.number));
            say(config, Ask::Read(topic, read), Form::Json).await
        }
    }
}

/// Runs one of the commands for dead letters.
pub async fn dead_letters(config: &Config, command: DeadLetters) -> anyhow::Result<()> {
    match command {
        DeadLetters::List(asked) => {
            let table = Form::Table(printing::LETTERS, printing::letter);
            let letters = Letters::from(&asked);
            say(
                config,
                Ask::Letters(letters),
                if asked.json { Form::Json } else { table },
            )
            .await
        }
        DeadLetters::Show(asked) => say(config, Ask::Letters((&asked).into()), Form::Pretty).await,
        DeadLetters::Resend(asked) => close(config, &asked, Ask::Resend).await,
        DeadLetters::Discard(asked) => close(config, &asked, Ask::Discard).await,
    }
}

async fn close(config: &Config, asked: &CloseLetters, ask: fn(Selection) -> Ask) -> anyhow::Result<()> {
    let selection = Selection::from(asked);
    // Before anything is opened: nothing needs to be there to know it.
    selection.check().map_err(anyhow::Error::msg)?;
    let form = if asked.json {
        Form::Json
    } else {
        Form::Sentences(printing::closed)
    };
    let (mut closed, mut kept) = (0, 0);
    let count = |item: &Value| {
        let became = if item["did"] == "kept" {
            &mut kept
        } else {
            &mut closed
        };
        *became += 1;
    };
    look_at(config, ask(selection), form, count).await?;
    if closed + kept == 0 {
        eprintln!("relay: no open dead letter is among them");
    }
    ensure!(kept == 0, "{closed} closed, {kept} kept: each line says why");
    Ok(())
}

async fn say(config: &Config, ask: Ask, form: Form) -> anyhow::Result<()> {
    look_at(config, ask, form, |_| ()).await
}

async fn look_at(config: &Config, ask: Ask, form: Form, look: impl FnMut(&Value)) -> anyhow::Result<()> {
    let follows = matches!(&ask, Ask::Read(_, read) if read.follow);
    let place = Place::find(config, &ask).await?;
    let answer = place.ask(ask).await?;
    let printed = print(answer, form, follows, look).await;
    match &config.bus {
        BusConfig::Embedded(_) => printed,
        BusConfig::Kafka(kafka) => {
            printed.with_context(|| format!("Kafka at {} (`bus.brokers`)", kafka.brokers))
        }
    }
}
