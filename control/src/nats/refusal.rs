//! Why the newest try to connect failed, in words that say what mends it.

use std::sync::Arc;

use parking_lot::Mutex;
use relay_settings::TlsFault;

/// See the module.
#[derive(Clone, Default)]
pub(super) struct Refusal(Arc<Mutex<Option<String>>>);

impl Refusal {
    /// A try begins; `error` is why the one before failed, nothing where it did not.
    pub(super) fn remember(&self, error: Option<String>) {
        let mut newest = self.0.lock();
        // Once, not with every try: they go on for ever.
        let is_new = *newest != error;
        if let Some(mistake) = error.as_deref().filter(|_| is_new).and_then(mistake) {
            tracing::warn!(reason = mistake, "NATS cannot be connected to");
        }
        *newest = error;
    }

    /// `away`, and why.
    pub(super) fn explain(&self, away: &str) -> String {
        match &*self.0.lock() {
            Some(error) => format!("{away}: {}", meaning(error)),
            None => away.to_owned(),
        }
    }
}

fn meaning(error: &str) -> String {
    mistake(error).unwrap_or_else(|| error.to_owned())
}

/// What the operator must mend, where waiting does not.
fn mistake(error: &str) -> Option<String> {
    let refused = ["uthorization", "uthentication"];
    if let Some(fault) = TlsFault::of(error) {
        return Some(fault.to_string());
    }
    let cure = "NATS refuses who we are; mend `control.user` and `control.password`, `control.token` or `control.credentials_file`";
    refused
        .iter()
        .any(|word| error.contains(word))
        .then(|| cure.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_nats_cannot_be_reached_says_what_to_mend() {
        let refusal = Refusal::default();
        assert_eq!(refusal.explain("lost"), "lost");
        for (error, cure) in [
            (
                "authorization violation: nats: authorization violation",
                "`control.user`",
            ),
            (
                "TLS error: invalid peer certificate: UnknownIssuer",
                "`root_certificates`",
            ),
            (
                "IO error: Connection refused (os error 111)",
                "Connection refused",
            ),
        ] {
            refusal.remember(Some(error.to_owned()));
            let said = refusal.explain("lost");
            assert!(said.starts_with("lost: ") && said.contains(cure), "{said}");
        }
        refusal.remember(None);
        assert_eq!(refusal.explain("lost"), "lost", "a try that follows a connection");
    }
}
