//! Settings from the environment, under the names that older gateways use.

use anyhow::{Context, bail};

use crate::config::Config;

/// Begins the section of `--help` about [`VARIABLES`].
pub const HEADING: &str = "Environment (a variable that is set to nothing is as good as not set):";

/// What has a meaning in the environment and no flag.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    pub name: &'static str,
    pub meaning: &'static str,
    /// The commands that it means something to.
    commands: &'static [&'static str],
}

impl Variable {
    /// Whether it means something to the command.
    pub fn is_for(&self, command: &str) -> bool {
        self.commands.contains(&command)
    }
}

const PLANS: &[&str] = &["up", "run", "ingress", "plan", "check"];
const RUNS: &[&str] = &["up", "run", "workers", "check"];
const SERVES: &[&str] = &[
    "up",
    "run",
    "ingress",
    "planner",
    "cache-service",
    "scheduler",
    "workers",
    "trace-sink",
    "check",
];

/// These ask servers whose certificates are looked at.
const ASKS: &[&str] = &[
    "up",
    "run",
    "ingress",
    "planner",
    "cache-service",
    "scheduler",
    "workers",
    "trace-sink",
    "check",
    "topics",
    "dead-letters",
    "traces",
];

/// Those without a flag. The others stand beside their flags: see `cli/settings.rs`.
pub const VARIABLES: &[Variable] = &[
    Variable {
        name: "MODEL_NAME",
        meaning: "model of requests that name none",
        commands: PLANS,
    },
    Variable {
        name: "MAX_LENGTH",
        meaning: "limit, in new tokens, of requests that set none",
        commands: PLANS,
    },
    Variable {
        name: "TEMPERATURE",
        meaning: "temperature of requests that set none",
        commands: PLANS,
    },
    Variable {
        name: "DEVICE",
        meaning: "what local models run on: cpu, cuda, tensorrt or coreml",
        commands: RUNS,
    },
    Variable {
        name: "METRICS_ENABLED",
        meaning: "true: /metrics on the API's listener too; false: on neither",
        commands: SERVES,
    },
    Variable {
        name: "RELAY_HOME",
        meaning: "folder with lib/ and models/; where it is set, they are looked for nowhere else",
        commands: RUNS,
    },
    Variable {
        name: "RELAY_ONNXRUNTIME",
        meaning: "ONNX Runtime's shared library",
        commands: RUNS,
    },
    Variable {
        name: "HTTP_PROXY",
        meaning: "proxy to remote endpoints at http:// addresses of other machines",
        commands: RUNS,
    },
    Variable {
        name: "HTTPS_PROXY",
        meaning: "the same, of https:// addresses",
        commands: RUNS,
    },
    Variable {
        name: "ALL_PROXY",
        meaning: "the same, where the two above are not set",
        commands: RUNS,
    },
    Variable {
        name: "NO_PROXY",
        meaning: "names, addresses and networks, by comma, that are asked without a proxy",
        commands: RUNS,
    },
    Variable {
        name: "SSL_CERT_FILE",
        meaning: "certificate authorities to trust in place of the machine's",
        commands: ASKS,
    },
    Variable {
        name: "SSL_CERT_DIR",
        meaning: "the same, as folders by colon",
        commands: ASKS,
    },
    Variable {
        name: "NO_COLOR",
        meaning: "set to anything: no colours on a terminal",
        commands: SERVES,
    },
];

/// What a variable holds; nothing where it is set to nothing.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Puts environment variables over the file. `HOST`, `PORT` and `LOG_LEVEL` are flags too.
pub fn apply(config: &mut Config, var: impl Fn(&str) -> Option<String>) -> anyhow::Result<()> {
    if let Some(model) = var("MODEL_NAME") {
        config.ingress.defaults.model = Some(model);
    }
    if let Some(device) = var("DEVICE") {
        let device = device.parse().map_err(anyhow::Error::msg).context("DEVICE")?;
        for worker in config.workers.iter_mut() {
            worker.device = device;
        }
    }
    if let Some(length) = parsed(&var, "MAX_LENGTH")? {
        config.ingress.defaults.max_tokens = Some(length);
    }
    if let Some(temperature) = parsed(&var, "TEMPERATURE")? {
        config.ingress.defaults.temperature = Some(temperature);
    }
    if let Some(enabled) = var("METRICS_ENABLED") {
        config.ops.metrics = flag("METRICS_ENABLED", &enabled)?;
        config.ingress.metrics_enabled = config.ops.metrics;
    }
    Ok(())
}

