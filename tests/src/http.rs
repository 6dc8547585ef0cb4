//! One HTTP client for every proof.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(|| {
    // The client asks for a provider even where everything is plain HTTP; an installed one is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder()
        .tcp_nodelay(true)
        .pool_max_idle_per_host(1_024);
    builder.build().expect("a plain client can be built")
});

/// The client; clones share its connections.
pub fn client() -> reqwest::Client {
    CLIENT.clone()
}

/// `GET url`.
pub async fn get(url: &str) -> reqwest::Result<reqwest::Response> {
    CLIENT.get(url).send().await
}

/// Waits until `url` says so.
pub async fn until(url: &str, so: impl Fn(&str) -> bool) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let text = get(url).await?.text().await?;
        if so(&text) {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < deadline, "{url} never said so: {text}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
