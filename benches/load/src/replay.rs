//! Replaying a stream: every number comes once, in order, with the data that was published.

use std::io::Write;
use std::net::TcpStream;
use std::ops::Range;
use std::time::Instant;

use bytes::BytesMut;
use meilies_protocol::{Event, Push, writer};

use crate::connection::Replies;
use crate::{LoadError, event, tell};

/// Reads the events, checks each, and tells `events` and `seconds`.
pub(crate) fn run(
    address: &str,
    stream: &str,
    data_bytes: usize,
    numbers: Range<u64>,
) -> Result<(), LoadError> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    let mut replies = Replies::new(socket.try_clone()?);
    let spec = format!("{stream}:{}:{}", numbers.start, numbers.end);
    let begin = Instant::now();
    let mut out = BytesMut::new();
    writer::command(&mut out, &[b"HELLO", b"3"]);
    writer::command(&mut out, &[b"SUBSCRIBE", spec.as_bytes()]);
    socket.write_all(&out)?;
    replies.next()?;

    let mut expected = numbers.start;
    loop {
        match Push::from_value(replies.next()?) {
            Ok(Push::Event(event)) => {
                check(&event, expected, data_bytes)?;
                expected += 1;
            }
            Ok(Push::Ended { next, .. }) if next == numbers.end && expected == next => break,
            Ok(Push::Subscribed { .. } | Push::CaughtUp { .. }) => {}
            Ok(other) => return Err(unexpected(expected, &other)),
            Err(other) => return Err(unexpected(expected, &other)),
        }
    }
    tell("events", expected - numbers.start)?;
    tell("seconds", begin.elapsed().as_secs_f64())?;
    Ok(())
}

fn check(event: &Event, expected: u64, data_bytes: usize) -> Result<(), LoadError> {
    if event.number != expected {
        return Err(unexpected(expected, &event.number));
    }
    if event.name() != event::NAME || !event::is(event.data(), expected, data_bytes) {
        return Err(LoadError::Data {
            number: expected,
            got: event.data().escape_ascii().to_string(),
        });
    }
    Ok(())
}

fn unexpected(expected: u64, got: &impl std::fmt::Debug) -> LoadError {
    LoadError::Number {
        expected,
        got: format!("{got:?}"),
    }
}
