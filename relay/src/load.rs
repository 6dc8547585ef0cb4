//! The configuration as it applies: defaults, then the file, then the environment, then the flags.

use std::cell::RefCell;
use std::collections::BTreeSet;

use crate::cli::Settings;
use crate::config::Config;
use crate::environment;
use crate::findings::{FileRead, Finding, Findings, Grade};

/// Settings that stand somewhere else now, so that who has an old file is told where.
pub(crate) const MOVED: &[(&str, &str)] = &[
    ("grace", "drain_timeout"),
    ("grace_ms", "drain_timeout"),
    ("ingress.grace", "/drain_timeout"),
    ("ingress.grace_ms", "/drain_timeout"),
    ("workers.grace", "/drain_timeout"),
    ("workers.grace_ms", "/drain_timeout"),
    ("scheduler.drain", "/drain_timeout"),
    ("scheduler.drain_ms", "/drain_timeout"),
    ("bus.epoch_bytes", "segment_size"),
    ("bus.epoch_size", "segment_size"),
    ("bus.epoch_age_ms", "segment_age"),
    ("bus.epoch_age", "segment_age"),
    ("bus.cache_bytes", ""),
    ("bus.cache_size", ""),
    ("bus.journal_bytes", ""),
    ("bus.journal_size", ""),
    ("bus.record_syncs", ""),
    ("ingress.max_body_bytes", "limits.max_body"),
    ("ingress.max_connections", "limits.max_connections"),
    ("ingress.header_timeout_ms", "timeouts.headers"),
    ("ingress.body_timeout_ms", "timeouts.body"),
    ("ingress.max_in_flight", "limits.max_in_flight"),
    (
        "ingress.max_in_flight_per_tenant",
        "limits.max_in_flight_per_tenant",
    ),
    ("ingress.retry_after_ms", "limits.retry_after"),
    ("ingress.accept_timeout_ms", "timeouts.accept"),
    ("ingress.default_deadline_ms", "deadlines.default"),
    ("ingress.max_deadline_ms", "deadlines.longest"),
    ("ingress.deadline_grace_ms", "deadlines.grace"),
    ("ingress.keep_alive_ms", "timeouts.keep_alive"),
    ("ingress.cancel_every_ms", "answers.cancel_every"),
    ("ingress.ask_timeout_ms", "timeouts.ask"),
    ("ingress.gap_ms", "answers.gap"),
    ("ingress.silence_ms", "answers.silence"),
    ("ingress.keyed_silence_ms", "answers.keyed_silence"),
    ("ingress.max_unread_bytes", "limits.max_unread"),
    ("ingress.refused_per_second", "limits.refusals_per_second"),
    ("ingress.probe_every_ms", "cluster.probe_every"),
    ("ingress.worker_stale_ms", "cluster.worker_stale"),
    ("ingress.default_model", "defaults.model"),
    ("ingress.default_max_tokens", "defaults.max_tokens"),
    ("ingress.default_temperature", "defaults.temperature"),
    ("scheduler.tenant_weights", "weights.tenants"),
    ("scheduler.short_weight", "weights.short"),
    ("scheduler.long_weight", "weights.long"),
    ("scheduler.batch_weight", "weights.batch"),
    ("scheduler.max_waiting", "limits.max_waiting"),
    (
        "scheduler.max_waiting_per_tenant",
        "limits.max_waiting_per_tenant",
    ),
    ("scheduler.max_body_bytes", "limits.max_bodies"),
    ("scheduler.max_unpublished_bytes", "limits.max_unpublished"),
    ("scheduler.dead_letter_bytes", "limits.max_dead_letter"),
    ("scheduler.max_attempts", "leases.max_attempts"),
    ("scheduler.lost_after_ms", "leases.lost_after"),
    ("scheduler.fresh_ms", "leases.fresh"),
    ("scheduler.fence_timeout_ms", "leases.fence_timeout"),
    ("scheduler.heartbeat_ms", "leadership.heartbeat"),
    ("scheduler.suspect_after_ms", "leadership.suspect_after"),
    ("scheduler.self_fence_after_ms", "leadership.self_fence_after"),
    ("scheduler.snapshot_every_ms", "leadership.snapshot_every"),
    ("scheduler.snapshot_every_changes", "leadership.snapshot_changes"),
    ("scheduler.ended_overlap", "leadership.ended_overlap"),
    ("scheduler.ended_remembered", "remembered.ended"),
    ("scheduler.cancelled_remembered", "remembered.cancelled"),
    ("scheduler.tenants_remembered", "remembered.tenants"),
    ("scheduler.pool_status_ms", "pool_status_every"),
    ("cache_service.redis.breaker_failures", "breaker.failures"),
];

