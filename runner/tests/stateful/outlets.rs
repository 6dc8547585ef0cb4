//! What is published keeps its order, whatever the log does meanwhile.

use std::sync::Arc;

use parking_lot::Mutex;
use relay_bus::testing::Mood;
use relay_bus::{BusError, Headers, Outgoing, Partition};
use relay_runner::{Outlet, Publishers, Runtime, Stretch};

use crate::tally::{COUNTED, PATIENCE, bus, client};

/// Numbers, of which those above a limit do not fit: one is published halved, until it fits, or refused at 1,000.
#[derive(Clone, Default)]
struct Numbers {
    published: Arc<Mutex<Vec<u32>>>,
    refused: Arc<Mutex<Vec<u32>>>,
}

impl Outlet for Numbers {
    type Item = u32;

    fn records(&self, number: &u32) -> Vec<Outgoing> {
        let partition = Partition::new(COUNTED, 0);
        let mut value = number.to_string();
        if *number > 100 {
            value.push_str(&" ".repeat(2 * 1_024 * 1_024));
        }
        vec![Outgoing::to_partition(&partition, Headers::default(), value)]
    }

    async fn published(&self, items: Vec<u32>) {
        self.published.lock().extend(items);
    }

    async fn refused(&self, number: u32, error: BusError) -> Option<u32> {
        assert!(matches!(error, BusError::TooLarge { .. }), "{error}");
        self.refused.lock().push(number);
        (number < 1_000).then_some(number / 2)
    }
}

/// Publishes all of `numbers` and returns what became of them.
async fn publish(numbers: &[u32], away: bool) -> Numbers {
    let folder = tempfile::tempdir().unwrap();
    let bus = bus(folder.path());
    let outlet = Numbers::default();
    let mut publishers = Publishers::new(client(Runtime::new(bus.clone())));
    let sender = publishers.open(outlet.clone());
    for (count, number) in numbers.iter().enumerate() {
        if away && count % 10 == 3 {
            bus.be(Mood::Away);
        }
        sender.send(*number).unwrap();
        if away && count % 10 == 6 {
            tokio::time::sleep(std::time::Duration::from_millis(3)).await;
            bus.be(Mood::Works);
        }
    }
    drop(sender);
    bus.be(Mood::Works);
    tokio::time::timeout(PATIENCE, publishers.finished())
        .await
        .unwrap();
    let acknowledged = outlet.published.lock().clone();
    let mut log = Stretch::whole(&*bus.log, Partition::new(COUNTED, 0))
        .await
        .unwrap();
    let mut taken = Vec::new();
    while let Some(record) = log.next().await.unwrap() {
        taken.push(String::from_utf8(record.value.unwrap().to_vec()).unwrap());
    }
    let told: Vec<String> = acknowledged.iter().map(ToString::to_string).collect();
    assert_eq!(
        taken, told,
        "what is told to be in the log is there, in that order, once"
    );
    outlet
}

#[tokio::test]
async fn what_is_published_keeps_its_order_while_the_log_comes_and_goes() {
    let numbers: Vec<u32> = (0..100).collect();
    let outlet = publish(&numbers, true).await;
    assert_eq!(*outlet.published.lock(), numbers);
    assert!(outlet.refused.lock().is_empty());
}

#[tokio::test]
async fn one_that_never_fits_holds_none_up_and_less_is_published_in_its_place() {
    let outlet = publish(&[1, 300, 2, 2_000, 3], false).await;
    assert_eq!(*outlet.published.lock(), [1, 75, 2, 3]);
    assert_eq!(*outlet.refused.lock(), [300, 150, 2_000]);
}
