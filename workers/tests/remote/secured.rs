//! An endpoint behind TLS whose certificate a private authority has signed. The harness makes that authority.

use std::path::PathBuf;
use std::sync::Arc;

use relay_workers::testing::House;
use relay_workers::testing::scripted::{Reply, Scripted};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::scene::{DONE, STOP, TEXT, USAGE, completed};

/// The throw-away authority's folder.
fn authority() -> PathBuf {
    let servers = std::env::var("RELAY_SERVERS_DIR");
    let servers = servers.expect("RELAY_SERVERS_DIR is not set: run `make test`, which makes an authority");
    PathBuf::from(servers).join("authority")
}

/// Ends TLS before an endpoint; its port.
async fn front_of(endpoint: &Scripted) -> u16 {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let certificates = CertificateDer::pem_file_iter(authority().join("server.pem")).unwrap();
    let certificates = certificates.map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(authority().join("server.key")).unwrap();
    let config = ServerConfig::builder().with_no_client_auth();
    let acceptor = TlsAcceptor::from(Arc::new(config.with_single_cert(certificates, key).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, behind) = (listener.local_addr().unwrap().port(), endpoint.address());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (acceptor, behind) = (acceptor.clone(), behind.clone());
            tokio::spawn(async move {
                // A client that does not trust us goes away in the middle.
                if let Ok(mut client) = acceptor.accept(client).await {
                    let mut endpoint = TcpStream::connect(behind).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut endpoint).await;
                }
            });
        }
    });
    port
}

/// A worker whose model stands at `https://HOST:PORT`, with one more line about it; and what stands behind the port.
async fn house(host: &str, line: &str) -> (House, Scripted) {
    let endpoint = Scripted::start(vec![Reply::events(&[TEXT, STOP, USAGE, DONE])])
        .await
        .unwrap();
    let port = front_of(&endpoint).await;
    let models = format!(
        "models:\n  m:\n    backend: openai\n    base_url: \"https://{host}:{port}/v1\"\n    upstream_model: theirs\n    \
         retries: 0\n    {line}\n"
    );
    (House::start(&models, |_| {}).await.unwrap(), endpoint)
}

fn trusts(file: &str) -> String {
    format!("root_certificates: {}", authority().join(file).display())
}

#[tokio::test]
async fn an_endpoint_that_a_private_authority_signed_answers_where_that_is_named() {
    for host in ["127.0.0.1", "localhost"] {
        let (mut house, _endpoint) = house(host, &trusts("ca.pem")).await;
        house.dispatch(&house.work("r-1", "m", "hi")).await.unwrap();
        let outcome = house.outcome().await.unwrap();
        assert_eq!(completed(&outcome).first_text(), "hello");
    }
}

#[tokio::test]
async fn an_authority_that_did_not_sign_it_is_told_with_what_to_mend_and_without_the_address() {
    for line in [trusts("other-ca.pem"), String::new()] {
        let (mut house, endpoint) = house("127.0.0.1", &line).await;
        house.dispatch(&house.work("r-1", "m", "hi")).await.unwrap();
        let returned = house.returned("r-1").await.unwrap();
        assert_eq!(
            (returned.code.as_str(), returned.begun),
            ("backend_unavailable", false)
        );
        let message = returned.message;
        assert!(
            message.contains("name its authority in `root_certificates`"),
            "{message}"
        );
        assert!(!message.contains("127.0.0.1"), "{message}");
        assert_eq!(endpoint.asked().len(), 0, "nothing was sent to whom nobody knows");
    }
}

#[tokio::test]
async fn an_authority_that_cannot_be_read_is_refused_with_its_file() {
    let endpoint = "base_url: \"https://127.0.0.1:1/v1\"\n    upstream_model: theirs";
    for (endpoint, line, says) in [
        (
            endpoint.to_owned(),
            trusts("no-such.pem"),
            "no-such.pem cannot be read",
        ),
        (endpoint.to_owned(), trusts("password"), "password is no PEM file"),
        (
            endpoint.replace("https", "http"),
            trusts("ca.pem"),
            "use https://",
        ),
    ] {
        let models = format!("models:\n  m:\n    backend: openai\n    {endpoint}\n    {line}\n");
        let mut house = House::start(&models, |_| {}).await.unwrap();
        house.dispatch(&house.work("r-1", "m", "hi")).await.unwrap();
        house.returned("r-1").await.unwrap();
        let said = house.runtime.health.told()["models"].clone();
        assert!(
            said.contains("root_certificates: ") && said.contains(says),
            "{said}"
        );
    }
}
