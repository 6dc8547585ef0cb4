//! What each command shows, takes and refuses.

use std::collections::BTreeSet;

use relay_schemas::Operation;

use super::*;

/// The settings of every command. What stands in a row is shown and taken, the other flags of this table are refused.
const SETTINGS: &[(&str, &[&str])] = &[
    ("up", &["config", "log", "data", "process", "operators", "api"]),
    (
        "run ingress,trace-sink",
        &["config", "log", "data", "process", "operators", "api"],
    ),
    ("ingress", &["config", "log", "process", "operators", "api"]),
    ("planner", &["config", "log", "process", "operators"]),
    ("cache-service", &["config", "log", "process", "operators"]),
    ("scheduler", &["config", "log", "process", "operators"]),
    ("workers", &["config", "log", "process", "operators"]),
    ("trace-sink", &["config", "log", "data", "process", "operators"]),
    ("topics apply", &["config", "log", "data", "operators"]),
    ("topics offsets", &["config", "log", "data", "operators"]),
    ("topics read TOPIC", &["config", "log", "data", "operators"]),
    ("topics tail TOPIC", &["config", "log", "data", "operators"]),
    ("dead-letters list", &["config", "log", "data", "operators"]),
    ("dead-letters show 0/1", &["config", "log", "data", "operators"]),
    ("dead-letters resend", &["config", "log", "data", "operators"]),
    ("dead-letters discard", &["config", "log", "data", "operators"]),
    ("traces rebuild", &["config", "log", "data"]),
    ("log verify", &["config", "log", "data"]),
    ("backup FOLDER", &["config", "log", "data"]),
    ("restore FOLDER", &["config", "log", "data"]),
    ("healthcheck", &["config", "operators"]),
    ("plan", &["config"]),
    ("check", &["config", "log", "data", "process", "operators", "api"]),
    ("schema CONFIG", &[]),
];

/// The flags of a group, each with a value.
fn flags(group: &str) -> &'static [(&'static str, &'static str)] {
    match group {
        "config" => &[("--config", "f.yaml")],
        "api" => &[("--host", "localhost"), ("--port", "1")],
        "operators" => &[("--admin-port", "1")],
        "data" => &[("--data", "d")],
        "process" => &[
            ("--instance", "i"),
            ("--drain-timeout", "20s"),
            ("--lame-duck", "0s"),
        ],
        "log" => &[("--log-level", "INFO"), ("--log-format", "json")],
        other => panic!("{other}"),
    }
}

/// What a command's help says.
fn help(command: &str) -> String {
    let small = |word: &&str| {
        word.chars()
            .all(|letter| letter.is_ascii_lowercase() || letter == '-')
    };
    let path = command
        .split(' ')
        .filter(small)
        .filter(|word| !word.is_empty() && !word.starts_with('-'));
    let words: Vec<&str> = ["relay"].into_iter().chain(path).chain(["--help"]).collect();
    Cli::read(words).expect_err("it is help").to_string()
}

/// The first words of the lines below a heading.
fn listed(help: &str, heading: &str) -> BTreeSet<String> {
    let below = help.split_once(heading).map_or("", |(_, below)| below);
    let lines = below.lines().skip(1).take_while(|line| line.starts_with("  "));
    let words = lines.filter_map(|line| line.split_whitespace().next());
    words.map(str::to_owned).collect()
}

/// The variables that the page about configuration lists, with the flag of each.
fn variables() -> Vec<(String, Option<String>)> {
    let page = include_str!("../../../docs/configuration.md");
    let (_, below) = page.split_once("## Flags and variables").expect("its heading");
    let table = below.split("\n## ").next().expect("it has a first part");
    let mut rows = Vec::new();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let flag = cells[2].split('`').find(|word| word.starts_with("--"));
        rows.push((cells[1].trim_matches('`').to_owned(), flag.map(str::to_owned)));
    }
    rows
}

#[test]
fn every_command_is_in_the_table_of_settings() {
    fn walk(command: &clap::Command, path: &str, found: &mut BTreeSet<String>) {
        for below in command.get_subcommands() {
            walk(below, &format!("{path} {}", below.get_name()), found);
        }
        if !command.has_subcommands() {
            found.insert(path.trim().to_owned());
        }
    }
    let mut found = BTreeSet::new();
    walk(&Cli::command(), "", &mut found);
    let plain = |command: &str| {
        let end = command.find(|letter: char| letter.is_ascii_uppercase() || letter.is_ascii_digit());
        let plain = command[..end.unwrap_or(command.len())].trim();
        let plain = plain.split(" --").next().unwrap_or_default();
        plain
            .strip_suffix(" ingress,trace-sink")
            .unwrap_or(plain)
            .to_owned()
    };
    assert_eq!(
        found,
        SETTINGS.iter().map(|(command, _)| plain(command)).collect()
    );
}

#[test]
fn a_command_shows_and_takes_the_flags_that_mean_something_to_it_and_refuses_the_others() {
    for (command, groups) in SETTINGS {
        let help = help(command);
        for group in ["config", "log", "data", "process", "operators", "api"] {
            for (flag, value) in flags(group) {
                let words = ["relay"]
                    .into_iter()
                    .chain(command.split(' '))
                    .chain([*flag, value]);
                let taken = Cli::read(words);
                let shown = help.contains(&format!("{flag} <"));
                if groups.contains(&group) {
                    assert!(shown, "relay {command}: {flag} is not in\n{help}");
                    taken.unwrap_or_else(|refused| panic!("relay {command} {flag}: {refused}"));
                    continue;
                }
                assert!(!shown, "relay {command}: {flag} is in\n{help}");
                let refused = taken.expect_err("it means nothing").to_string();
                let path = command.split(" --").next().unwrap_or_default();
                let path = path
                    .trim_end_matches(|letter: char| letter.is_ascii_uppercase() || "0/1".contains(letter))
                    .trim();
                let said = format!("error: {flag} means nothing to `relay {path}`; `relay up`");
                assert!(refused.starts_with(&said), "{said}\n{refused}");
            }
        }
    }
}

