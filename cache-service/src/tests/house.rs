//! Both stages on an embedded log, with a clock that stands still.

use std::sync::Arc;

use bytes::Bytes;
use relay_bus::topics::{Manifest, OUTCOMES, PLANNED};
use relay_bus::{Bus, EmbeddedBus, EmbeddedOptions, Headers, Outgoing, Record};
use relay_clock::Clock;
use relay_control::{InProcessControl, InProcessOptions};
use relay_runner::{Identity, Stage, Step, Winners};
use relay_schemas::{InstanceId, Outcome, Planned, Service, TimestampMs, encode};

use crate::fill::FillStage;
use crate::levels::{Levels, Lru};
use crate::lookup::LookupStage;
use crate::metrics::Metrics;
use crate::testing::{NOW, position};

pub(super) struct House {
    _folder: tempfile::TempDir,
    pub(super) bus: Arc<dyn Bus>,
    pub(super) control: Arc<InProcessControl>,
    pub(super) lookup: LookupStage,
    pub(super) fill: FillStage,
    pub(super) metrics: Metrics,
}

pub(super) fn fill_stage(bus: &Arc<dyn Bus>, levels: &Arc<Levels>, metrics: &Metrics) -> FillStage {
    FillStage {
        levels: levels.clone(),
        clock: Clock::manual(NOW).0,
        winners: Winners::new(bus.clone(), Arc::default(), 100),
        schemas: Arc::default(),
        metrics: metrics.clone(),
        max_entry_bytes: 10_000,
    }
}

impl House {
    pub(super) fn new() -> Self {
        Self::with(InProcessOptions::default())
    }

    pub(super) fn with(options: InProcessOptions) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let manifest = Manifest::parse(include_str!("../../../deploy/topics.yaml")).expect("valid");
        let opened = EmbeddedBus::open(
            folder.path(),
            &manifest,
            EmbeddedOptions::default(),
            &relay_clock::Clock::system(),
        );
        let bus: Arc<dyn Bus> = Arc::new(opened.expect("a log"));
        let metrics = Metrics::register(&prometheus::Registry::new()).expect("fresh");
        let levels = Arc::new(Levels {
            lru: Lru::new(1 << 20),
            redis: None,
            metrics: metrics.clone(),
        });
        let control = Arc::new(InProcessControl::new(options));
        let lookup = LookupStage {
            levels: levels.clone(),
            identity: Identity {
                service: Service::CacheService,
                instance: InstanceId::new("cache-1"),
                epoch: 1,
            },
            schemas: Arc::default(),
            clock: Clock::manual(NOW).0,
            control: control.clone(),
            metrics: metrics.clone(),
        };
        let fill = fill_stage(&bus, &levels, &metrics);
        Self {
            _folder: folder,
            bus,
            control,
            lookup,
            fill,
            metrics,
        }
    }

    pub(super) async fn look_up(&self, planned: &Planned) -> Step<Arc<Outcome>> {
        self.lookup
            .on_record(&record(PLANNED, 0, encode(planned)))
            .await
            .expect("decided")
    }

    pub(super) async fn fill(&self, outcome: &Outcome, offset: i64) {
        let step = self
            .fill
            .on_record(&record(OUTCOMES, offset, encode(outcome)))
            .await
            .expect("decided");
        assert!(step.publish.is_empty());
    }

    /// Puts it into the log, where a new instance finds it.
    pub(super) async fn append(&self, outcome: &Outcome) -> Record {
        let out = Outgoing {
            partition: Some(0),
            ..Outgoing::keyed(OUTCOMES, "key", Headers::default(), encode(outcome))
        };
        let positions = self.bus.publish(vec![out], Vec::new()).await.expect("published");
        record(OUTCOMES, positions[0].offset, encode(outcome))
    }
}

pub(super) fn record(topic: &str, offset: i64, value: Bytes) -> Record {
    Record {
        position: position(topic, offset),
        timestamp: TimestampMs(0),
        key: None,
        headers: Headers::default(),
        value: Some(value.into()),
    }
}
