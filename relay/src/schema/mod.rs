//! `relay schema`: the JSON Schema of a file, so that editors complete its keys and tell mistakes while they are typed.

#[cfg(test)]
mod tests;
mod words;

use std::io::Write;

use relay_bus::topics::Manifest;
use relay_planner::policy::Document;
use relay_settings::schema;
use relay_workers::models::Models;
use serde_json::Value;

use self::words::{NoWords, Sample};
use crate::cli::SchemaOf;
use crate::config::Config;

/// Prints the schema of that file, as it is kept in `deploy/schemas/`.
pub(crate) fn print(of: SchemaOf) -> anyhow::Result<()> {
    Ok(write!(std::io::stdout(), "{}", text(of))?)
}

fn text(of: SchemaOf) -> String {
    format!("{:#}\n", made(of))
}

fn made(of: SchemaOf) -> Value {
    match of {
        SchemaOf::Config => schema::<Config>("Relay's configuration", true, &Sample::default()),
        SchemaOf::Policy => schema::<Document>("A policy of Relay", false, &NoWords),
        SchemaOf::Models => schema::<Models>("The models that Relay's workers run", true, &NoWords),
        SchemaOf::Topics => schema::<Manifest>("Relay's topics", false, &NoWords),
    }
}
