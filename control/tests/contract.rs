//! What all seams must do, that of a simulation included while it has no faults, and the helpers over them. NATS is found by `RELAY_NATS_URL`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod suite;

use std::sync::Arc;

use relay_clock::{Clock, Life};
use relay_control::simulated::SimulatedSeam;
use relay_control::{Control, InProcessControl, InProcessOptions, NatsControl, NatsOptions};

/// Small, so that a test can overrun it.
const CAPACITY: usize = 16;

fn in_process() -> Arc<dyn Control> {
    Arc::new(InProcessControl::new(small()).with_schemas(Arc::default()))
}

fn simulated() -> Arc<dyn Control> {
    let seam = SimulatedSeam::new(small(), Clock::system(), 1);
    let process = seam.process("process", Arc::new(Life::default()));
    Arc::new(process.with_schemas(Arc::default()))
}

fn small() -> InProcessOptions {
    InProcessOptions {
        capacity: CAPACITY,
        ..InProcessOptions::default()
    }
}

async fn nats() -> Arc<dyn Control> {
    let url = std::env::var("RELAY_NATS_URL").expect("RELAY_NATS_URL names a NATS server: run `make test`");
    let options = NatsOptions {
        capacity: CAPACITY,
        ..NatsOptions::new(url)
    };
    let control = NatsControl::connect(options)
        .await
        .unwrap()
        .with_schemas(Arc::default());
    suite::until_reached(&control).await;
    Arc::new(control)
}

macro_rules! all {
    ($($case:ident),* $(,)?) => {
        mod in_process_seam {$(
            #[tokio::test]
            async fn $case() {
                crate::suite::$case(crate::in_process()).await;
            }
        )*}

        mod simulated_seam {$(
            #[tokio::test]
            async fn $case() {
                crate::suite::$case(crate::simulated()).await;
            }
        )*}

        mod nats_seam {$(
            #[tokio::test]
            async fn $case() {
                crate::suite::$case(crate::nats().await).await;
            }
        )*}
    };
}

all!(
    a_message_reaches_every_listener_in_order,
    wildcards_hear_what_they_stand_for,
    a_queue_group_shares_its_messages,
    a_message_nobody_listens_to_is_no_error,
    a_question_gets_its_answer,
    many_questions_at_once_get_their_own_answers,
    a_question_without_anyone_to_answer_says_so_at_once,
    a_question_nobody_answers_times_out,
    a_message_at_the_limit_passes_and_one_over_it_is_refused,
    a_slow_listener_keeps_the_oldest_and_is_told_of_the_loss,
    a_dropped_listener_hears_nothing_and_harms_nobody,
    waiting_can_be_given_up_and_begun_again,
    listeners_end_with_the_seam,
    typed_messages_arrive_and_garbage_counts_as_lost,
    served_questions_are_answered_side_by_side,
    an_answer_of_the_wrong_kind_is_unreadable,
    messages_of_two_versions_are_read_both_ways,
    questions_of_two_versions_are_answered_both_ways,
    an_outcome_finishes_its_run_in_frames_that_fit,
    the_seam_can_be_probed,
);
