//! The connection to Redis: made in the background, forgotten when it seems dead, made again.
//!
//! Why not `redis`'s own `ConnectionManager` (1.8.1, measured in our place):
//! - It does not leave a connection that fell silent without being closed (a failover behind a load balancer, a firewall that
//!   forgot it): to it a time-out is no reason to reconnect, and the kernel has one only after minutes. Not back after 30 s and
//!   149 commands, where a trial of ours makes a new connection (`a_connection_that_falls_silent_is_left_for_a_new_one`).
//! - A refusal while connecting that is no I/O error it keeps for ever: refused once by a Redis that was loading its data, it
//!   was not back after 10 s and 466 commands, for it did not connect again.
//! - It makes its first connection only while a command waits for it, so one that takes longer than commands wait is never made.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client};

use super::client::why_not;

enum Connection {
    Absent,
    Connecting,
    Made(MultiplexedConnection),
}

/// Why there is no connection now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoLink {
    /// It is being made for another command.
    Connecting,
    /// It was tried and failed, in a few words that hold no address.
    Failed(String),
}

/// See the module.
pub(super) struct Link {
    client: Client,
    /// Longest wait for a connection. Longer than for an answer: TLS, far away.
    patience: Duration,
    connection: Arc<Mutex<Connection>>,
}

impl Link {
    pub(super) fn new(client: Client, patience: Duration) -> Self {
        Self {
            client,
            patience,
            connection: Arc::new(Mutex::new(Connection::Absent)),
        }
    }

    /// The connection, made if need be. Giving up waiting does not stop the making.
    pub(super) async fn get(&self) -> Result<MultiplexedConnection, NoLink> {
        let connecting = {
            let mut current = self.connection.lock();
            match &*current {
                Connection::Made(connection) => return Ok(connection.clone()),
                Connection::Connecting => return Err(NoLink::Connecting),
                Connection::Absent => {
                    *current = Connection::Connecting;
                    tokio::spawn(connect(
                        self.client.clone(),
                        self.patience,
                        self.connection.clone(),
                    ))
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
        let mut current = self.connection.lock();
        if matches!(*current, Connection::Made(_)) {
            *current = Connection::Absent;
        }
    }
}

async fn connect(
    client: Client,
    patience: Duration,
    current: Arc<Mutex<Connection>>,
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
        Ok(Err(error)) => Err(why_not(&error)),
        Err(_) => Err("no connection in time".to_owned()),
    };
    *current.lock() = match &connected {
        Ok(connection) => Connection::Made(connection.clone()),
        Err(_) => Connection::Absent,
    };
    connected
}
