//! The ways of a process's records to the brokers: one a partition, on which they keep their order, and none waits for another.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::faults::Happened;
use super::process::Process;
use crate::{Bus, BusError, Outgoing, Partition, Position};

/// The lanes of one process.
#[derive(Default)]
pub(super) struct Lanes(Mutex<BTreeMap<Partition, mpsc::UnboundedSender<Load>>>);

/// What travels together: the records of one publish in one partition.
struct Load {
    records: Vec<Outgoing>,
    fate: Fate,
    delay: Duration,
    answer: oneshot::Sender<Result<Vec<Position>, BusError>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// In the process until it arrives: it goes with the process.
    Held,
    /// Out of the process at once: it arrives whatever becomes of that.
    Sent,
    /// It never arrives.
    Lost,
}

/// Sends records and waits for what the brokers say of all of them.
pub(super) async fn publish(
    process: &Arc<Process>,
    lanes: &Lanes,
    mut records: Vec<Outgoing>,
) -> Result<Vec<Position>, BusError> {
    let risen = process.reach().await?;
    let mut loads: BTreeMap<Partition, Vec<usize>> = BTreeMap::new();
    for (number, record) in records.iter_mut().enumerate() {
        let partition = risen.bus.place(record)?;
        record.partition = Some(partition.partition);
        loads.entry(partition).or_default().push(number);
    }
    let faults = process.world.faults();
    let none = process.world.chance(faults.not_taken);
    if none {
        process.world.count(Happened::NotTaken);
    }
    let in_part = !none && process.world.chance(faults.in_part);
    let mut answers = Vec::new();
    for (partition, numbers) in loads {
        let mut taken = numbers.clone();
        if in_part {
            taken.truncate(process.world.one_of(numbers.len() + 1));
        }
        let fate = match process.world.one_of(2) {
            _ if none => Fate::Lost,
            _ if faults.delay.is_zero() => Fate::Sent,
            0 => Fate::Held,
            _ => Fate::Sent,
        };
        let (answer, answered) = oneshot::channel();
        let load = Load {
            records: taken.iter().map(|number| records[*number].clone()).collect(),
            fate,
            delay: process.world.delay(),
            answer,
        };
        if taken.len() < numbers.len() {
            process.world.count(Happened::InPart);
        }
        lanes.send(process, partition, load);
        answers.push((numbers, answered));
    }
    let mut positions: Vec<Option<Position>> = vec![None; records.len()];
    let mut end = Ok(());
    for (numbers, answered) in answers {
        let cut_off = || Err(BusError::Unavailable("the process ended".to_owned()));
        match answered.await.unwrap_or_else(|_| cut_off()) {
            Ok(found) => {
                for (number, position) in numbers.into_iter().zip(found) {
                    positions[number] = Some(position);
                }
            }
            Err(error) => end = Err(error),
        }
    }
    let in_time = || BusError::Unavailable("not all records were acknowledged in time".to_owned());
    let positions = positions.into_iter().map(|position| position.ok_or_else(in_time));
    process.acknowledged(end.and_then(|()| positions.collect())).await
}

impl Lanes {
    fn send(&self, process: &Arc<Process>, partition: Partition, load: Load) {
        let mut lanes = self.0.lock();
        let lane = lanes.entry(partition).or_insert_with(|| {
            let (lane, loads) = mpsc::unbounded_channel();
            tokio::spawn(run(Arc::clone(process), loads));
            lane
        });
        // A lane runs for as long as it has a sender.
        let _ = lane.send(load);
    }
}

async fn run(process: Arc<Process>, mut loads: mpsc::UnboundedReceiver<Load>) {
    while let Some(load) = loads.recv().await {
        if !load.delay.is_zero() {
            tokio::time::sleep(load.delay).await;
        }
        process.world.moving.act().await;
        if load.fate == Fate::Held {
            if process.life.state() == relay_clock::LifeState::Dead {
                process.world.count(Happened::NeverSent);
            }
            process.act().await;
        }
        let landed = match process.reached() {
            _ if load.fate == Fate::Lost => {
                Err(BusError::Unavailable("nothing was taken in time".to_owned()))
            }
            Err(error) => Err(error),
            Ok(risen) => {
                let (process, records, answer) = (Arc::clone(&process), load.records, load.answer);
                let mut landing = Box::pin(async move {
                    let end = risen.bus.publish(records, Vec::new()).await;
                    let _ = answer.send(process.told(risen.rise, end));
                });
                // Appended in this turn; the next one need not wait for the disk.
                if futures::poll!(&mut landing) == Poll::Pending {
                    tokio::spawn(landing);
                }
                continue;
            }
        };
        let _ = load.answer.send(landed);
    }
}
