//! A worker that follows every stream and reacts to what it sees: for each `placed` event of an
//! order it publishes `shipped` to a stream of its own.
//!
//! It keeps no state: it starts at the first position, and the expectation that the shipment has no
//! event yet makes doing it again harmless. So it may be killed at any time, and run twice. Ctrl-C
//! ends it.
//!
//! ```sh
//! cargo run --example worker [meilies://host:port]
//! ```

// An example may print.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use futures::TryStreamExt;
use meilies_client::{Client, Error, Event, Expect};

/// Ships an order, once.
async fn ship(client: &Client, event: &Event) -> Result<(), Error> {
    let shipment = [b"shipment-of-", event.stream.as_bytes()].concat();
    match client
        .publish(shipment, "shipped", event.data(), Expect::None)
        .await
    {
        Ok(_) => println!("shipped {}", event.stream),
        // It was shipped before: by us, or by a worker beside us.
        Err(Error::Conflict(_) | Error::Unknown { found: Some(_), .. }) => {
            println!("{} is shipped already", event.stream);
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let url = std::env::args().nth(1);
    let client = Client::builder(url.as_deref().unwrap_or("meilies://localhost"))?
        .name("shipping-worker")
        .on_lifecycle(|lifecycle| eprintln!("{:?}: {:?}", lifecycle.connection, lifecycle.change))
        .connect()
        .await?;

    let mut events = client.subscribe(["$all:0"]).await?.events();
    let work = async {
        while let Some(event) = events.try_next().await? {
            if event.name() == b"placed" {
                ship(&client, &event).await?;
            }
        }
        Ok(())
    };
    tokio::select! {
        outcome = work => outcome,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}