#[test]
fn several_services_take_the_flags_that_mean_something_to_one_of_them() {
    let said = |words: &str| Cli::read(words.split(' ')).map_err(|refused| refused.to_string());
    for (words, flag, service) in [
        ("relay run planner,scheduler --port 1", "port", "ingress"),
        ("relay run planner,scheduler --host ::1", "host", "ingress"),
        ("relay run planner,scheduler --data d", "data", "trace-sink"),
    ] {
        let refused = said(words).expect_err(words);
        let expected =
            format!("error: --{flag} means nothing to `relay run planner,scheduler`; {service} takes it\n");
        assert!(refused.starts_with(&expected), "{refused}");
    }
    let good = said("relay run ingress,planner --port 1 --admin-port 2").expect("it is good");
    assert_eq!(good.command.hosts(), "planner,ingress".parse().ok());
    assert_eq!(good.command.settings().api.port, Some(1));
    let refused = said("relay run planer").expect_err("a typo");
    assert!(
        refused.contains("`planer` is no service; there are ingress,planner,"),
        "{refused}"
    );
    said("relay run").expect_err("nothing to run");
}

#[test]
fn a_flag_before_the_command_is_refused_with_where_it_stands() {
    let refused = |words: &[&str]| Cli::read(words).expect_err("it is refused").to_string();
    for (words, said) in [
        (
            ["relay", "--port", "1", "up"],
            "error: --port stands after the command, as in `relay up --port`\n",
        ),
        (
            ["relay", "-c", "f", "plan"],
            "error: -c stands after the command, as in `relay up -c`\n",
        ),
        (
            ["relay", "topics", "apply", "--content"],
            "error: --content means nothing to `relay topics apply`; `relay topics read`, `relay topics tail` and `relay dead-letters show` take it\n",
        ),
        (
            ["relay", "up", "--nowhere", "1"],
            "error: unexpected argument '--nowhere' found",
        ),
    ] {
        let refused = refused(&words);
        assert!(refused.starts_with(said), "{refused}");
    }
}

#[test]
fn the_help_lists_every_variable_with_its_flag_or_its_meaning() {
    let help = help("");
    let variables = variables();
    assert!(variables.len() > 15, "{variables:?}");
    for (name, flag) in &variables {
        let rest = help
            .lines()
            .find_map(|line| line.trim().strip_prefix(&format!("{name} ")));
        let rest = rest.unwrap_or_else(|| panic!("{name} is not in\n{help}")).trim();
        match flag {
            Some(flag) => assert_eq!(rest, flag, "{name}"),
            None => assert!(rest.len() > 10 && !rest.starts_with("--"), "{name}: {rest}"),
        }
    }
    let listed = listed(&help, "Environment");
    assert_eq!(listed, variables.into_iter().map(|(name, _)| name).collect());
}

#[test]
fn a_command_lists_the_variables_that_mean_something_to_it() {
    let without_flag = |command| {
        listed(&help(command), "Environment")
            .into_iter()
            .collect::<Vec<_>>()
    };
    assert_eq!(without_flag("plan"), ["MAX_LENGTH", "MODEL_NAME", "TEMPERATURE"]);
    assert_eq!(
        without_flag("planner"),
        ["METRICS_ENABLED", "NO_COLOR", "SSL_CERT_DIR", "SSL_CERT_FILE"]
    );
    assert_eq!(without_flag("healthcheck"), Vec::<String>::new());
    let rest: Vec<String> = variables()
        .into_iter()
        .filter_map(|(name, flag)| flag.is_none().then_some(name))
        .collect();
    assert_eq!(without_flag("up").len(), rest.len(), "{rest:?}");
    for (name, flag) in variables() {
        if let Some(flag) = flag {
            let help = help("up");
            let line = help
                .lines()
                .find(|line| line.contains(&format!("{flag} <")))
                .expect("its flag");
            let at = help.find(line).unwrap_or_default();
            assert!(
                help[at..at + 500.min(help.len() - at)].contains(&format!("[env: {name}=")),
                "{name}"
            );
        }
    }
}

#[test]
fn a_log_level_typo_is_refused_at_the_start() {
    for typo in ["loud", "inof"] {
        let words = ["relay", "up", "--log-level", typo];
        let refused = Cli::read(words).expect_err(typo).to_string();
        assert!(
            refused.contains("--log-level") && refused.contains("CRITICAL"),
            "{refused}"
        );
    }
    assert!(Cli::read(["relay", "up", "--log-level", "CRITICAL"]).is_ok());
}

#[test]
fn a_plan_is_of_a_chat_unless_another_operation_is_named() {
    let operation = |more: &[&str]| {
        let words = ["relay", "plan", "--request", "r.json"].iter().chain(more);
        match Cli::read(words).expect("it is good").command {
            Command::Plan(asked) => Operation::from(asked.operation),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(operation(&[]), Operation::Chat);
    assert_eq!(operation(&["--operation", "completion"]), Operation::Completion);
    assert_eq!(operation(&["--operation", "embedding"]), Operation::Embedding);
}
