//! The first and the last event of a stream.

use bytes::BytesMut;
use futures::TryStreamExt;
use meilies_client::{Client, Event, Spec, StreamName};
use meilies_protocol::{From, Source};

use crate::failure::Failure;

/// The events that are kept at both ends of a stream; none if there are none.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    pub(crate) first: Option<Event>,
    pub(crate) last: Option<Event>,
}

impl Ends {
    pub(crate) async fn ask(client: &Client, stream: &StreamName) -> Result<Ends, Failure> {
        let spec = Spec {
            source: Source::Stream(stream.clone()),
            from: Some(From::Number(0)),
            until: None,
        };
        let mut text = BytesMut::new();
        spec.write(&mut text);
        let mut first = client.read(&text)?.limit(1);
        let mut last = client.read(&text)?.reverse().limit(1);
        Ok(Ends {
            first: first.try_next().await?,
            last: last.try_next().await?,
        })
    }
}
