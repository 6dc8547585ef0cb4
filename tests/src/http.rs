//! One HTTP client for every proof.

use std::sync::LazyLock;

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
