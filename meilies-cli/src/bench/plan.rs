//! Which calls publishers make, and when each is due. No clock is asked here: whoever asks says
//! what time it is, as the time since the start.
//!
//! At a fixed rate a call is due at its place in the schedule, whatever happened to the calls
//! before it, and its latency is counted from there. So the calls that a stalled server made late
//! are counted as late, and not left out (what is called coordinated omission).

use std::time::Duration;

const NANOSECONDS_A_SECOND: u128 = 1_000_000_000;

/// What all publishers do together.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Publishers, each with a connection of its own. They take the calls in turns.
    pub(crate) connections: u64,
    /// Streams, to which the calls go in turns.
    pub(crate) streams: u64,
    /// Events of a call.
    pub(crate) batch: u64,
    /// Calls of a publisher that may wait for their replies.
    pub(crate) pipeline: usize,
    /// Events a second; nothing is flat out.
    pub(crate) rate: Option<u64>,
    /// When it is enough.
    pub(crate) end: End,
}

/// When it is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// After so many events.
    Events(u64),
    /// When so much time has passed: what is due before is published.
    After(Duration),
}

/// A call to publish some events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// Which of the streams it is for.
    pub(crate) stream: usize,
    /// How many.
    pub(crate) events: u64,
    /// From when its latency is counted: when it was due, or flat out when it was made.
    pub(crate) from: Duration,
}

/// What a publisher does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// This call.
    Call(Call),
    /// Nothing before this time.
    Wait(Duration),
    /// Nothing before a reply comes.
    Full,
    /// Nothing more.
    Finished,
}

impl Plan {
    /// When a call is due. The schedule is counted from the start each time, so that it does not
    /// drift.
    fn due(&self, call: u64, rate: u64) -> Duration {
        let events = u128::from(call) * u128::from(self.batch);
        let nanoseconds = events * NANOSECONDS_A_SECOND / u128::from(rate);
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }

    /// Events of a call: the last has what is left.
    fn events(&self, call: u64) -> u64 {
        match self.end {
            End::After(_) => self.batch,
            End::Events(all) => {
                let before = call.saturating_mul(self.batch);
                all.saturating_sub(before).min(self.batch)
            }
        }
    }
}

/// What one of the publishers does.
#[derive(Debug)]
pub(crate) struct Lane {
    plan: Plan,
    /// The next of its calls among those of all.
    call: u64,
    waiting: usize,
}

impl Lane {
    /// The publisher of this index, the first being 0.
    pub(crate) fn new(plan: &Plan, index: u64) -> Lane {
        Lane {
            plan: plan.clone(),
            call: index,
            waiting: 0,
        }
    }

    /// What to do at this time since the start. A call counts as made.
    pub(crate) fn next(&mut self, now: Duration) -> Next {
        let due = self.plan.rate.map(|rate| self.plan.due(self.call, rate));
        let events = self.plan.events(self.call);
        let is_over = match self.plan.end {
            End::Events(_) => events == 0,
            End::After(limit) => due.unwrap_or(now) >= limit,
        };
        if is_over {
            return Next::Finished;
        }
        if let Some(due) = due
            && due > now
        {
            return Next::Wait(due);
        }
        if self.waiting >= self.plan.pipeline {
            return Next::Full;
        }
        let streams = self.plan.streams;
        let stream = usize::try_from(self.call % streams).expect("there are as many names");
        self.waiting += 1;
        self.call += self.plan.connections;
        Next::Call(Call {
            stream,
            events,
            from: due.unwrap_or(now),
        })
    }

    /// A call was replied to.
    pub(crate) fn replied(&mut self) {
        self.waiting -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, VecDeque};

    use super::*;
    use crate::bench::latency::{Latencies, Percentile};

    const MILLISECOND: Duration = Duration::from_millis(1);

    fn plan() -> Plan {
        Plan {
            connections: 1,
            streams: 1,
            batch: 1,
            pipeline: 1000,
            rate: None,
            end: End::Events(1000),
        }
    }

    /// All calls of all publishers, as if every reply came at once.
    fn calls(plan: &Plan, now: Duration) -> Vec<Call> {
        let mut calls = Vec::new();
        for index in 0..plan.connections {
            let mut lane = Lane::new(plan, index);
            while let Next::Call(call) = lane.next(now) {
                calls.push(call);
                lane.replied();
            }
        }
        calls
    }

    #[test]
    fn the_publishers_make_the_events_together() {
        for (events, batch, connections) in
            [(1, 1, 1), (10, 3, 2), (10, 3, 7), (1000, 64, 3), (6, 3, 1)]
        {
            let plan = Plan {
                connections,
                batch,
                end: End::Events(events),
                ..plan()
            };
            let calls = calls(&plan, Duration::ZERO);
            assert_eq!(calls.iter().map(|call| call.events).sum::<u64>(), events);
            assert_eq!(calls.len() as u64, events.div_ceil(batch));
            assert!(calls.iter().all(|call| call.events <= batch));
        }
    }

