//! The contract of the log seam: one suite, run on the embedded log, on Apache Kafka, and on what simulations have of both.

mod suite;

/// Runs every function of the suite once a column. A new function is added here, and every column must pass it.
macro_rules! contract {
    ($($module:ident :: $test:ident),* $(,)?) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let column = crate::suite::Column::embedded(stringify!($test));
                crate::suite::$module::$test(&column).await;
            })*
        }
        mod kafka {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let column = crate::suite::Column::kafka(stringify!($test));
                crate::suite::$module::$test(&column).await;
            })*
        }
        mod simulated_in_process {
            $(#[tokio::test(start_paused = true)]
            async fn $test() {
                let column = crate::suite::Column::simulated(stringify!($test), relay_bus::simulated::Column::InProcess);
                crate::suite::$module::$test(&column).await;
            })*
        }
        mod simulated_brokers {
            $(#[tokio::test(start_paused = true)]
            async fn $test() {
                let session = std::time::Duration::from_secs(6);
                let brokers = relay_bus::simulated::Column::Brokers { session };
                let column = crate::suite::Column::simulated(stringify!($test), brokers);
                crate::suite::$module::$test(&column).await;
            })*
        }
    };
}

contract! {
    publishing::positions_come_back_in_order_and_the_range_tells_them,
    publishing::records_of_one_key_keep_their_order,
    publishing::a_key_lies_where_kafkas_own_clients_put_it,
    publishing::a_chosen_partition_is_obeyed,
    publishing::headers_empty_values_and_tombstones_come_back,
    publishing::a_record_over_the_limit_is_refused_and_names_the_limit,
    publishing::an_unknown_topic_is_named,
    publishing::applying_a_manifest_twice_changes_nothing_and_partitions_only_grow,
    publishing::a_probe_answers,
    groups::members_split_the_partitions_and_each_record_is_read_once,
    groups::a_member_that_is_dropped_is_replaced,
    groups::a_member_that_leaves_hands_over,
    groups::two_groups_each_read_everything,
    groups::a_paused_partition_waits_and_goes_on,
    commits::a_commit_travels_with_the_publish,
    commits::what_was_not_committed_is_delivered_again,
    commits::many_in_flight_commit_only_the_lowest_contiguous,
    commits::a_stale_commit_sets_no_group_back_and_one_that_nobody_reads_as_may_be,
    commits::a_commit_from_before_its_partition_went_away_and_came_back_sets_nothing_back,
    commits::nothing_committed_means_from_the_start,
    replay::from_an_offset,
    replay::from_a_time,
    replay::from_the_end_only_what_comes_after,
    replay::a_reader_waits_for_more_and_needs_no_group,
}
