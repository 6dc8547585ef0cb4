//! Which stage of the pipeline a sample belongs to, and what kind of work it is. Pure.

use super::place::Place;
use super::stacks::{Frame, Sample};

/// Where a request is, or what works for all of them. Each sample is in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Connections and requests as they come, up to admission.
    HttpIn,
    /// What the body says.
    Parse,
    /// Admission, and the durable accept, as far as it runs on the request's own task.
    Accept,
    /// The planner.
    Plan,
    /// The cache service.
    Cache,
    /// The scheduler.
    Queue,
    /// The workers.
    Endpoint,
    /// What speaks to the endpoint.
    HttpClient,
    /// Frames, the follower, and the response.
    Answer,
    /// The trace sink, and its side of the database.
    Sink,
    /// `SQLite`'s thread.
    SinkThread,
    /// The log's thread that writes where publishers cannot by themselves.
    LogWriter,
    /// The log's thread that waits for the disk.
    LogSyncer,
    /// The log's housekeeper.
    LogTidy,
    /// What an ingress does for no request: sweeping, batches, what it knows of others.
    IngressUpkeep,
    /// The runner, where the stage that it runs is not on the stack.
    Runner,
    /// Tasks, timers, and the wait for something to do.
    Runtime,
    /// None of these can be told from the stack.
    NotAttributed,
}

impl Stage {
    /// In the order of the flow.
    pub const ALL: [Self; 18] = [
        Self::HttpIn,
        Self::Parse,
        Self::Accept,
        Self::Plan,
        Self::Cache,
        Self::Queue,
        Self::Endpoint,
        Self::HttpClient,
        Self::Answer,
        Self::Sink,
        Self::SinkThread,
        Self::LogWriter,
        Self::LogSyncer,
        Self::LogTidy,
        Self::IngressUpkeep,
        Self::Runner,
        Self::Runtime,
        Self::NotAttributed,
    ];

    /// What the table calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::HttpIn => "HTTP in",
            Self::Parse => "parse",
            Self::Accept => "accept",
            Self::Plan => "plan",
            Self::Cache => "cache",
            Self::Queue => "queue",
            Self::Endpoint => "endpoint",
            Self::HttpClient => "endpoint: HTTP client",
            Self::Answer => "answer",
            Self::Sink => "sink",
            Self::SinkThread => "sink: SQLite's thread",
            Self::LogWriter => "log: writer's thread",
            Self::LogSyncer => "log: syncer's thread",
            Self::LogTidy => "log: housekeeper's thread",
            Self::IngressUpkeep => "ingress: sweeping, batches, peers",
            Self::Runner => "runner, of a stage that the stack does not name",
            Self::Runtime => "runtime: tasks, timers, waiting",
            Self::NotAttributed => "not attributed",
        }
    }

    /// Whose `sample` is.
    pub fn of(sample: &Sample) -> Self {
        let name = sample.thread.as_str();
        if let Some((_, stage)) = THREADS.into_iter().find(|(thread, _)| name.starts_with(thread)) {
            return stage;
        }
        let rooms = || places(sample).rev().map(|place| place.room.as_str());
        // Whoever is outermost began it: a service hands work to the log, never the other way round.
        let service = rooms().find_map(|room| SERVICES.iter().find(|(service, _)| *service == room));
        match service {
            Some((_, Self::Endpoint)) | None if is_client(sample) => Self::HttpClient,
            Some((_, Self::HttpIn)) => in_ingress(sample),
            Some((_, stage)) => *stage,
            None => without_service(sample),
        }
    }
}

/// Threads by the beginning of their names.
const THREADS: [(&str, Stage); 4] = [
    ("relay-bus-sync", Stage::LogSyncer),
    ("relay-bus-write", Stage::LogWriter),
    ("relay-bus-tidy", Stage::LogTidy),
    ("sqlx-sqlite", Stage::SinkThread),
];

const SERVICES: [(&str, Stage); 6] = [
    ("planner", Stage::Plan),
    ("cache-service", Stage::Cache),
    ("scheduler", Stage::Queue),
    ("workers", Stage::Endpoint),
    ("trace-sink", Stage::Sink),
    ("ingress", Stage::HttpIn),
];