fn parsed<T: std::str::FromStr>(
    var: impl Fn(&str) -> Option<String>,
    name: &str,
) -> anyhow::Result<Option<T>> {
    let Some(text) = var(name) else { return Ok(None) };
    let value = text
        .parse()
        .map_err(|_| anyhow::anyhow!("{name}={text} is not a number"))?;
    Ok(Some(value))
}

fn flag(name: &str, text: &str) -> anyhow::Result<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => bail!("{name}={text}: use true or false"),
    }
}

#[cfg(test)]
mod tests {
    use relay_workers::models::Device;

    use super::*;
    use crate::load::parse_text;

    fn only(name: &'static str, value: &'static str) -> impl Fn(&str) -> Option<String> {
        move |asked| (asked == name).then(|| value.to_owned())
    }

    /// What the file says stands where the environment says nothing.
    #[test]
    fn the_old_names_go_before_the_file() {
        let file = "ingress: { defaults: { model: file, max_tokens: 1, temperature: 1.0 } }\n\
                    workers: { device: cuda }\nops: { metrics: true }\n";
        let with = |name, value| {
            let mut config = parse_text(file, |_| None).expect("it parses");
            apply(&mut config, only(name, value)).map(|()| config)
        };
        let settings = |config: &Config| {
            (
                config.ingress.defaults.model.clone().unwrap_or_default(),
                config.ingress.defaults.max_tokens,
                config.ingress.defaults.temperature,
                config.workers[0].device,
                (config.ops.metrics, config.ingress.metrics_enabled),
            )
        };
        let file = settings(&with("OTHER", "x").expect("nothing is set"));
        let cases = [
            (
                "MODEL_NAME",
                "relay-gpt2",
                ("relay-gpt2".to_owned(), file.1, file.2, file.3, file.4),
            ),
            (
                "MAX_LENGTH",
                "7",
                (file.0.clone(), Some(7), file.2, file.3, file.4),
            ),
            (
                "TEMPERATURE",
                "0.5",
                (file.0.clone(), file.1, Some(0.5), file.3, file.4),
            ),
            (
                "DEVICE",
                "cpu",
                (file.0.clone(), file.1, file.2, Device::Cpu, file.4),
            ),
            (
                "METRICS_ENABLED",
                "false",
                (file.0.clone(), file.1, file.2, file.3, (false, false)),
            ),
            (
                "METRICS_ENABLED",
                "true",
                (file.0.clone(), file.1, file.2, file.3, (true, true)),
            ),
        ];
        for (name, value, expected) in cases {
            assert_eq!(
                settings(&with(name, value).expect("it is good")),
                expected,
                "{name}"
            );
            assert_ne!(expected, file, "{name} is told from the file");
        }
    }

    /// Before, every client could read them.
    #[test]
    fn metrics_are_for_operators_unless_somebody_says_otherwise() {
        let config = Config::default();
        assert_eq!(
            (config.ops.metrics, config.ingress.metrics_enabled),
            (true, false)
        );
    }

    #[test]
    fn a_bad_value_is_named() {
        for (name, value, said) in [
            ("MAX_LENGTH", "many", "MAX_LENGTH=many is not a number"),
            ("TEMPERATURE", "hot", "TEMPERATURE=hot is not a number"),
            (
                "METRICS_ENABLED",
                "perhaps",
                "METRICS_ENABLED=perhaps: use true or false",
            ),
            ("DEVICE", "abacus", "DEVICE"),
        ] {
            let error = apply(&mut Config::default(), only(name, value)).expect_err("it is bad");
            assert_eq!(error.to_string(), said);
        }
    }
}
