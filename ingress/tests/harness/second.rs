//! Another ingress on the same log and control seam.

use std::net::SocketAddr;

use relay_ingress::{Config, Deps};
use relay_runner::{Identity, Runtime};
use tokio::net::TcpListener;

use super::{Harness, client, eventually, identity, ms, runtime};

pub struct Second {
    pub address: SocketAddr,
    runtime: Runtime,
}

impl Second {
    /// Starts it and waits until it is ready.
    pub async fn beside(harness: &Harness) -> Self {
        let mut config = Config::default();
        config.batch.enabled = false;
        config.cluster.probe_every = ms(20);
        let runtime = runtime(harness.bus.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let deps = Deps {
            runtime: runtime.clone(),
            identity: Identity {
                instance: "ingress-2".into(),
                ..identity()
            },
            control: harness.control.clone(),
            listener,
        };
        tokio::spawn(relay_ingress::run(config, deps));
        let second = Self { address, runtime };
        eventually(async || {
            let ready = client::send(second.address, "GET", "/readyz", &[], b"").await;
            (ready.status == 200).then_some(())
        })
        .await;
        second
    }

    /// `POST /v1/chat/completions`.
    pub async fn chat(&self, headers: &[(&str, &str)], body: &str) -> client::Response {
        let path = "/v1/chat/completions";
        client::send(self.address, "POST", path, headers, body.as_bytes()).await
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        self.runtime.shutdown.stop();
    }
}
