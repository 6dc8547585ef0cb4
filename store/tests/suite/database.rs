//! What `Database`, and every subject in it, must do.

use std::time::Duration;

use relay_schemas::TimestampMs;
use relay_store::{StoreError, Tables, TraceFilter, Verdict};

use super::{find, fold};
use crate::places::Place;
use crate::samples::small;

use Verdict::{Redelivered, Won};

pub(crate) async fn everything_is_still_there_after_opening_again(place: Place) {
    let tables = place.open().await;
    assert_eq!(fold(&tables, &[small("r", 0, 5)]).await, [Won]);
    drop(tables);
    let tables = place.open().await;
    assert_eq!(find(&tables, "r").await, Some(small("r", 0, 5)));
    assert_eq!(fold(&tables, &[small("r", 0, 5)]).await, [Redelivered]);
}

pub(crate) async fn a_store_that_is_there_can_be_probed(place: Place) {
    place.open().await.database.probe().await.unwrap();
}

/// Every call says so, and none takes longer than its limit by much.
pub(crate) async fn is_unavailable(tables: &Tables) {
    let calls = async {
        let now = TimestampMs(0);
        for result in [
            tables.database.probe().await,
            tables.traces.count().await.map(drop),
            tables.traces.find(&"r".into()).await.map(drop),
            tables.traces.list(&TraceFilter::default()).await.map(drop),
            tables.traces.delete_before(now).await.map(drop),
            tables.outcomes.fold(&[small("r", 0, 0)], &[]).await.map(drop),
            tables.outcomes.folded().await.map(drop),
            tables.outcomes.forget_all().await,
            tables.outcomes.forget_before(now).await,
        ] {
            assert!(matches!(result, Err(StoreError::Unavailable(_))), "{result:?}");
        }
    };
    tokio::time::timeout(Duration::from_secs(20), calls)
        .await
        .expect("bounded time");
}
