//! The `redis` crate in the test: one life, through its blocking connection and through its
//! multiplexed one.

mod groups;
pub(crate) mod link;
mod shown;
mod streams;
mod transactions;

use link::{Kind, Link};

use super::server::Server;

/// Connections and the server that they lead to.
struct Life<S> {
    server: S,
    kind: Kind,
    protocol: &'static str,
    link: Link,
    other: Link,
}

/// Lives the life on a server of its own.
pub(crate) fn live<S: Server>(kind: Kind, protocol: &'static str) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    runtime.block_on(async {
        let server = S::start();
        let link = Link::open(kind, server.address(), protocol).await;
        let other = Link::open(kind, server.address(), protocol).await;
        let mut life = Life {
            server,
            kind,
            protocol,
            link,
            other,
        };
        life.streams().await;
        life.groups().await;
        life.transactions().await;
        let left: usize = life.query(&redis::cmd("DBSIZE")).await;
        assert_eq!(left, 0, "every step deletes what it added");
    });
}

impl<S: Server> Life<S> {
    async fn connect(&self) -> Link {
        Link::open(self.kind, self.server.address(), self.protocol).await
    }

    /// The reply to a command that is not refused.
    async fn query<T: redis::FromRedisValue>(&mut self, command: &redis::Cmd) -> T {
        self.link
            .query(command)
            .await
            .unwrap_or_else(|error| panic!("{}: {error}", shown::command(command)))
    }

    /// Fails unless a command is refused with this code and text.
    async fn refuse(&mut self, command: &redis::Cmd, code: &str, text: &str) {
        let reply = self.link.query::<redis::Value>(command).await;
        let shown = shown::command(command);
        match reply {
            Ok(value) => panic!("{shown} is not refused but answered {value:?}"),
            Err(error) => assert_eq!(
                (error.code(), error.detail()),
                (Some(code), Some(text)),
                "{shown}"
            ),
        }
    }

    /// Adds the entries 1-0 … count-0.
    async fn fill(&mut self, key: &str, count: usize) {
        for number in 1..=count {
            let id = format!("{number}-0");
            let added: String = self
                .query(&redis::Cmd::xadd(key, &id, &[("n", number)]))
                .await;
            assert_eq!(added, id);
        }
    }

    async fn delete(&mut self, key: &str) {
        let deleted: usize = self.query(&redis::Cmd::del(key)).await;
        assert_eq!(deleted, 1, "DEL {key}");
    }
}
