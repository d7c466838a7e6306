//! Which event of the source got which number: they differ where the source has lost events.

use meilies_client::EventNumber;

/// The numbers of one stream, as runs in which both rise together.
#[derive(Clone, Debug)]
pub(super) struct Numbers {
    base: EventNumber,
    /// Where each run begins: at the source, and at the destination.
    runs: Vec<(EventNumber, EventNumber)>,
    count: u64,
}

impl Numbers {
    /// No event yet; the first is looked for at `base`.
    pub(super) fn new(base: EventNumber) -> Numbers {
        Numbers {
            base,
            runs: Vec::new(),
            count: 0,
        }
    }

    /// How many events are known, which is the number that the next one gets.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Where the next event is looked for at the source.
    pub(super) fn next_source(&self) -> EventNumber {
        match self.runs.last() {
            Some((source, destination)) => source + (self.count - destination),
            None => self.base,
        }
    }

    /// Takes the next event of the source, and returns the number that it gets.
    pub(super) fn add(&mut self, source: EventNumber) -> EventNumber {
        if self.runs.is_empty() || source != self.next_source() {
            self.runs.push((source, self.count));
        }
        self.count += 1;
        self.count - 1
    }

    /// Forgets all but the first `count` events, if there are more.
    pub(super) fn truncate(&mut self, count: u64) {
        self.count = self.count.min(count);
        self.runs
            .retain(|(_, destination)| *destination < self.count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_move_up_where_the_source_has_gaps() {
        let mut numbers = Numbers::new(5);
        assert_eq!(numbers.next_source(), 5);
        let given: Vec<u64> = [6, 7, 10, 11].map(|source| numbers.add(source)).to_vec();
        assert_eq!(given, [0, 1, 2, 3]);
        assert_eq!((numbers.count(), numbers.next_source()), (4, 12));
    }

    #[test]
    fn what_is_forgotten_is_looked_for_again() {
        let mut numbers = Numbers::new(0);
        for source in [0, 1, 4, 5, 9] {
            numbers.add(source);
        }
        for (count, next) in [(7, 10), (5, 10), (4, 6), (3, 5), (2, 2), (1, 1), (0, 0)] {
            numbers.truncate(count);
            assert_eq!(numbers.next_source(), next, "{count}");
        }
        assert_eq!(numbers.add(4), 0);
        assert_eq!(numbers.next_source(), 5);
    }
}
