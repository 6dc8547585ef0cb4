//! Settings from the environment, under the names that older gateways use, and `${NAME}` in configuration files.

use anyhow::{Context, bail};

use crate::config::Config;

/// Puts environment variables over the file. `HOST`, `PORT` and `LOG_LEVEL` are flags too: see `cli.rs`.
pub fn apply(config: &mut Config, var: impl Fn(&str) -> Option<String>) -> anyhow::Result<()> {
    if let Some(model) = var("MODEL_NAME") {
        config.ingress.default_model = Some(model);
    }
    if let Some(device) = var("DEVICE") {
        config.workers.device = device.parse().map_err(anyhow::Error::msg).context("DEVICE")?;
    }
    if let Some(length) = parsed(&var, "MAX_LENGTH")? {
        config.ingress.default_max_tokens = Some(length);
    }
    if let Some(temperature) = parsed(&var, "TEMPERATURE")? {
        config.ingress.default_temperature = Some(temperature);
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

/// Replaces `${NAME}` by the variable, so that secrets and addresses stay out of files. `${NAME:-default}` has a default.
pub fn expand(text: &str, var: impl Fn(&str) -> Option<String>) -> anyhow::Result<String> {
    let mut expanded = String::with_capacity(text.len());
    for (number, line) in text.lines().enumerate() {
        // Comments may show ${NAME} without meaning it.
        let (code, comment) = comment(line).map_or((line, ""), |at| line.split_at(at));
        let mut rest = code;
        while let Some(start) = rest.find("${") {
            let end = rest[start..]
                .find('}')
                .with_context(|| format!("line {}: `${{` without `}}`", number + 1))?;
            let inside = &rest[start + 2..start + end];
            let (name, default) = inside
                .split_once(":-")
                .map_or((inside, None), |(name, value)| (name, Some(value)));
            let value = var(name).or(default.map(str::to_owned)).with_context(|| {
                format!("line {}: the environment variable {name} is not set", number + 1)
            })?;
            expanded.push_str(&rest[..start]);
            expanded.push_str(&value);
            rest = &rest[start + end + 1..];
        }
        expanded.push_str(rest);
        expanded.push_str(comment);
        expanded.push('\n');
    }
    Ok(expanded)
}

/// Where a line's comment begins: at a `#` that opens the line or follows a blank, as YAML has it. Passwords may hold a `#`.
fn comment(line: &str) -> Option<usize> {
    line.match_indices('#')
        .map(|(at, _)| at)
        .find(|at| line[..*at].chars().next_back().is_none_or(char::is_whitespace))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(name: &'static str, value: &'static str) -> impl Fn(&str) -> Option<String> {
        move |asked| (asked == name).then(|| value.to_owned())
    }

    #[test]
    fn variables_are_replaced_outside_comments() {
        let expanded = expand("url: ${URL} # like ${OTHER}\n", only("URL", "nats://x")).expect("URL is set");
        assert_eq!(expanded, "url: nats://x # like ${OTHER}\n");
        assert_eq!(
            expand("url: a#b${URL}", only("URL", "c")).expect("URL is set"),
            "url: a#bc\n"
        );
        assert_eq!(
            expand("a: ${A:-1}\n", only("B", "")).expect("it has a default"),
            "a: 1\n"
        );
    }

    #[test]
    fn a_missing_variable_is_named_with_its_line() {
        let error = expand("a: 1\nb: ${MISSING}\n", only("X", "")).expect_err("MISSING is not set");
        assert_eq!(
            error.to_string(),
            "line 2: the environment variable MISSING is not set"
        );
    }

    #[test]
    fn the_old_names_reach_their_settings_and_bad_values_are_named() {
        let mut config = Config::default();
        apply(&mut config, only("MODEL_NAME", "relay-gpt2")).expect("a name is a name");
        assert_eq!(config.ingress.default_model.as_deref(), Some("relay-gpt2"));
        apply(&mut config, only("METRICS_ENABLED", "false")).expect("false is a flag");
        assert!(!config.ops.metrics);
        let error = apply(&mut config, only("MAX_LENGTH", "many")).expect_err("many is no number");
        assert_eq!(error.to_string(), "MAX_LENGTH=many is not a number");
    }
}
