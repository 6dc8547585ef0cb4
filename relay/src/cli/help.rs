//! Completes `--help` by what the environment may say: beside each flag, and in a section for what has no flag.

use clap::builder::Resettable;
use clap::{Arg, Command};

use crate::environment::{self, VARIABLES, Variable};

/// The commands with their variables. One that is set to nothing is as good as not set: compose files write `${PORT:-}`.
pub fn completed(root: Command) -> Command {
    let overview = overview(&root);
    let root = root.mut_subcommands(|command| {
        let name = command.get_name().to_owned();
        of_command(command, &name)
    });
    with_section(root, &overview)
}

fn of_command(command: Command, name: &str) -> Command {
    let own: String = VARIABLES
        .iter()
        .filter(|variable| variable.is_for(name))
        .map(row)
        .collect();
    let command = command
        .mut_args(unless_empty)
        .mut_subcommands(|below| of_command(below, name));
    if command.has_subcommands() {
        return command;
    }
    with_section(command, &own)
}

/// `clap` takes a variable that is set to nothing for a value.
fn unless_empty(arg: Arg) -> Arg {
    let Some(name) = arg.get_env().map(|name| name.to_string_lossy().into_owned()) else {
        return arg;
    };
    if std::env::var_os(&name).is_none_or(|value| !value.is_empty()) {
        return arg;
    }
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    arg.env(Resettable::Reset).help(format!("{help} [env: {name}=]"))
}

/// Every variable, with its flag or what it means.
fn overview(root: &Command) -> String {
    let mut rows = Vec::new();
    for command in root.get_subcommands() {
        for arg in command.get_arguments() {
            if let (Some(name), Some(flag)) = (arg.get_env(), arg.get_long()) {
                let row = format!("  {:<20} --{flag}\n", name.display());
                if !rows.contains(&row) {
                    rows.push(row);
                }
            }
        }
    }
    rows.extend(VARIABLES.iter().map(row));
    rows.concat()
}

fn row(variable: &Variable) -> String {
    format!("  {:<20} {}\n", variable.name, variable.meaning)
}

/// Puts the section before what the help ends with.
fn with_section(command: Command, rows: &str) -> Command {
    if rows.is_empty() {
        return command;
    }
    let end = command.get_after_help().map(ToString::to_string);
    let end = end.map_or_else(String::new, |end| format!("\n{end}"));
    let heading = environment::HEADING;
    command.after_help(format!("{heading}\n{rows}{end}"))
}
