//! A worker on the embedded log and a control seam in this process, and a scheduler's side of it.

use std::sync::Arc;
use std::time::Duration;

use relay_bus::topics::{self, Manifest};
use relay_bus::{EmbeddedBus, EmbeddedOptions, Headers, Outgoing, Partition, Reader, StartAt};
use relay_control::{
    Control, Delivery, InProcessControl, InProcessOptions, Listener, listen, send, subjects,
};
use relay_runner::{Identity, Runtime};
use relay_schemas::{
    Cancel, Frame, Lane, Outcome, Returned, Service, TokenCount, Work, WorkerStatus, encode,
};
use tokio::task::JoinHandle;

use super::work::work;
use crate::{Config, Deps, Error};

const MANIFEST: &str = "pools: [default]
topics:
  - {name: relay.work.<pool>.short.v1, partitions: 2}
  - {name: relay.work.<pool>.long.v1, partitions: 2}
  - {name: relay.outcomes.v1, partitions: 2, on_disk: true}
  - {name: relay.dead-letters.v1, partitions: 1}
  - {name: relay.schemas.v1, partitions: 1, compacted: true}
";

/// A test that waits longer than this has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running worker, called `w`.
pub struct House {
    /// What the worker got.
    pub runtime: Runtime,
    /// The seam between the two sides.
    pub control: Arc<dyn Control>,
    /// The worker's.
    pub epoch: i64,
    /// The service.
    pub worker: JoinHandle<Result<(), Error>>,
    statuses: Listener<WorkerStatus>,
    outcomes: Box<dyn Reader>,
    _folder: tempfile::TempDir,
}

