//! One connection of the crate, blocking or multiplexed, behind the same calls.

use std::net::SocketAddr;

use meilies_tests::client::DEADLINE;
use redis::aio::MultiplexedConnection;
use redis::streams::StreamReadReply;
use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, Pipeline, RedisResult};
use tokio::task::JoinHandle;

/// Which of the crate's connections.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Blocking,
    Multiplexed,
}

/// An open connection.
pub(crate) enum Link {
    Blocking(redis::Connection),
    Multiplexed(MultiplexedConnection),
}

impl Link {
    /// Connects; `protocol` is `resp2` or `resp3`.
    pub(crate) async fn open(kind: Kind, address: SocketAddr, protocol: &str) -> Self {
        let client = Client::open(format!("redis://{address}/?protocol={protocol}"))
            .expect("the address is one");
        match kind {
            Kind::Blocking => {
                let connection = client.get_connection().expect("it connects");
                connection
                    .set_read_timeout(Some(DEADLINE))
                    .expect("a time-out can be set");
                Self::Blocking(connection)
            }
            Kind::Multiplexed => {
                // By itself the crate gives up after half a second, which a blocking read outlasts.
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(DEADLINE))
                    .set_response_timeout(Some(DEADLINE));
                let connection = client
                    .get_multiplexed_async_connection_with_config(&config)
                    .await;
                Self::Multiplexed(connection.expect("it connects"))
            }
        }
    }

    /// Sends a command and waits for its reply.
    pub(crate) async fn query<T: FromRedisValue>(&mut self, command: &Cmd) -> RedisResult<T> {
        match self {
            Self::Blocking(connection) => command.query(connection),
            Self::Multiplexed(connection) => command.query_async(connection).await,
        }
    }

    /// Sends several commands at once and waits for their replies.
    pub(crate) async fn pipe<T: FromRedisValue>(&mut self, pipe: &Pipeline) -> RedisResult<T> {
        match self {
            Self::Blocking(connection) => pipe.query(connection),
            Self::Multiplexed(connection) => pipe.query_async(connection).await,
        }
    }

    /// Begins a read that waits, beside the other connections.
    pub(crate) fn begin(mut self, command: Cmd) -> JoinHandle<RedisResult<StreamReadReply>> {
        match self {
            Self::Blocking(mut connection) => {
                tokio::task::spawn_blocking(move || command.query(&mut connection))
            }
            Self::Multiplexed(_) => tokio::spawn(async move { self.query(&command).await }),
        }
    }
}
