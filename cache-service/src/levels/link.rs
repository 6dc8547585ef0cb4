//! The connection to Redis: made in the background, forgotten when it seems dead, made again.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisResult};

enum State {
    Absent,
    Connecting,
    Connected(MultiplexedConnection),
}

/// Why there is no connection now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoLink {
    /// Somebody else is at it.
    Connecting,
    /// It was tried and failed, in a few words that hold no address.
    Failed(String),
}

/// See the module.
pub(super) struct Link {
    client: Client,
    /// Longest wait for a connection. Longer than for an answer: TLS, far away.
    patience: Duration,
    state: Arc<Mutex<State>>,
}

impl Link {
    pub(super) fn new(url: &str, patience: Duration) -> RedisResult<Self> {
        Ok(Self {
            client: Client::open(url)?,
            patience,
            state: Arc::new(Mutex::new(State::Absent)),
        })
    }

    /// The connection, made if need be. Giving up waiting does not stop the making.
    pub(super) async fn get(&self) -> Result<MultiplexedConnection, NoLink> {
        let connecting = {
            let mut state = self.state.lock();
            match &*state {
                State::Connected(connection) => return Ok(connection.clone()),
                State::Connecting => return Err(NoLink::Connecting),
                State::Absent => {
                    *state = State::Connecting;
                    tokio::spawn(connect(self.client.clone(), self.patience, self.state.clone()))
                }
            }
        };
        match connecting.await {
            Ok(connected) => connected.map_err(NoLink::Failed),
            Err(gone) => Err(NoLink::Failed(gone.to_string())),
        }
    }

    /// The next use connects anew.
    pub(super) fn forget(&self) {
        let mut state = self.state.lock();
        if matches!(*state, State::Connected(_)) {
            *state = State::Absent;
        }
    }
}

async fn connect(
    client: Client,
    patience: Duration,
    state: Arc<Mutex<State>>,
) -> Result<MultiplexedConnection, String> {
    // Waiting for answers is bounded by the caller.
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(patience))
        .set_response_timeout(None);
    let connected = tokio::time::timeout(
        patience,
        client.get_multiplexed_async_connection_with_config(&config),
    );
    let connected = match connected.await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) if error.is_connection_refusal() => Err("the connection is refused".to_owned()),
        Ok(Err(error)) => Err(error.category().to_owned()),
        Err(_) => Err("no connection in time".to_owned()),
    };
    *state.lock() = match &connected {
        Ok(connection) => State::Connected(connection.clone()),
        Err(_) => State::Absent,
    };
    connected
}