impl House {
    /// Starts a worker with these models; `change` may turn the configuration.
    pub async fn start(models: &str, change: impl FnOnce(&mut Config)) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let bus = Self::log(&folder)?;
        Self::start_on(folder, bus, models, change).await
    }

    /// Starts a worker whose models answer by a script.
    #[cfg(feature = "simulated")]
    pub async fn simulated(
        models: std::collections::BTreeMap<String, crate::simulated::ScriptedModel>,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let runtime = Runtime::new(Arc::new(Self::log(&folder)?));
        Self::begin(folder, runtime, Config::default(), |config, deps| {
            crate::simulated::run_with(config, deps, models)
        })
        .await
    }

    fn log(folder: &tempfile::TempDir) -> anyhow::Result<EmbeddedBus> {
        Ok(EmbeddedBus::open(
            folder.path().join("log"),
            &Self::manifest()?,
            EmbeddedOptions::default(),
            &relay_clock::Clock::system(),
        )?)
    }

    /// The topics of its log.
    pub fn manifest() -> anyhow::Result<Manifest> {
        Manifest::parse(MANIFEST).map_err(anyhow::Error::msg)
    }

    /// Starts a worker on a log that is there; its files go to `folder`.
    pub async fn start_on(
        folder: tempfile::TempDir,
        bus: EmbeddedBus,
        models: &str,
        change: impl FnOnce(&mut Config),
    ) -> anyhow::Result<Self> {
        Self::start_in(folder, Runtime::new(Arc::new(bus)), models, change).await
    }

    /// Starts a worker in a process that is there.
    pub async fn start_in(
        folder: tempfile::TempDir,
        runtime: Runtime,
        models: &str,
        change: impl FnOnce(&mut Config),
    ) -> anyhow::Result<Self> {
        std::fs::write(folder.path().join("models.yaml"), models)?;
        let mut config = Config {
            models: Some(folder.path().join("models.yaml")),
            ..Config::default()
        };
        change(&mut config);
        Self::begin(folder, runtime, config, crate::run).await
    }

    async fn begin<W>(
        folder: tempfile::TempDir,
        runtime: Runtime,
        config: Config,
        work: impl FnOnce(Config, Deps) -> W,
    ) -> anyhow::Result<Self>
    where
        W: Future<Output = Result<(), Error>> + Send + 'static,
    {
        let control: Arc<dyn Control> = Arc::new(InProcessControl::new(InProcessOptions::default()));
        let statuses = listen(&*control, &subjects::worker_status("default")).await?;
        let from = (0..2)
            .map(|at| (Partition::new(topics::OUTCOMES, at), StartAt::Start))
            .collect();
        let outcomes = runtime.bus.read(from).await?;
        let epoch = runtime.clock.now().0;
        let identity = Identity {
            service: Service::Workers,
            instance: "w".into(),
            epoch,
        };
        let deps = Deps {
            runtime: runtime.clone(),
            identity,
            control: control.clone(),
        };
        let worker = tokio::spawn(work(config, deps));
        let mut house = Self {
            runtime,
            control,
            epoch,
            worker,
            statuses,
            outcomes,
            _folder: folder,
        };
        house
            .status(|status| status.short_partitions.len() + status.long_partitions.len() == 4)
            .await?;
        Ok(house)
    }

    /// The next status that is as `wanted`.
    pub async fn status(&mut self, wanted: impl Fn(&WorkerStatus) -> bool) -> anyhow::Result<WorkerStatus> {
        let waiting = async {
            loop {
                match self.statuses.next().await {
                    Some(Delivery::Message(status)) if wanted(&status) => return Ok(status),
                    Some(_) => {}
                    None => anyhow::bail!("the control seam closed"),
                }
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await?
    }

    /// Work for `model`, leased to this worker: greedy, 1000 tokens at most.
    pub fn work(&self, id: &str, model: &str, content: &str) -> Work {
        let messages =
            serde_json::json!({"messages": [{"content": content, "role": "user"}], "model": model});
        let mut work = work(model, &messages.to_string());
        Arc::make_mut(&mut work.request).request_id = id.into();
        Arc::make_mut(&mut work.planning).plan.decoding.max_tokens = TokenCount(1_000);
        work.lease.worker_epoch = self.epoch;
        work
    }

    /// Dispatches work to partition 1 of its lane.
    pub async fn dispatch(&self, work: &Work) -> anyhow::Result<()> {
        self.dispatch_with(work, Headers::of(&work.request)).await
    }

    /// The same, with these headers of its record.
    pub async fn dispatch_with(&self, work: &Work, headers: Headers) -> anyhow::Result<()> {
        let topic = match work.queueing.lane {
            Lane::Short => topics::work_short("default"),
            Lane::Long => topics::work_long("default"),
        };
        let partition = Partition::new(topic, 1);
        let record = Outgoing::to_partition(&partition, headers, encode(work));
        self.runtime.bus.publish(vec![record], Vec::new()).await?;
        Ok(())
    }

    /// The next outcome.
    pub async fn outcome(&mut self) -> anyhow::Result<Outcome> {
        let records = tokio::time::timeout(PATIENCE, self.outcomes.next()).await??;
        anyhow::ensure!(records.len() == 1, "one outcome at a time was expected");
        Ok(relay_bus::decode(&self.runtime.schemas, &records[0])?)
    }

    /// What the worker says of a run that it gives back.
    pub async fn returned(&mut self, id: &str) -> anyhow::Result<Returned> {
        let of = |returned: &&Returned| returned.request_id.as_str() == id;
        let status = self
            .status(|status| status.returned.iter().any(|it| of(&it)))
            .await?;
        let returned = status.returned.iter().find(of).cloned();
        returned.ok_or_else(|| anyhow::anyhow!("it was among them"))
    }

    /// Listens where an ingress would for the frames of `work`, and sets it as the reply address.
    pub async fn listen(&self, work: &mut Work) -> anyhow::Result<Frames> {
        let reply_to = subjects::reply(
            &"i".into(),
            1,
            &work.request.request_id,
            &work.request.request_hash,
        );
        let listener = listen(&*self.control, &reply_to).await?;
        Arc::make_mut(&mut work.request).reply_to = Some(reply_to);
        Ok(Frames { listener })
    }

    /// Broadcasts a cancel.
    pub async fn cancel(&self, id: &str) -> anyhow::Result<()> {
        let cancel = Cancel {
            request_id: id.into(),
            tenant: "t-1".into(),
            reason: "client_gone".to_owned(),
        };
        Ok(send(&*self.control, subjects::CANCEL, cancel).await?)
    }
}

/// The frames of one request.
pub struct Frames {
    listener: Listener<Frame>,
}

impl Frames {
    /// The next frame.
    pub async fn next(&mut self) -> anyhow::Result<Frame> {
        match tokio::time::timeout(PATIENCE, self.listener.next()).await? {
            Some(Delivery::Message(frame)) => Ok(frame),
            other => anyhow::bail!("{other:?} where a frame was expected"),
        }
    }

    /// All frames up to the last.
    pub async fn all(&mut self) -> anyhow::Result<Vec<Frame>> {
        let mut frames = Vec::new();
        loop {
            frames.push(self.next().await?);
            if frames.last().is_some_and(|frame| frame.end.is_some()) {
                return Ok(frames);
            }
        }
    }
}
