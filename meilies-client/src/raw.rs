//! A connection for tools that show a user what a server says.

use std::sync::Arc;

use bytes::BytesMut;
use meilies_protocol::{Value, writer};
use tokio::io::AsyncWriteExt;

use crate::builder::Options;
use crate::connection::{Connection, closed, lost};
use crate::{Builder, Error};

/// One connection without anything on top: it sends any command, gives replies and pushes as they
/// come, and is of no use any more once it has failed.
///
/// ```no_run
/// use meilies_client::{Client, RawConnection};
///
/// # async fn example() -> Result<(), meilies_client::Error> {
/// let builder = Client::builder("localhost")?;
/// let mut connection = RawConnection::connect(&builder).await?;
/// connection.send(&["ECHO", "hello"]).await?;
/// println!("{:?}", connection.next().await?);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct RawConnection {
    connection: Connection,
    options: Arc<Options>,
    output: BytesMut,
}

impl RawConnection {
    /// Connects, gives user and password if there are any, and switches to RESP3.
    pub async fn connect(builder: &Builder) -> Result<RawConnection, Error> {
        let options = Arc::new(builder.options().clone());
        Ok(RawConnection {
            connection: Connection::open(&options).await?,
            options,
            output: BytesMut::new(),
        })
    }

    /// Sends a command and waits until the system has taken it. If this is dropped before, the
    /// connection is of no use any more, for half of a command may be on its way.
    pub async fn send<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> Result<(), Error> {
        let words: Vec<&[u8]> = arguments.iter().map(AsRef::as_ref).collect();
        self.output.clear();
        writer::command(&mut self.output, &words);
        let sent = self.connection.socket.write_all(&self.output).await;
        sent.map_err(|error| lost(&self.options, error))
    }

    /// Waits for the next reply, or push, which is a [`Value::Push`]. May be dropped: nothing is
    /// lost.
    pub async fn next(&mut self) -> Result<Value, Error> {
        loop {
            if let Some(value) = self.connection.input.next_value()? {
                return Ok(value);
            }
            let ahead = self.options.prefetch_bytes;
            let read = self
                .connection
                .input
                .read(&mut self.connection.socket, ahead);
            if read.await.map_err(|error| lost(&self.options, error))? == 0 {
                return Err(closed(&self.options));
            }
        }
    }
}
