//! A bank account that is nothing but its events: several tellers withdraw at the same time, and
//! the balance never falls below zero, without any lock.
//!
//! Each teller reads the account's events, decides, and publishes with the number of the last event
//! that it has read. If another teller was faster, the server refuses, and it reads on and decides
//! again.
//!
//! ```sh
//! cargo run --example account --features json [meilies://host:port]
//! ```

// An example may print.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use futures::TryStreamExt;
use futures::future::try_join_all;
use meilies_client::{Client, Error, Event, EventNumber, Expect};
use serde::{Deserialize, Serialize};

/// What can happen to an account.
#[derive(Debug, Serialize, Deserialize)]
struct Booking {
    cents: u64,
    /// Makes each booking unlike every other one, so that it is known again: see `withdraw`.
    id: String,
}

/// The account as its events make it.
#[derive(Debug, Default)]
struct Account {
    cents: u64,
    /// Where it stands in its stream.
    last: Option<EventNumber>,
}

impl Account {
    /// Reads what is new.
    async fn refresh(&mut self, client: &Client, stream: &str) -> Result<(), Error> {
        let next = self.last.map_or(0, |last| last + 1);
        let mut events = client.read(format!("{stream}:{next}:+"))?;
        while let Some(event) = events.try_next().await? {
            self.apply(&event);
        }
        Ok(())
    }

    fn apply(&mut self, event: &Event) {
        let booking: Booking = event.json().expect("this program has written it");
        match event.name() {
            b"deposited" => self.cents += booking.cents,
            b"withdrawn" => self.cents -= booking.cents,
            other => panic!("unknown event {}", other.escape_ascii()),
        }
        self.last = Some(event.number);
    }

    fn expect(&self) -> Expect {
        self.last.map_or(Expect::None, Expect::Number)
    }
}

/// Withdraws if there is enough. Says whether there was.
async fn withdraw(client: &Client, stream: &str, booking: &Booking) -> Result<bool, Error> {
    let mut account = Account::default();
    loop {
        account.refresh(client, stream).await?;
        if account.cents < booking.cents {
            return Ok(false);
        }
        let published = client.publish_json(stream, "withdrawn", booking, account.expect());
        match published.await {
            // If the reply was lost, the event that was found is ours: nobody else has this id.
            Ok(_) | Err(Error::Unknown { found: Some(_), .. }) => return Ok(true),
            // Another teller was faster.
            Err(Error::Conflict(_)) => {}
            Err(error) => return Err(error),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let url = std::env::args().nth(1);
    let client = Client::connect(url.as_deref().unwrap_or("meilies://localhost")).await?;
    let stream = format!("account-{}", std::process::id());

    let deposit = Booking {
        cents: 1000,
        id: "first".to_owned(),
    };
    client
        .publish_json(&stream, "deposited", &deposit, Expect::None)
        .await?;

    // 20 tellers, each with 90 cents to withdraw: 11 of them can.
    let tellers = (0..20).map(|teller| {
        let (client, stream) = (client.clone(), stream.clone());
        let booking = Booking {
            cents: 90,
            id: format!("teller-{teller}"),
        };
        async move { withdraw(&client, &stream, &booking).await }
    });
    let served = try_join_all(tellers).await?;
    let served = served.into_iter().filter(|served| *served).count();

    let mut account = Account::default();
    account.refresh(&client, &stream).await?;
    println!(
        "{served} of 20 tellers were served, {} cents are left",
        account.cents
    );
    Ok(())
}
