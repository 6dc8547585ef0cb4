//! What both kinds of tenants ask with.

use std::time::Duration;

/// Whose requests an attack's are.
pub const TENANT: &str = "hostile";
/// Of the policy: an answer of more tokens takes the long lane.
pub const SHORT: u64 = 64;
/// Before the first token: what a light tenant's answer of one token takes.
pub const SERVICE: Duration = Duration::from_millis(200);
/// Slots of each lane.
pub const SLOTS: usize = 8;

/// A client with connections of its own.
pub fn client() -> anyhow::Result<reqwest::Client> {
    // The shared one has made a provider of TLS known.
    let _ = crate::http::client();
    let builder = reqwest::Client::builder()
        .tcp_nodelay(true)
        .timeout(Duration::from_secs(120));
    Ok(builder.build()?)
}