/// The innermost file of the ingress decides, but for what the body's parser does.
fn in_ingress(sample: &Sample) -> Stage {
    let inside = places(sample).find(|place| place.room == "ingress");
    let file = inside.map_or("", |place| place.file.as_str());
    let parses = || places(sample).any(|place| place.room == "api");
    match file.split('/').next().unwrap_or_default() {
        "admission" if parses() => Stage::Parse,
        "admission" => Stage::Accept,
        "answers" | "access.rs" => Stage::Answer,
        "http" if ANSWERING.iter().any(|name| file.ends_with(name)) => Stage::Answer,
        "http" => Stage::HttpIn,
        _ => Stage::IngressUpkeep,
    }
}

/// Files of `ingress/src/http/` by which an answer leaves.
const ANSWERING: [&str; 4] = ["stream.rs", "exchange.rs", "response.rs", "delivery.rs"];

fn without_service(sample: &Sample) -> Stage {
    let rooms = || places(sample).map(|place| place.room.as_str());
    let runner = places(sample).find(|place| place.room == "runner");
    match runner.map(|place| place.file.split('/').next().unwrap_or_default()) {
        Some("server") if symbols(sample).any(writes) => Stage::Answer,
        Some("server") => Stage::HttpIn,
        // Of all services the scheduler alone is hosted by that.
        Some("stateful") => Stage::Queue,
        Some(_) => Stage::Runner,
        None if rooms().any(|room| room == "store" || room.starts_with("sqlx")) => Stage::Sink,
        None if rooms().any(|room| ["bus", "log", "control", "relay"].contains(&room)) => Stage::Runner,
        None if rooms().any(|room| room == "tokio") => Stage::Runtime,
        None => Stage::NotAttributed,
    }
}

fn is_client(sample: &Sample) -> bool {
    let client = |symbol: &str| symbol.contains("hyper::client") || symbol.contains("hyper_util::client");
    places(sample).any(|place| ["reqwest", "hyper-rustls"].contains(&place.room.as_str()))
        || symbols(sample).any(client)
}

fn writes(symbol: &str) -> bool {
    ["poll_flush", "write_head", "poll_write_vectored"]
        .iter()
        .any(|part| symbol.contains(part))
}

