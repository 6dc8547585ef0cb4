//! How NATS is reached.

use std::path::PathBuf;
use std::time::Duration;

use async_nats::ConnectOptions;
use relay_schemas::Secret;
use relay_settings::{ByteSize, Certificates};
use serde::Deserialize;

use crate::api::ControlError;

/// Where NATS is, how it is entered, and the limits towards it.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NatsOptions {
    /// `nats://host:port` or `tls://host:port`, several separated by commas; may hold `user:password@`.
    pub url: Secret,
    /// Credentials file (`.creds`: user JWT and key), as managed NATS hands them out.
    pub credentials_file: Option<PathBuf>,
    /// User, with [`NatsOptions::password`].
    pub user: Option<String>,
    /// Password of [`NatsOptions::user`].
    pub password: Option<Secret>,
    /// Token.
    pub token: Option<Secret>,
    /// Refuses to go on without TLS.
    pub tls_required: bool,
    /// Starts with TLS at once, for servers that are set so.
    pub tls_first: bool,
    /// Certificate authorities in a PEM file, instead of the machine's.
    pub root_certificates: Option<PathBuf>,
    /// Our certificate, PEM, with [`NatsOptions::client_key`].
    pub client_certificate: Option<PathBuf>,
    /// Its key, PEM.
    pub client_key: Option<PathBuf>,
    /// The connection's name in NATS's own monitoring.
    pub name: String,
    /// How often the connection is tested; it counts as dead after two tests without an answer.
    #[serde(with = "humantime_serde")]
    pub ping_interval: Duration,
    /// The longest one try to connect may take.
    #[serde(with = "humantime_serde")]
    pub connection_timeout: Duration,
    /// The longest pause between two tries. Tries go on for ever.
    #[serde(with = "humantime_serde")]
    pub reconnect_max: Duration,
    /// The longest a publish waits for room in the client.
    #[serde(with = "humantime_serde")]
    pub publish_timeout: Duration,
    /// The longest a probe, or the confirmation of a subscription, takes.
    #[serde(with = "humantime_serde")]
    pub probe_timeout: Duration,
    /// Most messages that wait for one listener; the next ones are lost, and the listener is told.
    pub capacity: usize,
    /// Most bytes of them, whatever their number.
    pub capacity_size: ByteSize,
    /// Most messages that wait in the client to be sent.
    pub send_capacity: usize,
    /// Most bytes of them, whatever their number.
    pub send_capacity_size: ByteSize,
}

impl Default for NatsOptions {
    fn default() -> Self {
        Self {
            url: "nats://127.0.0.1:4222".into(),
            credentials_file: None,
            user: None,
            password: None,
            token: None,
            tls_required: false,
            tls_first: false,
            root_certificates: None,
            client_certificate: None,
            client_key: None,
            name: "relay".to_owned(),
            ping_interval: Duration::from_secs(2),
            connection_timeout: Duration::from_secs(2),
            reconnect_max: Duration::from_secs(1),
            publish_timeout: Duration::from_millis(500),
            probe_timeout: Duration::from_secs(1),
            capacity: 65_536,
            capacity_size: ByteSize::mib(64),
            send_capacity: 8_192,
            send_capacity_size: ByteSize::mib(64),
        }
    }
}

impl NatsOptions {
    /// The defaults, at `url`.
    pub fn new(url: impl Into<Secret>) -> Self {
        Self {
            url: url.into(),
            ..Self::default()
        }
    }

    /// The client's options.
    pub(super) async fn connect_options(&self) -> Result<ConnectOptions, ControlError> {
        self.check()?;
        let longest = self.reconnect_max;
        let mut connect = ConnectOptions::new()
            .name(&self.name)
            .retry_on_initial_connect()
            .max_reconnects(None)
            .reconnect_delay_callback(move |attempt| pause(attempt, longest))
            .ping_interval(self.ping_interval)
            .connection_timeout(self.connection_timeout)
            .client_capacity(self.send_capacity)
            .require_tls(self.tls_required);
        if self.tls_first {
            connect = connect.tls_first();
        }
        if let Some(file) = &self.credentials_file {
            connect = connect.credentials_file(file).await.map_err(|error| {
                ControlError::Unavailable(format!("credentials file {}: {error}", file.display()))
            })?;
        }
        if let (Some(user), Some(password)) = (&self.user, &self.password) {
            connect = connect.user_and_password(user.clone(), password.expose().to_owned());
        }
        if let Some(token) = &self.token {
            connect = connect.token(token.expose().to_owned());
        }
        if let Some(file) = &self.root_certificates {
            connect = connect.add_root_certificates(file.clone());
        }
        if let (Some(certificate), Some(key)) = (&self.client_certificate, &self.client_key) {
            connect = connect.add_client_certificate(certificate.clone(), key.clone());
        }
        Ok(connect)
    }

    /// Refuses now what the client would only come upon while it connects, or pass over in silence.
    pub fn check(&self) -> Result<(), ControlError> {
        let files = [
            &self.root_certificates,
            &self.client_certificate,
            &self.client_key,
        ];
        let [authorities, certificate, key] = files.map(Option::as_deref);
        let read = Certificates::read(authorities, certificate, key);
        read.map_err(|wrong| ControlError::Unavailable(format!("control.{wrong}")))?;
        if self.user.is_some() != self.password.is_some() {
            let wrong = "control.user and control.password need each other";
            return Err(ControlError::Unavailable(wrong.to_owned()));
        }
        Ok(())
    }
}

/// No wait before the first try, then 20 ms, doubling.
fn pause(attempt: usize, longest: Duration) -> Duration {
    let doublings = u32::try_from(attempt)
        .unwrap_or(u32::MAX)
        .saturating_sub(2)
        .min(16);
    let pause_ms = if attempt <= 1 { 0 } else { 20 << doublings };
    Duration::from_millis(pause_ms).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_to_connect_slow_down_and_never_stop() {
        let pauses =
            [1, 2, 3, 4, 8, 9, 1_000_000].map(|attempt| pause(attempt, Duration::from_secs(1)).as_millis());
        assert_eq!(pauses, [0, 20, 40, 80, 1_000, 1_000, 1_000]);
    }
}
