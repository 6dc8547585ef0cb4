//! What holds where the file says nothing.

use std::time::Duration;

use relay_settings::ByteSize;

pub(super) fn prefill_chunk() -> usize {
    256
}

pub(super) fn max_sequences() -> usize {
    16
}

pub(super) fn connect_timeout() -> Duration {
    Duration::from_secs(2)
}

pub(super) fn first_byte_timeout() -> Duration {
    Duration::from_secs(60)
}

/// As long as most clients of such endpoints wait by default.
pub(super) fn answer_timeout() -> Duration {
    Duration::from_mins(10)
}

pub(super) fn idle_timeout() -> Duration {
    Duration::from_secs(30)
}

pub(super) fn max_concurrent() -> usize {
    256
}

pub(super) fn retries() -> u32 {
    2
}

pub(super) fn max_body() -> ByteSize {
    ByteSize::mib(16)
}
