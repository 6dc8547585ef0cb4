//! Postgres with TLS, a certificate of ours and a password: entered with the right ones, and told what to mend with others. The
//! harness starts Debian's, with an authority of its own; the pinned one is built without TLS.

use std::time::{Duration, Instant};

use relay_store::{Database, PostgresOptions, PostgresStore, StoreError};

/// Far above what anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

const OURS: &str = "sslcert=DIR/client.pem&sslkey=DIR/client.key";

fn environment(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run `make test`, which starts Postgres"))
}

fn authority() -> String {
    format!("{}/authority", environment("RELAY_SERVERS_DIR"))
}

fn password() -> String {
    std::fs::read_to_string(format!("{}/password", authority())).expect("the harness wrote it")
}

/// A store at a URL with these parameters, in which `DIR` is the authority's folder.
fn store(password: &str, parameters: &str) -> PostgresStore {
    let (server, parameters) = (
        environment("RELAY_POSTGRES_TLS"),
        parameters.replace("DIR", &authority()),
    );
    let url = format!("postgres://relay:{password}@{server}?{parameters}");
    PostgresStore::connect(PostgresOptions::new(url)).expect("a URL")
}

/// Probes until it says all of `cures`, or is reached where there are none.
async fn says(store: PostgresStore, cures: &[&str]) {
    let began = Instant::now();
    loop {
        let said = match store.probe().await {
            Ok(()) if cures.is_empty() => return,
            Err(StoreError::Unavailable(said)) => said,
            other => panic!("it can be mended while this process runs: {other:?}"),
        };
        assert!(!said.contains("wrong-secret"), "{said}");
        if !cures.is_empty() && cures.iter().all(|cure| said.contains(cure)) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{said} does not say {cures:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn tls_a_certificate_and_a_password_are_let_in() {
    let verified = format!("sslmode=verify-full&sslrootcert=DIR/ca.pem&{OURS}");
    says(store(&password(), &verified), &[]).await;
}

#[tokio::test]
async fn an_authority_that_did_not_sign_the_server_is_told_with_what_to_mend() {
    let foreign = format!("sslmode=verify-full&sslrootcert=DIR/other-ca.pem&{OURS}");
    says(
        store(&password(), &foreign),
        &["name its authority in the URL's `sslrootcert`"],
    )
    .await;
}

#[tokio::test]
async fn a_wrong_password_is_told_with_what_to_mend_and_without_it() {
    let verified = format!("sslmode=verify-full&sslrootcert=DIR/ca.pem&{OURS}");
    says(
        store("wrong-secret", &verified),
        &["password authentication failed", "mend user, password"],
    )
    .await;
}

#[tokio::test]
async fn a_server_that_wants_tls_or_a_certificate_of_ours_says_so() {
    says(
        store(&password(), "sslmode=disable"),
        &["no encryption", "`sslmode`"],
    )
    .await;
    let nameless = "sslmode=verify-full&sslrootcert=DIR/ca.pem";
    says(store(&password(), nameless), &["certificate", "`sslcert`"]).await;
}

#[tokio::test]
async fn a_file_that_is_not_there_is_told() {
    let absent = format!("sslmode=verify-full&sslrootcert=DIR/no-such.pem&{OURS}");
    says(store(&password(), &absent), &["`sslrootcert`", "must be there"]).await;
}
