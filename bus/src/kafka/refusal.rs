//! Why brokers turn a client away: librdkafka says it beside the answer, which is but a time-out.

use std::sync::Arc;

use parking_lot::Mutex;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::BusError;

/// What may be wrong where no broker ever answered.
const NEVER: &str =
    "no broker has answered yet: look at `bus.brokers`, and at `security.protocol` in `bus.properties`";

/// See the module. Its clones are one.
#[derive(Debug, Clone, Default)]
pub(super) struct Refusal(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    newest: Option<String>,
    /// A broker that answered once speaks as we do: what comes later is an outage.
    answered: bool,
}

impl Refusal {
    /// Takes in an error of the client that belongs to no request.
    pub(super) fn remember(&self, error: &KafkaError, reason: &str) {
        let mut state = self.0.lock();
        let cure = match error.rdkafka_error_code() {
            Some(Code::SSL) => "`security.protocol` and the `ssl.…` properties",
            // With TLS 1.3 a broker that does not like our certificate, or misses one, says so after the handshake.
            _ if reason.contains("SSL routines") && reason.contains("alert") => {
                "`ssl.certificate.location` and `ssl.key.location`"
            }
            Some(Code::Authentication | Code::SaslAuthenticationFailed) => {
                "`sasl.mechanism` and the credentials that belong to it"
            }
            _ => return,
        };
        let said = format!("{}; mend {cure} in `bus.properties`", first_line(reason));
        if state.newest.is_none() {
            // Once, not with every try: they go on for ever.
            tracing::warn!(reason = said, "Kafka's brokers cannot be connected to");
        }
        state.newest = Some(said);
    }

    /// A broker has answered.
    pub(super) fn forget(&self) {
        *self.0.lock() = State {
            newest: None,
            answered: true,
        };
    }

    /// `error`, and why, where brokers said so.
    pub(super) fn explain(&self, error: BusError) -> BusError {
        let BusError::Unavailable(reason) = error else {
            return error;
        };
        let state = self.0.lock();
        BusError::Unavailable(match &state.newest {
            Some(refusal) => format!("{reason}: {refusal}"),
            // A broker with TLS hangs up on whoever speaks without: librdkafka cannot tell that from an outage.
            None if !state.answered => format!("{reason}; {NEVER}"),
            None => reason,
        })
    }
}

/// OpenSSL adds a line for each of its layers.
fn first_line(reason: &str) -> &str {
    reason.lines().next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(refusal: &Refusal) -> String {
        refusal
            .explain(BusError::Unavailable("timed out".to_owned()))
            .to_string()
    }

    #[test]
    fn a_client_that_is_turned_away_says_why_until_a_broker_answers() {
        let refusal = Refusal::default();
        let down = KafkaError::Global(Code::AllBrokersDown);
        refusal.remember(&down, "1/1 brokers are down");
        assert_eq!(
            told(&refusal),
            "the bus is unavailable: timed out; no broker has answered yet: look at `bus.brokers`, and at `security.protocol` in \
             `bus.properties`"
        );
        let wrong = KafkaError::Global(Code::Authentication);
        refusal.remember(&wrong, "sasl_ssl://h:1: Authentication failed (after 5ms)\nagain");
        assert_eq!(
            told(&refusal),
            "the bus is unavailable: timed out: sasl_ssl://h:1: Authentication failed (after 5ms); mend `sasl.mechanism` and \
             the credentials that belong to it in `bus.properties`"
        );
        refusal.forget();
        assert_eq!(told(&refusal), "the bus is unavailable: timed out");
        let lost = KafkaError::Global(Code::BrokerTransportFailure);
        refusal.remember(
            &lost,
            "ssl://h:1: Receive failed: SSL routines::unexpected eof while reading",
        );
        assert_eq!(told(&refusal), "the bus is unavailable: timed out", "an outage");
        refusal.remember(
            &lost,
            "ssl://h:1: Receive failed: SSL routines::sslv3 alert bad certificate",
        );
        assert!(
            told(&refusal)
                .ends_with("mend `ssl.certificate.location` and `ssl.key.location` in `bus.properties`")
        );
    }
}
