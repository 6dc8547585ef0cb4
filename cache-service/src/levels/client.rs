//! The client of Redis: its address, its certificates, and why it is not let in.

use redis::{Client, ClientTlsConfig, ErrorKind, RedisError, TlsCertificates};
use relay_settings::{Certificates, TlsFault};

use crate::config::RedisConfig;
use crate::error::Error;

/// The client that `config` asks for; connects to nothing yet.
pub(super) fn of(config: &RedisConfig) -> Result<Client, Error> {
    let url = config.url.expose();
    let refused = |error: RedisError| Error::RedisUrl(error.category().to_owned());
    let files = [
        &config.root_certificates,
        &config.client_certificate,
        &config.client_key,
    ];
    let [authorities, certificate, key] = files.map(Option::as_deref);
    let certificates = Certificates::read(authorities, certificate, key).map_err(Error::RedisCertificates)?;
    let plain = Client::open(url).map_err(refused)?;
    if certificates.authorities.is_none() && certificates.ours.is_none() {
        return Ok(plain);
    }
    if !url.starts_with("rediss:") {
        let wrong = "url has no TLS, for which the certificates beside it are; use rediss://";
        return Err(Error::RedisCertificates(wrong.to_owned()));
    }
    let client_tls = certificates
        .ours
        .map(|(client_cert, client_key)| ClientTlsConfig {
            client_cert,
            client_key,
        });
    let certificates = TlsCertificates {
        client_tls,
        root_cert: certificates.authorities,
    };
    // What it says of a bad file holds none of it, and a key is never quoted.
    Client::build_with_tls(url, certificates).map_err(|error| Error::RedisCertificates(error.to_string()))
}

/// Refuses what no client of Redis can be made of.
pub fn check_redis(config: &RedisConfig) -> Result<(), Error> {
    of(config).map(drop)
}

/// Connects once, to see whether Redis answers and lets us in; otherwise why not, in words that hold no secret.
pub async fn reach_redis(config: &RedisConfig) -> Result<(), String> {
    let client = of(config).map_err(|error| error.to_string())?;
    let connected = client.get_multiplexed_async_connection().await;
    let mut connection = connected.map_err(|error| why_not(&error))?;
    let answered: Result<(), RedisError> = redis::cmd("PING").exec_async(&mut connection).await;
    answered.map_err(|error| why_not(&error))
}

/// Why there is no connection, in words that hold no address.
pub(super) fn why_not(error: &RedisError) -> String {
    if error.is_connection_refusal() {
        return "the connection is refused".to_owned();
    }
    if error.kind() == ErrorKind::AuthenticationFailed || matches!(error.code(), Some("NOAUTH" | "WRONGPASS"))
    {
        return "Redis refuses who we are; mend user and password in `cache_service.redis.url`".to_owned();
    }
    let fault = TlsFault::of(&error.to_string());
    fault.map_or_else(|| error.category().to_owned(), |fault| fault.to_string())
}
