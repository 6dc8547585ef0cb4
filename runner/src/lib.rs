//! What hosts a service: the stage runner, and the small tools that every service shares and that exist once.
//!
//! Stands on the log (`relay-bus`), on the control seam (`relay-control`) and on the rules of a request's life
//! (`relay-lifecycle`); knows no service.
//!
//! | to do | tool |
//! |---|---|
//! | decide about each record of a topic | [`Stage`], [`run_stage`] |
//! | keep state of which one instance at a time decides | [`StatefulStage`], [`run_stateful`] |
//! | publish in order what was decided | [`Outlet`], [`Publishers`], [`Backlog`] |
//! | follow a topic from given offsets on | [`Tail`] |
//! | see that a topic keeps its partitions | [`hold_partitions`] |
//! | read what a partition holds now | [`Stretch`] |
//! | listen or answer on the control seam, whatever interrupts it | [`listen_forever`], [`serve_forever`] |
//! | see whether schedulers lead the pools that are used | [`watch_leaders`] |
//! | see whether workers run the models that are planned for | [`watch_models`] |
//! | end the services of a process in their order | [`DrainPlan`], [`Shutdown`] |
//! | ask the log until it answers | [`retry_forever`] |
//! | read what a newer version may have written | [`decode_known`] |
//! | wait between two tries | [`Backoff`] |
//! | leave something to chance | [`Chance`] |
//! | remember what was seen lately | [`Recent`], and [`Winners`] for outcomes |
//! | end a request | [`outcome_record`] with [`carried_headers`], [`poisoned`] |
//! | see what a dead letter stands for | [`was_read`], [`ends_request`], [`kept_whole`] |
//! | read how one ended | [`read_outcome`] |
//! | see that every part gets on | [`Watchdog`], [`watch_parts`] |
//! | measure what may be given up | [`Took`] |
//! | answer probes and Prometheus | [`ops_router`] |
//! | accept connections, so many and no more | [`serve_http`] |

mod backoff;
mod behind;
mod chance;
mod crash;
mod dead_letter;
mod health;
mod leaders;
mod listen;
mod ops;
mod outcome;
mod partitions;
mod recent;
mod retry;
mod runtime;
mod schemas;
mod server;
mod shutdown;
mod stage;
mod stateful;
mod status_watch;
mod stretch;
mod superseded;
mod tail;
mod took;
mod unserved;
mod watch;
mod watchdog;
mod winners;

pub use backoff::{Backoff, backoff};
pub use chance::Chance;
pub use crash::crash_point;
pub use dead_letter::{carried_headers, ends_request, kept_whole, poisoned, was_read};
pub use health::{Health, dependency};
pub use leaders::watch_leaders;
pub use listen::{listen_forever, serve_forever};
pub use ops::ops_router;
pub use outcome::{RECORD_DAMAGED, outcome_record, read_outcome};
pub use partitions::hold_partitions;
pub use recent::Recent;
pub use retry::retry_forever;
pub use runtime::{Identity, Runtime};
pub use schemas::{announce_schemas, decode_known, follow_schemas, refresh_schemas};
pub use server::{ConnectionBounds, serve_http};
pub use shutdown::{DrainPlan, DrainStep, Shutdown};
pub use stage::{RunnerError, Stage, StageError, StageOptions, Step, run_stage};
pub use stateful::{
    Appended, At, Backlog, Election, Ends, Folded, Heartbeat, Held, Leadership, LeadershipLane,
    LeadershipTimes, LeadershipTopic, LogClient, NOBODY, Notice, NoticeKind, Offsets, Opened, Outlet,
    PublisherError, Publishers, StatefulStage, Takeover, Tenure, Unreadable, Weight, run_stateful,
    sleep_until,
};
pub use stretch::Stretch;
pub use superseded::superseded_counter;
pub use tail::{Follow, Report, Tail, ends};
pub use took::Took;
pub use unserved::{PlannedModel, watch_models};
pub use watch::{StandsStill, WatchdogTimes, watch_parts};
pub use watchdog::{Part, Watchdog};
pub use winners::{Standing, Winners};