/// Settings that are paths: in a file they are relative to that file.
pub(crate) const PATHS: &[&str] = &[
    "data",
    "topics",
    "planner.policy",
    "workers.models",
    "workers.onnxruntime",
    "control.credentials_file",
    "control.root_certificates",
    "control.client_certificate",
    "control.client_key",
    "cache_service.redis.root_certificates",
    "cache_service.redis.client_certificate",
    "cache_service.redis.client_key",
];

/// Those in the query of Postgres's URL.
const PATHS_IN_URL: [&str; 3] = ["store.url?sslrootcert", "store.url?sslcert", "store.url?sslkey"];

/// Whether a value is a path. librdkafka's stand under keys that end in `.location`, where `probe` is a word of its own.
fn is_path(key: &str, value: &str) -> bool {
    let of_kafka = key.starts_with("bus.properties.") && key.ends_with(".location") && value != "probe";
    PATHS.contains(&key) || PATHS_IN_URL.contains(&key) || of_kafka
}

/// What is read of the configuration, as far as it can be used, and all that is wrong with it.
pub(crate) struct Loaded {
    pub config: Config,
    /// Where it was named and could be read.
    pub file: Option<FileRead<Option<Config>>>,
    pub findings: Vec<Finding>,
    /// Whether the file, if one is named, could be read.
    pub is_read: bool,
}

#[cfg(test)]
impl Loaded {
    /// As if no file had said it.
    pub fn of(config: Config) -> Self {
        Self {
            config,
            file: None,
            findings: Vec::new(),
            is_read: true,
        }
    }
}

/// Defaults, then the file, then the environment, then the flags.
pub(crate) fn read(settings: &Settings) -> Loaded {
    let mut loaded = Loaded {
        config: Config::default(),
        file: None,
        findings: Vec::new(),
        is_read: true,
    };
    if let Some(path) = &settings.file.config {
        match relay_settings::read_file::<Option<Config>>(path, MOVED, is_path) {
            Err(error) => {
                loaded
                    .findings
                    .push(Finding::said(error.to_string(), Grade::Refused));
                loaded.is_read = false;
                return loaded;
            }
            Ok(mut reading) => {
                loaded.is_read = reading.value.is_some();
                loaded.config = reading.value.take().flatten().unwrap_or_default();
                let name = path.display().to_string();
                let file = FileRead { name, reading };
                loaded.findings.extend(file.mistakes());
                loaded.file = Some(file);
            }
        }
    }
    let found = environment(&mut loaded.config, environment::variable);
    loaded.findings.extend(found);
    apply_settings(&mut loaded.config, settings);
    loaded
}

/// Puts the environment over the file. Each variable that is asked for is looked at, so the last one is who is refused.
fn environment(config: &mut Config, var: impl Fn(&str) -> Option<String>) -> Vec<Finding> {
    let refused: RefCell<BTreeSet<String>> = RefCell::default();
    let mut found = Vec::new();
    loop {
        let last = RefCell::default();
        let applied = environment::apply(config, |name| {
            name.clone_into(&mut last.borrow_mut());
            let is_refused = refused.borrow().contains(name);
            var(name).filter(|_| !is_refused)
        });
        let Err(error) = applied else { return found };
        found.push(Finding::said(format!("{error:#}"), Grade::Refused));
        if !refused.borrow_mut().insert(last.into_inner()) {
            return found;
        }
    }
}

/// The configuration.
///
/// # Errors
/// [`Findings`]: all that is wrong with it.
pub(crate) fn load(settings: &Settings) -> Result<Config, Findings> {
    let loaded = read(settings);
    if loaded.findings.is_empty() {
        return Ok(loaded.config);
    }
    Err(Findings(loaded.findings))
}

