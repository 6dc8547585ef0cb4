//! Reads a body within its bounds.

use std::error::Error as _;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError};

use super::state::Bodies;
use crate::refusal::Refusal;

/// Longest wait for the rest of a body that is refused.
const LINGER: Duration = Duration::from_secs(1);

/// The whole body.
///
/// # Errors
/// Where it is too large, too slow, or ends too early.
pub async fn read(body: Body, bounds: Bodies) -> Result<Bytes, Refusal> {
    let Bodies { most_bytes, timeout } = bounds;
    let announced = body.size_hint().exact();
    if announced.is_some_and(|length| length > most_bytes as u64) {
        let _ = tokio::time::timeout(LINGER, discard(body, 8 * most_bytes)).await;
        return Err(Refusal::too_large(most_bytes));
    }
    match tokio::time::timeout(timeout, axum::body::to_bytes(body, most_bytes)).await {
        Err(_) => Err(Refusal::slow_body(timeout)),
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error))
            if error
                .source()
                .is_some_and(<dyn std::error::Error>::is::<LengthLimitError>) =>
        {
            Err(Refusal::too_large(most_bytes))
        }
        Ok(Err(_)) => Err(Refusal::invalid(
            "incomplete_body",
            None,
            "the body ended before it was complete",
        )),
    }
}

/// Reads a refused body to its end, within bounds: a client that is still sending would else meet a closed connection, not
/// the answer.
async fn discard(mut body: Body, most: usize) {
    let mut left = most;
    while let Some(Ok(frame)) = body.frame().await {
        left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        if left == 0 {
            return;
        }
    }
}
