//! Workers that share the events of a stream: each order is billed by one of them.
//!
//! Start it as often as you like, each time with another name, and kill any of them: what a worker
//! has read and not acknowledged is taken over by the others after some seconds, or given to it
//! again when it comes back. So an order is billed at least once; that it is no more than once sees
//! to the expectation that its bill has no event yet. Ctrl-C ends it.
//!
//! ```sh
//! cargo run --example worker_group -- alice [meilies://host:port]
//! ```

// An example may print.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::time::Duration;

use futures::TryStreamExt;
use meilies_client::{Client, Delivery, Error, Expect, GroupStart};

/// A worker that has not acknowledged for so long counts as dead.
const PATIENCE: Duration = Duration::from_secs(2);

/// Bills an order, once.
async fn bill(client: &Client, order: &Delivery, worker: &str) -> Result<(), Error> {
    let bill = format!("bill-of-{}", order.id);
    let total = order.get("total").unwrap_or(b"0");
    let fields = [("total", total), ("by", worker.as_bytes())];
    match client.append(bill, fields, Expect::None).await {
        Ok(_) => println!("{worker} billed {}", order.id),
        // It was billed before, and only that was not acknowledged.
        Err(Error::Conflict(_) | Error::Unknown { found: Some(_), .. }) => {
            println!("{} is billed already", order.id);
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let worker = arguments.next().unwrap_or("alice".to_owned());
    let url = arguments.next().unwrap_or("meilies://localhost".to_owned());
    let client = Client::builder(&url)?
        .name("billing-worker")
        .on_lifecycle(|lifecycle| eprintln!("{:?}: {:?}", lifecycle.connection, lifecycle.change))
        .connect()
        .await?;

    let group = client.group("orders", "billing")?;
    group.create(GroupStart::Beginning).await?;
    let consumer = group.consumer(&worker).prefetch(10).claim_idle(PATIENCE);
    let mut orders = consumer.connect().await?;
    let work = async {
        while let Some(order) = orders.try_next().await? {
            bill(&client, &order, &worker).await?;
            group.ack([order.id]).await?;
        }
        Ok(())
    };
    tokio::select! {
        outcome = work => outcome,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}
