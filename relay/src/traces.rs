//! `relay traces`: what is done with the tables of the trace sink.

use std::io::Write;

use anyhow::{Context, ensure};
use relay_clock::Clock;

use crate::cli::{Rebuild, Traces};
use crate::config::Config;
use crate::seams::StoreConfig;

/// Runs one of the commands.
pub async fn run(config: &Config, command: Traces) -> anyhow::Result<()> {
    match command {
        Traces::Rebuild(rebuild) => empty(config, &rebuild).await,
    }
}

/// Empties the tables; whichever trace sink runs, now or next, finds that they stand nowhere, and folds the log again.
async fn empty(config: &Config, rebuild: &Rebuild) -> anyhow::Result<()> {
    if matches!(config.store, StoreConfig::Sqlite) {
        let file = StoreConfig::file(&config.data);
        ensure!(
            file.exists(),
            "there are no tables at {} (`data`, --data): name the folder of the instance whose traces are to be rebuilt",
            file.display()
        );
    }
    let tables = config.store.open(&config.data, &Clock::system())?;
    let traces = tables.traces.count().await.context("the tables (`store`)")?;
    ensure!(
        rebuild.yes,
        "this deletes {traces} traces, and who won each request; those whose outcomes relay.outcomes.v1 still holds are folded again, \
         older ones are lost. Repeat it with --yes if that is wanted"
    );
    tables
        .outcomes
        .forget_all()
        .await
        .context("the tables (`store`)")?;
    writeln!(
        std::io::stdout(),
        "emptied, {traces} traces: the trace sink folds relay.outcomes.v1 again, at once where it runs, else when it starts"
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use relay_store::{Advance, Folded};

    use super::*;

    fn config(data: &std::path::Path) -> Config {
        Config {
            data: data.to_owned(),
            ..Config::default()
        }
    }

    #[tokio::test]
    async fn traces_are_emptied_only_where_there_are_some_and_it_is_said_twice() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = config(folder.path());
        let said = |result: anyhow::Result<()>| result.map_err(|error| format!("{error:#}"));
        let nowhere = said(run(&config, Traces::Rebuild(Rebuild { yes: true })).await);
        assert!(nowhere.is_err_and(|error| error.contains("--data")));
        assert!(
            !StoreConfig::file(folder.path()).exists(),
            "none is made by asking"
        );

        let tables = config
            .store
            .open(folder.path(), &Clock::system())
            .expect("a store");
        let to = Folded {
            next: 5,
            whole_from: 0,
        };
        let advance = Advance {
            partition: 0,
            from: None,
            to,
        };
        tables.outcomes.fold(&[], &[advance]).await.expect("it is folded");
        let doubted = said(run(&config, Traces::Rebuild(Rebuild { yes: false })).await);
        assert!(doubted.is_err_and(|error| error.contains("0 traces") && error.contains("--yes")));
        assert_eq!(tables.outcomes.folded().await.expect("positions").len(), 1);
        let done = said(run(&config, Traces::Rebuild(Rebuild { yes: true })).await);
        assert_eq!(done, Ok(()));
        assert_eq!(tables.outcomes.folded().await.expect("positions").len(), 0);
    }
}