    #[test]
    fn calls_go_to_the_streams_in_turns() {
        let plan = Plan {
            streams: 4,
            connections: 2,
            end: End::Events(40),
            ..plan()
        };
        let mut of_streams = BTreeMap::new();
        for call in calls(&plan, Duration::ZERO) {
            *of_streams.entry(call.stream).or_insert(0) += call.events;
        }
        assert_eq!(
            of_streams,
            BTreeMap::from([(0, 10), (1, 10), (2, 10), (3, 10)])
        );
    }

    #[test]
    fn calls_are_due_at_their_place_in_the_schedule() {
        let plan = Plan {
            rate: Some(3),
            ..plan()
        };
        let mut lane = Lane::new(&plan, 0);
        assert!(matches!(lane.next(Duration::ZERO), Next::Call(_)));
        let third = Duration::from_nanos(333_333_333);
        assert_eq!(lane.next(Duration::ZERO), Next::Wait(third));
        // After any number of calls the schedule is what it was.
        assert_eq!(
            plan.due(3_000_000_000, 3),
            Duration::from_secs(1_000_000_000)
        );

        let batches = Plan { batch: 100, ..plan };
        assert_eq!(batches.due(3, 100), Duration::from_secs(3));
    }

    #[test]
    fn two_publishers_share_the_rate() {
        let plan = Plan {
            connections: 2,
            rate: Some(1000),
            ..plan()
        };
        let mut second = Lane::new(&plan, 1);
        assert_eq!(second.next(Duration::ZERO), Next::Wait(MILLISECOND));
        let call = second.next(MILLISECOND);
        assert!(matches!(call, Next::Call(call) if call.from == MILLISECOND));
        assert_eq!(second.next(MILLISECOND), Next::Wait(3 * MILLISECOND));
    }

    #[test]
    fn what_was_due_before_the_end_is_published_even_if_it_is_late() {
        let plan = Plan {
            rate: Some(1000),
            end: End::After(10 * MILLISECOND),
            ..plan()
        };
        let made = calls(&plan, Duration::from_secs(60));
        assert_eq!(made.len(), 10);
        assert_eq!(made[9].from, 9 * MILLISECOND);
        // Flat out there is no schedule.
        let flat_out = Plan { rate: None, ..plan };
        let mut lane = Lane::new(&flat_out, 0);
        assert!(matches!(lane.next(9 * MILLISECOND), Next::Call(_)));
        assert_eq!(lane.next(10 * MILLISECOND), Next::Finished);
    }

    #[test]
    fn a_full_pipeline_waits_for_a_reply() {
        let plan = Plan {
            pipeline: 2,
            ..plan()
        };
        let mut lane = Lane::new(&plan, 0);
        for _ in 0..2 {
            assert!(matches!(lane.next(Duration::ZERO), Next::Call(_)));
        }
        assert_eq!(lane.next(MILLISECOND), Next::Full);
        lane.replied();
        let call = lane.next(MILLISECOND);
        assert!(matches!(call, Next::Call(call) if call.from == MILLISECOND));
    }

    /// A clock that only moves when it is told to, and a server that answers each call after a
    /// tenth of a millisecond, but nothing between 200 and 700 ms.
    fn latencies_with_a_stall(plan: &Plan) -> Latencies {
        let stall = 200 * MILLISECOND..700 * MILLISECOND;
        let mut lane = Lane::new(plan, 0);
        let mut latencies = Latencies::new();
        let mut replies: VecDeque<(Duration, Call)> = VecDeque::new();
        let mut now = Duration::ZERO;
        loop {
            let wait = loop {
                match lane.next(now) {
                    Next::Call(call) => {
                        let reply = now + MILLISECOND / 10;
                        let reply = if stall.contains(&reply) {
                            stall.end
                        } else {
                            reply
                        };
                        replies.push_back((reply, call));
                    }
                    Next::Wait(until) => break Some(until),
                    Next::Finished if replies.is_empty() => return latencies,
                    Next::Full | Next::Finished => break None,
                }
            };
            let reply = replies.front().map(|(reply, _)| *reply);
            now = reply
                .into_iter()
                .chain(wait)
                .min()
                .expect("something is to come");
            if let Some((_, call)) = replies.pop_front_if(|(reply, _)| *reply <= now) {
                latencies.record(now.saturating_sub(call.from));
                lane.replied();
            }
        }
    }

    #[test]
    fn a_stall_delays_every_call_that_was_due_in_it() {
        // One at a time: the harshest case, as almost no call is made during the stall.
        let plan = Plan {
            rate: Some(1000),
            pipeline: 1,
            end: End::Events(1000),
            ..plan()
        };
        let latencies = latencies_with_a_stall(&plan);
        assert_eq!(latencies.values(), 1000);
        assert_eq!(latencies.summary().max, Some(500_000));
        // The calls due at 200 to 700 ms waited 500 to 0 ms, and those behind them until the
        // server had caught up: more than half of all were late.
        let percentile = |of| latencies.percentile(of).expect("there are enough values");
        assert!(percentile(Percentile::P50) > 1000, "{latencies:?}");
        assert!(percentile(Percentile::P90) > 350_000, "{latencies:?}");

        // Flat out one call at a time sees a single late call: that is why the rate is there.
        let omitting = latencies_with_a_stall(&Plan { rate: None, ..plan });
        assert_eq!(omitting.percentile(Percentile::P90), Some(100));
    }
}
