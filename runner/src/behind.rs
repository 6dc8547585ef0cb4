//! Whether whoever reads gets what there is: held against the log itself, twice in a row, as something may always have come a moment
//! ago.

use std::collections::BTreeMap;

use relay_bus::{Bus, BusError, Partition};

/// How far partitions are read.
pub(crate) type Places = BTreeMap<Partition, i64>;

/// Those of the places behind which something lies. A bus that does not answer is told by others.
///
/// # Errors
/// Where a log does not reach as far as it was read.
pub(crate) async fn unread(bus: &dyn Bus, places: &Places) -> Result<Places, BusError> {
    let mut unread = Places::new();
    for (partition, next) in places {
        let Ok(held) = bus.range(partition).await else {
            continue;
        };
        if held.high < *next {
            return Err(BusError::rewound(partition, *next));
        }
        if held.high > held.low.max(*next) {
            unread.insert(partition.clone(), *next);
        }
    }
    Ok(unread)
}

/// The places behind which something lay when the log was asked last.
#[derive(Debug, Default)]
pub(crate) struct Behind(Places);

impl Behind {
    /// What could not be read is not late.
    pub(crate) fn forget(&mut self) {
        self.0.clear();
    }

    /// Takes in what was `unread` of the places that were read to `now` meanwhile; says what stands still, if anything does.
    pub(crate) fn take(&mut self, mut unread: Places, now: &Places) -> Option<String> {
        unread.retain(|partition, next| now.get(partition) == Some(next));
        let stuck = unread
            .iter()
            .find(|(partition, next)| self.0.get(*partition) == Some(*next));
        let said = stuck.map(|(Partition { topic, partition }, next)| {
            format!(
                "nothing comes of {topic}-{partition} behind offset {next}, though its log reaches further"
            )
        });
        self.0 = unread;
        said
    }

    /// Whether all is read that there was.
    pub(crate) fn is_none(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(next: &[i64]) -> Places {
        let numbered = (0..).zip(next);
        numbered
            .map(|(number, next)| (Partition::new("t", number), *next))
            .collect()
    }

    #[test]
    fn a_place_stands_still_once_it_was_behind_twice_and_nothing_came_in_between() {
        let mut behind = Behind::default();
        assert_eq!(
            behind.take(places(&[5, 7]), &places(&[5, 7])),
            None,
            "it may come"
        );
        assert_eq!(behind.take(places(&[5, 7]), &places(&[6, 8])), None, "it came");
        assert!(behind.is_none());
        assert_eq!(behind.take(places(&[6]), &places(&[6, 8])), None);
        assert_eq!(
            behind.take(places(&[7]), &places(&[7, 8])),
            None,
            "another record"
        );
        let said = behind
            .take(places(&[7, 8]), &places(&[7, 8]))
            .expect("it stands still");
        assert!(said.contains("t-0 behind offset 7"), "{said}");
        behind.forget();
        assert_eq!(behind.take(places(&[7]), &places(&[7])), None);
    }
}
