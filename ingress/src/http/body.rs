//! Reads a body within its bounds, and never more of it than its tenant has room for.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http_body_util::BodyExt;
use relay_runner::Shutdown;
use relay_schemas::TenantId;

use super::state::Bodies;
use crate::admission::admit::Admission;
use crate::admission::limits::{Full, Limits, Permit};
use crate::refusal::Refusal;

/// Longest wait for the rest of a body that is refused.
const LINGER: Duration = Duration::from_secs(1);

/// The whole body, and the room that it takes.
///
/// # Errors
/// Where it is too large, too slow, or ends too early, where there is no room for it, and where the gateway begins to drain before it is
/// there: what is not accepted by then never will be, and holds no drain up.
pub async fn read(
    mut body: Body,
    tenant: &TenantId,
    admission: &Admission,
    bounds: Bodies,
) -> Result<(Vec<u8>, Permit), Refusal> {
    let shutdown = &admission.shutdown;
    let read = within(&mut body, tenant, &admission.bodies, bounds);
    let read = tokio::select! {
        biased;
        read = tokio::time::timeout(bounds.timeout, read) => {
            read.unwrap_or_else(|_| Err(Refusal::slow_body(bounds.timeout)))
        }
        () = shutdown.draining() => Err(admission.shutting_down()),
    };
    match read {
        Err(refusal) if matches!(refusal.status, 413 | 429 | 503) => {
            pass_over(body, bounds, shutdown).await;
            Err(refusal)
        }
        read => read,
    }
}

async fn within(
    body: &mut Body,
    tenant: &TenantId,
    held: &Arc<Limits>,
    bounds: Bodies,
) -> Result<(Vec<u8>, Permit), Refusal> {
    let Bodies { most_bytes, .. } = bounds;
    let announced = body.size_hint().exact().unwrap_or(0);
    let announced = usize::try_from(announced).unwrap_or(usize::MAX);
    if announced > most_bytes {
        return Err(Refusal::too_large(most_bytes));
    }
    let full = |full| no_room(full, bounds.retry_after);
    // Where its length is known: half of it would have to be thrown away.
    let mut permit = held.announce(tenant, announced).map_err(full)?;
    // The one copy of it: from here on the same bytes are checked, kept and recorded.
    let mut bytes = Vec::with_capacity(announced);
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            let message = "the body ended before it was complete";
            return Err(Refusal::invalid("incomplete_body", None, message));
        };
        let data = frame.into_data().unwrap_or_default();
        let length = bytes.len() + data.len();
        if length > most_bytes {
            return Err(Refusal::too_large(most_bytes));
        }
        permit.arrive(length).map_err(full)?;
        bytes.extend_from_slice(&data);
    }
    // What grew by doubling is kept for as long as the request is, and counts as long as it is: a length that is announced is exact.
    bytes.shrink_to_fit();
    Ok((bytes, permit))
}

fn no_room(full: Full, retry_after: Duration) -> Refusal {
    let message = match full {
        Full::Tenant => {
            "this tenant sends too many bytes of requests at once; wait for some to be accepted, or send less at once"
        }
        Full::All => "the gateway is being sent too many bytes of requests at once; ask again later",
    };
    Refusal::busy("too_many_bytes_in_flight", message, retry_after)
}

/// Reads a refused body to its end, within bounds, and keeps nothing: a client that is still sending would else meet a closed
/// connection, not the answer. A gateway that ends at once does not wait for it.
pub async fn pass_over(mut body: Body, bounds: Bodies, shutdown: &Shutdown) {
    let mut left = 8 * bounds.most_bytes;
    let read_on = async {
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                return;
            }
        }
    };
    tokio::select! {
        biased;
        () = shutdown.stopped() => {}
        _ = tokio::time::timeout(LINGER, read_on) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::limits::Most;

    #[tokio::test]
    async fn a_body_whose_length_nobody_announced_takes_no_more_memory_than_it_is_long() {
        let chunks = (0..100).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 1_001])));
        let mut body = Body::from_stream(futures::stream::iter(chunks));
        let limits = Limits::new(Most {
            all: 1 << 20,
            of_tenant: 1 << 20,
        });
        let bounds = Bodies {
            most_bytes: 1 << 20,
            timeout: Duration::from_secs(60),
            retry_after: Duration::from_secs(1),
        };
        let read = within(&mut body, &TenantId::new("t"), &limits, bounds).await;
        let (bytes, _permit) = read.unwrap_or_else(|refusal| panic!("{}", refusal.message));
        assert_eq!((bytes.len(), bytes.capacity()), (100_100, 100_100));
    }
}
