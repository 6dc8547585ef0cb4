//! librdkafka's errors as ours.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::BusError;

/// What failed while something was done with `topic`.
pub(super) fn of(error: &KafkaError, topic: &str) -> BusError {
    match error {
        // librdkafka quotes the value, which may be a secret.
        KafkaError::ClientConfig(_, _, name, _) => BusError::Fatal(format!(
            "librdkafka does not know the property `{name}` or does not allow its value; mend `bus.properties`"
        )),
        // A file that is not there, a key that is none, properties that do not fit together.
        KafkaError::ClientCreation(_) => BusError::Fatal(format!("{error}; mend `bus.properties`")),
        KafkaError::AdminOpCreation(_) | KafkaError::Nul(_) => BusError::Fatal(error.to_string()),
        _ => of_code(error.rdkafka_error_code(), error, topic),
    }
}

fn of_code(code: Option<Code>, error: &KafkaError, topic: &str) -> BusError {
    match code {
        Some(Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition) => {
            BusError::UnknownTopic(topic.to_owned())
        }
        // Credentials and rights can be mended while we run, and brokers come back: all of it is waited for.
        _ => BusError::Unavailable(error.to_string()),
    }
}

/// The same for a bare code.
pub(super) fn of_bare(code: Code, topic: &str) -> BusError {
    of(&KafkaError::Global(code), topic)
}

/// What a consumer's user must hear of. librdkafka mends the rest by itself: lost connections to single brokers, offsets
/// out of range, a group that has to be joined again.
pub(super) fn of_consumption(error: &KafkaError) -> Option<BusError> {
    match error {
        KafkaError::MessageConsumptionFatal(_) => Some(BusError::Fatal(error.to_string())),
        KafkaError::MessageConsumption(Code::UnknownTopicOrPartition | Code::UnknownTopic) => {
            Some(BusError::UnknownTopic("of this subscription".to_owned()))
        }
        KafkaError::MessageConsumption(
            Code::AllBrokersDown
            | Code::Authentication
            | Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::SaslAuthenticationFailed,
        ) => Some(BusError::Unavailable(error.to_string())),
        _ => None,
    }
}
