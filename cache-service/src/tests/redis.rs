//! The shared level against the real server, and against a dead one.

use std::time::{Duration, Instant};

use redis::AsyncCommands;
use relay_clock::Clock;
use relay_runner::Health;
use relay_schemas::{TimestampMs, samples};

use crate::config::{BreakerConfig, RedisConfig};
use crate::entry::{Entry, Owner};
use crate::levels::{Away, FillResult, Levels, LookupResult, Lru, RedisLevel};
use crate::metrics::Metrics;
use crate::testing::{entry, entry_of, owner};

fn now() -> TimestampMs {
    Clock::system().now()
}

fn url() -> String {
    std::env::var("RELAY_REDIS_URL")
        .expect("RELAY_REDIS_URL is not set: run `make test`, which starts the servers")
}

/// Keys of this test alone.
fn config(test: &str) -> RedisConfig {
    RedisConfig {
        prefix: format!("relay-test:{}:{test}:", now().0),
        // The machine may be busy; what is shown here is not speed.
        timeout: Duration::from_secs(5),
        ..RedisConfig::at(url())
    }
}

fn breaker(pause: Duration) -> BreakerConfig {
    BreakerConfig {
        pause,
        ..BreakerConfig::default()
    }
}

fn levels(config: &RedisConfig) -> Levels {
    let metrics = Metrics::register(&prometheus::Registry::new()).expect("fresh");
    Levels {
        lru: Lru::new(1 << 20),
        redis: Some(
            RedisLevel::new(config, 4_096, Clock::system(), metrics.clone(), Health::default())
                .expect("a URL"),
        ),
        metrics,
    }
}

async fn fill(levels: &Levels, entry: Entry) -> FillResult {
    levels.fill(entry, 1 << 20, now()).await
}

async fn get(levels: &Levels, owner: &Owner) -> LookupResult {
    levels.get(&owner.key(), owner, 60_000, now()).await
}

async fn raw() -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(url()).expect("a URL");
    client
        .get_multiplexed_async_connection()
        .await
        .expect("Redis is up")
}

fn text_and_level(found: LookupResult) -> Option<(String, &'static str)> {
    match found {
        LookupResult::Hit(entry, level) => Some((entry.answer.first_text().to_owned(), level)),
        _ => None,
    }
}

#[tokio::test]
async fn an_instance_reads_what_another_filled_and_keeps_it() {
    let config = config("shared");
    let (one, two) = (levels(&config), levels(&config));
    let owner = owner("acme", "h", "s");
    assert_eq!(get(&two, &owner).await, LookupResult::Miss);
    fill(&one, entry(owner.clone(), "Paris", now(), 60_000)).await;
    assert_eq!(
        text_and_level(get(&two, &owner).await),
        Some(("Paris".to_owned(), "redis"))
    );
    assert_eq!(
        text_and_level(get(&two, &owner).await),
        Some(("Paris".to_owned(), "lru"))
    );
}

#[tokio::test]
async fn a_whole_answer_comes_back_from_redis_as_it_was() {
    let config = config("whole");
    let owner = owner("acme", "h", "s");
    let filled = entry_of(owner.clone(), samples::rich_answer(), now(), 60_000);
    fill(&levels(&config), filled).await;
    let LookupResult::Hit(entry, "redis") = get(&levels(&config), &owner).await else {
        panic!("no hit")
    };
    assert_eq!(*entry.answer, samples::rich_answer());
}

#[tokio::test]
async fn the_first_fill_wins_across_instances() {
    let config = config("first");
    let (one, two) = (levels(&config), levels(&config));
    let owner = owner("acme", "h", "s");
    let now = now();
    assert_eq!(
        fill(&one, entry(owner.clone(), "first", now, 60_000)).await,
        FillResult::Filled
    );
    assert_eq!(
        fill(&two, entry(owner.clone(), "second", now, 60_000)).await,
        FillResult::Present
    );
    assert_eq!(
        text_and_level(get(&two, &owner).await),
        Some(("first".to_owned(), "redis"))
    );
}

#[tokio::test]
async fn an_entry_leaves_redis_when_its_time_is_over() {
    let config = config("ttl");
    let owner = owner("acme", "h", "s");
    let produced = now().plus_ms(-50_000);
    fill(&levels(&config), entry(owner.clone(), "Paris", produced, 60_000)).await;
    let left: i64 = raw()
        .await
        .pttl(format!("{}{}", config.prefix, owner.key()))
        .await
        .expect("an answer");
    assert!(
        (1..=10_000).contains(&left),
        "{left} ms left: the age counts from when it was produced"
    );
}

#[tokio::test]
async fn garbage_giants_and_other_types_are_misses_and_are_removed() {
    let config = config("garbage");
    let owner = owner("acme", "h", "s");
    let key = format!("{}{}", config.prefix, owner.key());
    let mut raw = raw().await;
    let giant = entry(owner.clone(), &"x".repeat(10_000), now(), 60_000).to_bytes();
    for garbage in [&b"garbage"[..], b"{}", &giant] {
        let levels = levels(&config);
        let () = raw.set(&key, garbage).await.expect("set");
        assert_eq!(get(&levels, &owner).await, LookupResult::Miss);
        assert_eq!(levels.metrics.unusable_count("garbage"), 1);
        assert!(!raw.exists::<_, bool>(&key).await.expect("an answer"));
    }
    let levels = levels(&config);
    let () = raw.rpush(&key, "a list").await.expect("pushed");
    assert_eq!(get(&levels, &owner).await, LookupResult::Miss);
    assert!(!raw.exists::<_, bool>(&key).await.expect("an answer"));
    fill(&levels, entry(owner.clone(), "Paris", now(), 60_000)).await;
    assert!(
        text_and_level(get(&levels, &owner).await).is_some(),
        "it is used again at once"
    );
}

