//! Publishes an event and reads its stream from the beginning.
//!
//! ```sh
//! cargo run --example hello [meilies://host:port]
//! ```

// An example may print.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use futures::StreamExt;
use meilies_client::{Client, Error, Expect, Item};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let url = std::env::args().nth(1);
    let client = Client::connect(url.as_deref().unwrap_or("meilies://localhost")).await?;

    let number = client
        .publish("greetings", "greeted", "hello, world", Expect::Any)
        .await?;
    println!("published event {number}");

    let mut greetings = client.subscribe(["greetings:0"]).await?;
    while let Some(item) = greetings.next().await {
        match item? {
            Item::Event(event) => println!("{} {:?}", event.number, event.data_text()),
            // A real program would go on here: what comes now is live.
            Item::CaughtUp { .. } => break,
            Item::Ended { .. } | Item::Deleted { .. } => {}
        }
    }
    client.close().await;
    Ok(())
}
