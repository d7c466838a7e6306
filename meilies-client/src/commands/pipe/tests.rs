//! Random requests, writes, losses and expiries against a naive model: what each server would have
//! read, byte for byte.

use std::collections::VecDeque;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::oneshot::Receiver;

use super::*;

/// A request: a line with its number. Some may be sent again.
struct Asked {
    number: u64,
    may_repeat: bool,
    receiver: Receiver<Outcome>,
}

#[derive(Default)]
struct Model {
    pipe: Pipe,
    chunk: Chunk,
    /// What this connection's server has read, and how much of it is executed.
    server: Vec<u8>,
    executed: usize,
    /// Replies that the server has made and the client has not read.
    replies: VecDeque<u64>,
    asked: Vec<Asked>,
    /// How often each request was executed, by its number.
    counts: Vec<u32>,
}

fn error() -> Error {
    Error::Closed {
        address: "h:1".to_owned(),
    }
}

impl Model {
    fn ask(&mut self, random: &mut StdRng) {
        let number = self.counts.len() as u64;
        self.counts.push(0);
        let line = format!("{number}{}\n", " ".repeat(random.random_range(0..50)));
        let may_repeat = random.random_bool(0.3);
        let again = may_repeat.then(|| Bytes::from(line.clone()));
        let (sender, receiver) = oneshot::channel();
        let was_empty = self.pipe.out.is_empty();
        let wake = self.pipe.enqueue(1, again, Some(sender), |out| {
            out.extend_from_slice(line.as_bytes());
        });
        assert_eq!(wake, was_empty);
        self.asked.push(Asked {
            number,
            may_repeat,
            receiver,
        });
    }

    fn write(&mut self, random: &mut StdRng) {
        if self.chunk.rest().is_empty() && !self.pipe.take(&mut self.chunk) {
            return;
        }
        let written = random.random_range(1..=self.chunk.rest().len());
        self.server.extend_from_slice(&self.chunk.rest()[..written]);
        self.chunk.written += written;
    }

    fn execute(&mut self) {
        while let Some(end) = self.server[self.executed..]
            .iter()
            .position(|b| *b == b'\n')
        {
            let line = &self.server[self.executed..self.executed + end];
            let line = std::str::from_utf8(line).expect("digits").trim();
            let number: u64 = line
                .parse()
                .unwrap_or_else(|_| panic!("a torn line: {line:?}"));
            self.executed += end + 1;
            self.counts[usize::try_from(number).expect("few")] += 1;
            self.replies.push_back(number);
        }
    }

    fn reply(&mut self, random: &mut StdRng) {
        let count = random.random_range(0..=self.replies.len());
        let mut replies: Vec<Value> = self
            .replies
            .drain(..count)
            .map(|number| Value::Integer(number.cast_signed()))
            .collect();
        let mut answered = Answered::default();
        assert_eq!(self.pipe.answer(&mut replies, &mut answered), None);
        assert_eq!(answered.cost, count);
        answered.send();
    }

    /// The server may have executed what it has read, or die before.
    fn lose(&mut self, random: &mut StdRng) {
        if random.random_bool(0.5) {
            self.execute();
        }
        self.pipe.lose(&mut self.chunk, &error());
        self.server.clear();
        self.executed = 0;
        self.replies.clear();
        // Some of those who have waited longest give up before there is a connection again.
        if random.random_bool(0.5) && !self.pipe.slots.is_empty() {
            let at = random.random_range(0..self.pipe.slots.len());
            let moment = self.pipe.slots[at].queued_at;
            self.pipe.expire(moment, &error());
        }
        assert_eq!(
            self.pipe.end - self.pipe.out_begin,
            self.pipe.out.len() as u64
        );
    }

    /// Everybody has one answer at most, and it is true.
    fn check(&mut self) {
        let counts = &self.counts;
        self.asked.retain_mut(|asked| {
            let executed = counts[usize::try_from(asked.number).expect("few")];
            assert!(
                executed <= 1 || asked.may_repeat,
                "{} was sent twice",
                asked.number
            );
            match asked.receiver.try_recv() {
                Err(oneshot::error::TryRecvError::Empty) => return true,
                Err(closed) => panic!("{} has no answer: {closed}", asked.number),
                Ok(Outcome::Replied(value)) => assert_eq!(value.as_u64(), Some(asked.number)),
                Ok(Outcome::NotSent(_)) => assert!(executed == 0 || asked.may_repeat),
                Ok(Outcome::MaybeSent(_)) => assert!(!asked.may_repeat),
            }
            false
        });
    }
}

#[test]
fn no_outage_sends_twice_or_gives_the_wrong_answer() {
    for seed in 0..300 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut model = Model::default();
        for _ in 0..300 {
            match random.random_range(0..100) {
                0..40 => model.ask(&mut random),
                40..70 => model.write(&mut random),
                70..80 => model.execute(),
                80..95 => model.reply(&mut random),
                _ => model.lose(&mut random),
            }
            model.check();
        }
        // Over a last connection that holds everybody is answered.
        while !model.pipe.out.is_empty() || !model.chunk.rest().is_empty() {
            model.write(&mut random);
        }
        model.execute();
        while !model.replies.is_empty() {
            model.reply(&mut random);
        }
        model.check();
        assert!(
            model.asked.is_empty(),
            "{} are left, seed {seed}",
            model.asked.len()
        );
        assert!(model.pipe.is_idle());
    }
}

#[test]
fn the_end_answers_everybody() {
    let mut random = StdRng::seed_from_u64(1);
    let mut model = Model::default();
    for _ in 0..10 {
        model.ask(&mut random);
        model.write(&mut random);
    }
    model.execute();
    let sent = model.chunk.sent();
    model.pipe.end(sent, &error());
    for mut asked in model.asked {
        let executed = model.counts[usize::try_from(asked.number).expect("few")];
        match asked.receiver.try_recv().expect("an answer") {
            Outcome::NotSent(_) => assert_eq!(executed, 0),
            Outcome::MaybeSent(_) => assert_eq!(executed, 1),
            Outcome::Replied(value) => panic!("{value:?}"),
        }
    }
    assert!(matches!(model.pipe.state(), State::Over(_)));
    assert!(
        model
            .pipe
            .oldest()
            .is_none_or(|at| at.elapsed() < Duration::ZERO)
    );
}