/// A file's text; an empty one means the defaults.
#[cfg(test)]
pub(crate) fn parse_text(
    text: &str,
    var: impl Fn(&str) -> Option<String>,
) -> Result<Config, relay_settings::Mistake> {
    let config: Option<Config> = relay_settings::Document::parse(text)?
        .expanded(var)?
        .read_moved(MOVED)?;
    Ok(config.unwrap_or_default())
}

/// `clap` has already put the flag before the environment variable of the same setting.
fn apply_settings(config: &mut Config, settings: &Settings) {
    let Settings {
        api, process, log, ..
    } = settings;
    let Config { ingress, ops, .. } = config;
    ingress.host = api.host.clone().unwrap_or(std::mem::take(&mut ingress.host));
    ingress.port = api.port.unwrap_or(ingress.port);
    ops.port = settings.operators.admin_port.unwrap_or(ops.port);
    if let Some(data) = &settings.data.data {
        config.data.clone_from(data);
    }
    config.drain_timeout = process.drain_timeout.map_or(config.drain_timeout, |time| *time);
    config.lame_duck = process.lame_duck.map(|time| *time).or(config.lame_duck);
    config.instance = process.instance.clone().or(config.instance.take());
    config.log.level = log.log_level.clone().or(config.log.level.take());
    config.log.format = log.log_format.or(config.log.format);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cli::Cli;
    use crate::seams::StoreConfig;

    #[test]
    fn all_variables_that_cannot_be_read_are_told_at_once() {
        let var = |name: &str| match name {
            "MAX_LENGTH" => Some("many".to_owned()),
            "TEMPERATURE" => Some("0.5".to_owned()),
            "METRICS_ENABLED" => Some("perhaps".to_owned()),
            _ => None,
        };
        let mut config = Config::default();
        let found = environment(&mut config, var);
        let told: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "MAX_LENGTH=many is not a number",
                "METRICS_ENABLED=perhaps: use true or false"
            ]
        );
        assert_eq!(config.ingress.defaults.temperature, Some(0.5));
    }

    #[test]
    fn the_certificates_in_the_url_of_postgres_are_relative_to_the_file_too() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("relay.yaml");
        let url = |of: &str| {
            format!("postgres://u@h/d?sslrootcert={of}ca.pem&sslcert={of}us.pem&sslkey={of}us.key")
        };
        let text = format!("store: {{ kind: postgres, url: '{}' }}\n", url("tls/"));
        std::fs::write(&file, text).expect("a file");
        let mut settings = Settings::default();
        settings.file.config = Some(file);
        let StoreConfig::Postgres(postgres) = load(&settings).expect("it is good").store else {
            unreachable!("it says postgres")
        };
        assert_eq!(
            postgres.url.expose(),
            url(&format!("{}/tls/", folder.path().display()))
        );
    }

    #[test]
    fn who_is_not_all_is_a_lame_duck_for_five_seconds_or_a_quarter_of_a_shorter_drain() {
        let lame_duck = |text: &str, hosted: &str| {
            let config = parse_text(text, |_| None).expect("it parses");
            config.lame_duck(&hosted.parse().expect("services"))
        };
        let alone = |text: &str| lame_duck(text, "planner");
        assert_eq!(alone("drain_timeout: 1m"), Duration::from_secs(5));
        assert_eq!(alone("drain_timeout: 4s"), Duration::from_secs(1));
        assert_eq!(alone("lame_duck: 7s"), Duration::from_secs(7));
        assert_eq!(lame_duck("{}", "planner,cache-service"), Duration::from_secs(5));
        let all = "ingress,planner,cache-service,scheduler,workers,trace-sink";
        assert_eq!(lame_duck("{}", all), Duration::ZERO);
    }

    #[test]
    fn the_times_of_a_drain_on_the_command_line_go_before_the_file() {
        let words = ["relay", "up", "--drain-timeout", "1m 30s", "--lame-duck", "2s"];
        let mut config = parse_text("{ drain_timeout: 5s, lame_duck: 1s }", |_| None).expect("it parses");
        let asked = Cli::read(words).expect("it is good").command.settings();
        apply_settings(&mut config, &asked);
        assert_eq!(
            (config.drain_timeout, config.lame_duck),
            (Duration::from_secs(90), Some(Duration::from_secs(2)))
        );
    }
}
