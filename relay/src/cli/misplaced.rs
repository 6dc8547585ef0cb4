//! A flag where it means nothing is refused with where it means something.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, Error, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgMatches, Command};

use crate::hosted::{Hosted, HostedService};

/// Flags of `relay run` that mean something to one service alone.
const OF_ONE: &[(&str, HostedService)] = &[
    ("host", HostedService::Ingress),
    ("port", HostedService::Ingress),
    ("data", HostedService::TraceSink),
];

/// Refuses what means nothing to the services that run; the environment may say more, as it is that of every process.
pub fn in_run(hosted: &Hosted, given: &ArgMatches) -> Result<(), Error> {
    for (flag, service) in OF_ONE {
        if given.value_source(flag) == Some(ValueSource::CommandLine) && !hosted.has(*service) {
            let command = hosted.command();
            let words = format!(
                "--{flag} means nothing to `{command}`; {service} takes it\n\nFor more information, try 'relay run --help'.\n"
            );
            return Err(Error::raw(ErrorKind::UnknownArgument, words));
        }
    }
    Ok(())
}

/// The refusal in words of ours, where the flag is another command's.
pub fn explained(refused: Error, root: &Command, words: &[OsString]) -> Error {
    let Some(ContextValue::String(flag)) = refused.get(ContextKind::InvalidArg) else {
        return refused;
    };
    if refused.kind() != ErrorKind::UnknownArgument {
        return refused;
    }
    let mut users = Vec::new();
    find(root, flag, root.get_name(), &mut users);
    let Some(first) = users.first() else {
        return refused;
    };
    let here = path(root, words, flag);
    let problem = if here == root.get_name() {
        format!("{flag} stands after the command, as in `{first} {flag}`")
    } else {
        let [named, verb] = match &users[..] {
            [one] => [format!("`{one}`"), "takes".to_owned()],
            [most @ .., last] => [format!("`{}` and `{last}`", most.join("`, `")), "take".to_owned()],
            [] => return refused,
        };
        format!("{flag} means nothing to `{here}`; {named} {verb} it")
    };
    let words = format!("{problem}\n\nFor more information, try '{here} --help'.\n");
    Error::raw(ErrorKind::UnknownArgument, words)
}

/// The commands that take the flag, the outermost of each.
fn find(command: &Command, flag: &str, path: &str, users: &mut Vec<String>) {
    let takes = command.get_arguments().any(|arg| {
        let long = arg
            .get_long()
            .is_some_and(|long| flag.strip_prefix("--") == Some(long));
        let short = arg
            .get_short()
            .is_some_and(|short| flag.strip_prefix('-') == Some(short.to_string().as_str()));
        long || short
    });
    if takes {
        users.push(path.to_owned());
        return;
    }
    for below in command.get_subcommands() {
        find(below, flag, &format!("{path} {}", below.get_name()), users);
    }
}

/// The command that the flag was said to.
fn path(root: &Command, words: &[OsString], flag: &str) -> String {
    let mut path = root.get_name().to_owned();
    let mut command = root;
    for word in words.iter().skip(1).filter_map(|word| word.to_str()) {
        if word.starts_with(flag) {
            break;
        }
        if let Some(below) = command.find_subcommand(word) {
            command = below;
            path = format!("{path} {word}");
        }
    }
    path
}
