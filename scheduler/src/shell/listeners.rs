//! Listens on the control seam for ever. What is lost comes again: statuses are absolute, cancels are repeated.

use std::sync::Arc;

use relay_control::subjects;
use relay_runner::listen_forever;
use relay_schemas::Record;
use tokio_util::task::AbortOnDropHandle;

use super::context::{Context, Signal};

/// The listeners; they end when dropped.
pub(super) type Listeners = [AbortOnDropHandle<()>; 2];

/// Starts them.
pub(super) fn start(context: &Arc<Context>) -> Listeners {
    let statuses = subjects::worker_status(&context.pool);
    let cancels = subjects::CANCEL.to_owned();
    [
        hear(context.clone(), statuses, Signal::Status),
        hear(context.clone(), cancels, Signal::Cancel),
    ]
}

fn hear<T: Record>(context: Arc<Context>, subject: String, signal: fn(T) -> Signal) -> AbortOnDropHandle<()> {
    let control = context.control.clone();
    let chance = context.runtime.chance.clone();
    let listening = listen_forever(control, subject, chance, move |message| {
        context.hint(signal(message));
    });
    AbortOnDropHandle::new(tokio::spawn(listening))
}