#[tokio::test]
async fn another_tenants_entry_under_our_key_is_a_miss_and_is_removed() {
    let config = config("foreign");
    let levels = levels(&config);
    let (mine, theirs) = (owner("acme", "h", "s"), owner("zeta", "h", "s"));
    let key = format!("{}{}", config.prefix, mine.key());
    let mut raw = raw().await;
    let () = raw
        .set(&key, entry(theirs, "secret", now(), 60_000).to_bytes())
        .await
        .expect("set");
    assert_eq!(get(&levels, &mine).await, LookupResult::Miss);
    assert_eq!(levels.metrics.unusable_count("foreign"), 1);
    assert!(!raw.exists::<_, bool>(&key).await.expect("an answer"));
}

/// A server that accepts connections and never says a word: the worst way to be dead.
async fn silent() -> (String, tokio::net::TcpListener) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    (
        format!("redis://{}", listener.local_addr().expect("bound")),
        listener,
    )
}

#[tokio::test]
async fn a_dead_redis_is_bypassed_in_bounded_time_and_the_first_level_goes_on() {
    let (silent_url, _listener) = silent().await;
    for url in [silent_url.as_str(), "redis://127.0.0.1:1"] {
        let levels = levels(&RedisConfig {
            timeout: Duration::from_millis(50),
            breaker: breaker(Duration::from_mins(10)),
            ..RedisConfig::at(url)
        });
        let began = Instant::now();
        for number in 0..500 {
            let owner = owner("acme", &number.to_string(), "s");
            assert_eq!(get(&levels, &owner).await, LookupResult::Unavailable, "{url}");
            let filled = fill(&levels, entry(owner.clone(), "Paris", now(), 60_000)).await;
            assert_eq!(filled, FillResult::Filled);
            assert_eq!(
                text_and_level(get(&levels, &owner).await),
                Some(("Paris".to_owned(), "lru"))
            );
        }
        // Not speed, but the bound: without the breaker, 1,000 waits of 50 ms.
        assert!(
            began.elapsed() < Duration::from_secs(25),
            "{url}: {:?}",
            began.elapsed()
        );
    }
}

#[tokio::test]
async fn a_redis_that_comes_back_is_used_again_without_a_restart() {
    // A proxy that hangs up until it is switched on stands for a server that starts later.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("bound");
    let (open, opened) = tokio::sync::watch::channel(false);
    tokio::spawn(async move {
        let target = redis::Client::open(url())
            .expect("a URL")
            .get_connection_info()
            .addr()
            .to_string();
        while let Ok((mut inbound, _)) = listener.accept().await {
            if !*opened.borrow() {
                continue;
            }
            let mut outbound = tokio::net::TcpStream::connect(&target)
                .await
                .expect("Redis is up");
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut inbound, &mut outbound).await });
        }
    });
    let metrics = Metrics::register(&prometheus::Registry::new()).expect("fresh");
    let config = RedisConfig {
        url: format!("redis://{address}").into(),
        breaker: breaker(Duration::from_millis(1)),
        ..config("back")
    };
    let health = Health::default();
    let level = RedisLevel::new(&config, 4_096, Clock::system(), metrics, health.clone()).expect("a URL");
    for _ in 0..5 {
        assert_eq!(level.get("k").await, Err(Away));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(health.told()["redis"].starts_with("bypassed: "), "{health:?}");
    assert!(health.is_ready());
    open.send_replace(true);
    let back = async {
        while level.get("k").await.is_err() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), back)
        .await
        .expect("it comes back by itself");
}

/// A path to the real server whose connections fall silent when it is told so: those that are open then say nothing more,
/// and are not closed. Later ones work.
struct SilencedPath {
    url: String,
    silenced: tokio::sync::watch::Sender<bool>,
}

async fn silenced_path() -> SilencedPath {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let url = format!("redis://{}", listener.local_addr().expect("bound"));
    let (silenced, listening) = tokio::sync::watch::channel(false);
    let target = redis::Client::open(self::url())
        .expect("a URL")
        .get_connection_info()
        .addr()
        .to_string();
    tokio::spawn(async move {
        while let Ok((mut inbound, _)) = listener.accept().await {
            let mut outbound = tokio::net::TcpStream::connect(&target)
                .await
                .expect("Redis is up");
            let mut silence = listening.clone();
            silence.mark_unchanged();
            tokio::spawn(async move {
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut inbound, &mut outbound) => {}
                    // Both ends stay open for ever.
                    _ = silence.changed() => std::future::pending().await,
                }
            });
        }
    });
    SilencedPath { url, silenced }
}

/// As after a failover behind a load balancer, or a firewall that forgot the connection: no end is told of it.
#[tokio::test]
async fn a_connection_that_falls_silent_is_left_for_a_new_one() {
    let path = silenced_path().await;
    let level = RedisLevel::new(
        &RedisConfig {
            url: path.url.as_str().into(),
            timeout: Duration::from_millis(200),
            breaker: breaker(Duration::from_millis(1)),
            ..config("silent")
        },
        4_096,
        Clock::system(),
        Metrics::register(&prometheus::Registry::new()).expect("fresh"),
        Health::default(),
    )
    .expect("a URL");
    let answers = async || {
        let answer = async {
            while level.get("k").await.is_err() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), answer).await
    };
    answers().await.expect("it is connected");
    path.silenced.send_replace(true);
    assert_eq!(level.get("k").await, Err(Away));
    answers().await.expect("a new connection is made by itself");
}
