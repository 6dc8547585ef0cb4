//! NATS with TLS, a certificate of ours and a password: entered with the right ones, and told what to mend with others. The harness
//! starts it, with an authority of its own.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use relay_control::{Control, ControlError, NatsControl, NatsOptions};

/// Far above what anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn environment(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `make test`, which starts NATS"))
}

/// A file of the throw-away authority.
fn file(name: &str) -> PathBuf {
    let folder = PathBuf::from(environment("RELAY_SERVERS_DIR")).join("authority");
    folder.join(name)
}

/// Everything right.
fn right() -> NatsOptions {
    let password = std::fs::read_to_string(file("password")).unwrap();
    NatsOptions {
        user: Some("relay".to_owned()),
        password: Some(password.into()),
        tls_required: true,
        root_certificates: Some(file("ca.pem")),
        client_certificate: Some(file("client.pem")),
        client_key: Some(file("client.key")),
        ..NatsOptions::new(format!("tls://{}", environment("RELAY_NATS_TLS")))
    }
}

/// Asks until the answer is there, or says all of `cures`.
async fn says(options: NatsOptions, cures: &[&str]) {
    let control = NatsControl::connect(options).await.unwrap();
    let began = Instant::now();
    loop {
        let said = control.probe().await.map_err(|error| error.to_string());
        if let Err(said) = &said {
            assert!(!said.contains("wrong-secret"), "{said}");
        }
        match &said {
            Ok(()) if cures.is_empty() => return,
            Err(said) if !cures.is_empty() && cures.iter().all(|cure| said.contains(cure)) => return,
            _ => assert!(began.elapsed() < PATIENCE, "{said:?} does not say {cures:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn tls_a_certificate_and_a_password_are_let_in() {
    says(right(), &[]).await;
}

#[tokio::test]
async fn an_authority_that_did_not_sign_the_server_is_told_with_what_to_mend() {
    let options = NatsOptions {
        root_certificates: Some(file("other-ca.pem")),
        ..right()
    };
    says(options, &["not trusted here", "`root_certificates`"]).await;
}

#[tokio::test]
async fn a_wrong_password_is_told_with_what_to_mend_and_without_it() {
    let options = NatsOptions {
        password: Some("wrong-secret".into()),
        ..right()
    };
    says(options, &["refuses who we are", "`control.password`"]).await;
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_of_ours_says_so() {
    let options = NatsOptions {
        client_certificate: None,
        client_key: None,
        ..right()
    };
    says(options, &["`client_certificate` and `client_key`"]).await;
}

#[tokio::test]
async fn files_that_are_not_there_and_half_pairs_are_refused_at_once() {
    let refused = |options| async {
        let Err(ControlError::Unavailable(said)) = NatsControl::connect(options).await else {
            panic!("it can never work");
        };
        said
    };
    let absent = NatsOptions {
        root_certificates: Some(file("no-such.pem")),
        ..right()
    };
    let said = refused(absent).await;
    assert!(
        said.starts_with("control.root_certificates: ") && said.contains("no-such.pem"),
        "{said}"
    );
    let keyless = NatsOptions {
        client_key: None,
        ..right()
    };
    assert_eq!(
        refused(keyless).await,
        "control.client_certificate needs client_key beside it"
    );
    let nameless = NatsOptions {
        user: None,
        ..right()
    };
    assert_eq!(
        refused(nameless).await,
        "control.user and control.password need each other"
    );
}