/// A kind of work, and which samples are of it.
type Kind = (&'static str, fn(&Sample) -> bool);

/// What the time goes to, whichever stage it is in. A sample can be several: they do not add up.
pub const KINDS: [Kind; 12] = [
    ("the log, appending, syncing and reading", |sample| {
        in_rooms(sample, &["bus", "log"])
    }),
    ("Avro", |sample| in_rooms(sample, &["apache-avro"])),
    ("JSON", |sample| in_rooms(sample, &["serde_json"])),
    ("SQLite and its driver", |sample| {
        sample.thread.starts_with("sqlx-sqlite") || in_rooms(sample, &["sqlx-core", "sqlx-sqlite"])
    }),
    ("HTTP, either side", |sample| {
        in_rooms(sample, &["hyper", "hyper-util", "axum", "reqwest"])
    }),
    ("control messages, statuses with them", |sample| {
        in_rooms(sample, &["control"])
    }),
    ("metrics", |sample| in_rooms(sample, &["prometheus"])),
    ("log lines", |sample| {
        in_rooms(sample, &["tracing", "tracing-core", "tracing-subscriber"])
    }),
    ("the allocator", |sample| symbols(sample).any(allocates)),
    ("copying memory", |sample| innermost(sample).is_some_and(copies)),
    ("the kernel", |sample| {
        sample
            .frames
            .first()
            .is_some_and(|frame| frame.file.contains("kernel"))
    }),
    ("of it futexes", |sample| {
        symbols(sample).any(|symbol| symbol.contains("sys_futex"))
    }),
];

fn in_rooms(sample: &Sample, rooms: &[&str]) -> bool {
    places(sample).any(|place| rooms.contains(&place.room.as_str()))
}

fn allocates(symbol: &str) -> bool {
    let names = ["malloc", "calloc", "realloc", "free", "cfree"];
    symbol.starts_with("_rjem_") || names.contains(&symbol)
}

fn copies(symbol: &str) -> bool {
    ["memmove", "memcpy", "memset"]
        .iter()
        .any(|part| symbol.contains(part))
}

/// All places of a sample, the innermost first.
fn places(sample: &Sample) -> impl DoubleEndedIterator<Item = &Place> {
    sample.frames.iter().flat_map(|frame| &frame.places)
}

fn symbols(sample: &Sample) -> impl Iterator<Item = &str> {
    sample.frames.iter().map(|frame| frame.symbol.as_str())
}

fn innermost(sample: &Sample) -> Option<&str> {
    sample.frames.first().map(|frame: &Frame| frame.symbol.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sample of a runtime's thread; `stack` from the innermost: `room/file` where it holds a slash, else a symbol.
    fn on_runtime(stack: &str) -> Sample {
        let frame = |text: &str| {
            let (room, file) = text.split_once('/').unwrap_or_default();
            let place = Place {
                room: room.to_owned(),
                file: file.to_owned(),
            };
            Frame {
                symbol: text.to_owned(),
                places: if room.is_empty() { Vec::new() } else { vec![place] },
                ..Frame::default()
            }
        };
        Sample {
            thread: "tokio-rt-worker".to_owned(),
            frames: stack.split(" < ").map(frame).collect(),
        }
    }

    #[test]
    fn every_sample_is_in_the_stage_that_began_it() {
        let cases = [
            (
                "memmove < log/append.rs < bus/embedded/turn.rs < runner/stage/host.rs < planner/lib.rs",
                Stage::Plan,
            ),
            (
                "apache-avro/ < runner/stage/host.rs < cache-service/lib.rs < tokio/",
                Stage::Cache,
            ),
            (
                "bus/embedded/turn.rs < runner/stateful/outlet.rs < tokio/",
                Stage::Queue,
            ),
            (
                "serde_json/ < workers/remote/events.rs < runner/stage/attempt.rs",
                Stage::Endpoint,
            ),
            ("hyper/ < reqwest/ < workers/remote/mod.rs", Stage::HttpClient),
            (
                "tcp_recvmsg < hyper::client::conn::http1::Upgradeable::poll < tokio/",
                Stage::HttpClient,
            ),
            (
                "sqlx-core/ < store/outcomes/sqlite.rs < trace-sink/folding/share.rs",
                Stage::Sink,
            ),
            ("sqlx-core/ < tokio/", Stage::Sink),
            (
                "serde_json/ < api/chat/parse.rs < ingress/admission/request.rs < ingress/http/chat.rs",
                Stage::Parse,
            ),
            (
                "bus/embedded/turn.rs < ingress/admission/accept.rs < ingress/http/chat.rs",
                Stage::Accept,
            ),
            (
                "api/chat/stream.rs < ingress/answers/form.rs < ingress/http/stream.rs",
                Stage::Answer,
            ),
            (
                "ingress/http/body.rs < hyper/ < runner/server/mod.rs",
                Stage::HttpIn,
            ),
            ("ingress/cluster/sweeper/member.rs < tokio/", Stage::IngressUpkeep),
            (
                "tcp_sendmsg < hyper::proto::h1::io::Buffered::poll_flush < runner/server/mod.rs",
                Stage::Answer,
            ),
            (
                "hyper::proto::h1::role::parse < hyper/ < runner/server/mod.rs",
                Stage::HttpIn,
            ),
            ("bus/embedded/cursor.rs < runner/tail.rs < tokio/", Stage::Runner),
            ("epoll_wait < tokio/", Stage::Runtime),
            ("[unknown]", Stage::NotAttributed),
        ];
        for (stack, stage) in cases {
            assert_eq!(Stage::of(&on_runtime(stack)), stage, "{stack}");
        }
    }

    #[test]
    fn threads_of_their_own_are_known_by_their_names() {
        for (thread, stage) in [
            ("relay-bus-sync", Stage::LogSyncer),
            ("sqlx-sqlite-wor", Stage::SinkThread),
        ] {
            let sample = Sample {
                thread: thread.to_owned(),
                ..on_runtime("planner/lib.rs")
            };
            assert_eq!(Stage::of(&sample), stage);
        }
    }

    #[test]
    fn a_sample_can_be_of_several_kinds() {
        let sample = on_runtime("_rjem_sdallocx < apache-avro/ < bus/record.rs");
        let kinds: Vec<&str> = KINDS
            .iter()
            .filter(|(_, is)| is(&sample))
            .map(|(name, _)| *name)
            .collect();
        assert_eq!(
            kinds,
            ["the log, appending, syncing and reading", "Avro", "the allocator"]
        );
    }
}
