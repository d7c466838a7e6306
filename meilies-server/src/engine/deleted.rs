//! Which numbers of a stream are deleted one by one, between its first event and its tail.
//!
//! Numbers below a stream's first event need no note, so what is here is holes. They are kept in
//! blocks of 65,536 numbers, each a compressed bitmap: at most 8 KiB a block, however they lie.
//! A copy shares its blocks until one of them is changed.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use roaring::RoaringBitmap;

/// Numbers in a block.
const BLOCK: u64 = 1 << 16;

/// A set of deleted numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeletedNumbers {
    /// By number / 65,536, never empty; the bits are what is left of the number.
    blocks: BTreeMap<u64, Arc<RoaringBitmap>>,
}

impl DeletedNumbers {
    /// Whether no number is in it.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Whether a number is in it.
    pub fn contains(&self, number: u64) -> bool {
        let block = self.blocks.get(&(number / BLOCK));
        block.is_some_and(|block| block.contains(low(number)))
    }

    /// Adds a number. Says whether it was not in it.
    pub fn insert(&mut self, number: u64) -> bool {
        let block = self.blocks.entry(number / BLOCK).or_default();
        Arc::make_mut(block).insert(low(number))
    }

    /// Adds numbers.
    pub fn insert_range(&mut self, numbers: Range<u64>) {
        for (block, part) in parts(numbers) {
            Arc::make_mut(self.blocks.entry(block).or_default()).insert_range(part);
        }
    }

    /// Forgets the numbers below this one.
    pub fn remove_below(&mut self, number: u64) {
        self.blocks = self.blocks.split_off(&(number / BLOCK));
        let Some(block) = self.blocks.get_mut(&(number / BLOCK)) else {
            return;
        };
        if block.min().is_some_and(|min| min < low(number)) {
            Arc::make_mut(block).remove_range(..low(number));
        }
        if block.is_empty() {
            self.blocks.remove(&(number / BLOCK));
        }
    }

    /// How many of these numbers are in it.
    pub fn count(&self, numbers: Range<u64>) -> u64 {
        if numbers.is_empty() {
            return 0;
        }
        let blocks = numbers.start / BLOCK..=(numbers.end - 1) / BLOCK;
        let within = |(at, block): (&u64, &Arc<RoaringBitmap>)| {
            let from = numbers.start.saturating_sub(at * BLOCK);
            let end = (numbers.end - at * BLOCK).min(BLOCK);
            match from == 0 && end == BLOCK {
                true => block.len(),
                false => block.range_cardinality(low(from)..narrow(end)),
            }
        };
        self.blocks.range(blocks).map(within).sum()
    }

    /// The first number from this one on that is not in it.
    pub fn first_kept(&self, number: u64) -> u64 {
        let mut number = number;
        while let Some(block) = self.blocks.get(&(number / BLOCK)) {
            let mut ranges = block.range(low(number)..);
            match ranges.next_range() {
                Some(range) if *range.start() == low(number) => {
                    number += u64::from(range.end() - range.start()) + 1;
                }
                _ => return number,
            }
        }
        number
    }

    /// The lowest number from which on exactly `count` of the numbers below `end` are kept;
    /// `start` when there are no more than that from it on.
    pub fn start_of_last(&self, start: u64, end: u64, count: u64) -> u64 {
        let (mut high, mut left) = (end, count);
        let mut ranges = self.ranges(start..end);
        ranges.reverse();
        for deleted in ranges {
            if high - deleted.end >= left {
                break;
            }
            left -= high - deleted.end;
            high = deleted.start;
        }
        self.first_kept(high.saturating_sub(left).max(start))
    }

    /// The lowest end below which, from `start` on, exactly `count` numbers are kept; `end` when
    /// there are no more than that.
    pub fn end_of_first(&self, start: u64, end: u64, count: u64) -> u64 {
        let (mut low, mut left) = (start, count);
        for deleted in self.ranges(start..end) {
            if deleted.start - low >= left {
                break;
            }
            left -= deleted.start - low;
            low = deleted.end;
        }
        low.saturating_add(left).min(end)
    }

    /// The deleted numbers among these, as ranges in order.
    pub fn ranges(&self, numbers: Range<u64>) -> Vec<Range<u64>> {
        let mut found: Vec<Range<u64>> = Vec::new();
        if numbers.is_empty() {
            return found;
        }
        let blocks = numbers.start / BLOCK..=(numbers.end - 1) / BLOCK;
        for (at, block) in self.blocks.range(blocks) {
            let base = at * BLOCK;
            let from = numbers.start.saturating_sub(base);
            let end = (numbers.end - base).min(BLOCK);
            let mut within = block.range(low(from)..narrow(end));
            while let Some(range) = within.next_range() {
                let next = base + u64::from(*range.start())..base + u64::from(*range.end()) + 1;
                match found.last_mut() {
                    Some(last) if last.end == next.start => last.end = next.end,
                    _ => found.push(next),
                }
            }
        }
        found
    }

    /// The blocks that hold these numbers, whether there is anything in them or not.
    pub fn blocks_of(numbers: Range<u64>) -> impl Iterator<Item = u64> {
        parts(numbers).map(|(block, _)| block)
    }

    /// What a block holds, for a store; `None` when it holds nothing.
    pub fn encode_block(&self, block: u64) -> Option<Vec<u8>> {
        let block = self.blocks.get(&block)?;
        let mut out = Vec::with_capacity(block.serialized_size());
        block
            .serialize_into(&mut out)
            .expect("a vector takes any bytes");
        Some(out)
    }

    /// Takes a block that [`DeletedNumbers::encode_block`] wrote. Says whether it is one.
    pub fn insert_block(&mut self, block: u64, encoded: &[u8]) -> bool {
        match RoaringBitmap::deserialize_from(encoded) {
            Ok(bits) if bits.max().is_some_and(|max| u64::from(max) < BLOCK) => {
                self.blocks.insert(block, Arc::new(bits));
                true
            }
            _ => false,
        }
    }
}

/// The blocks of a range, each with what of it is in there.
fn parts(numbers: Range<u64>) -> impl Iterator<Item = (u64, Range<u32>)> {
    let blocks = match numbers.is_empty() {
        true => 0..0,
        false => numbers.start / BLOCK..(numbers.end - 1) / BLOCK + 1,
    };
    blocks.map(move |block| {
        let from = numbers.start.saturating_sub(block * BLOCK);
        let end = (numbers.end - block * BLOCK).min(BLOCK);
        (block, narrow(from)..narrow(end))
    })
}

/// What is left of a number without its block.
fn low(number: u64) -> u32 {
    narrow(number % BLOCK)
}

fn narrow(within: u64) -> u32 {
    u32::try_from(within).expect("a block has 65,536 numbers")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_agrees_with_a_plain_set(
            singles in proptest::collection::vec(65_000_u64..66_200, 0..200),
            ranges in proptest::collection::vec((64_000_u64..200_000, 0_u64..70_000), 0..4),
            from in 64_000_u64..210_000, length in 0_u64..80_000, kept in 0_u64..70_000,
            cut in 60_000_u64..150_000,
        ) {
            let mut set = DeletedNumbers::default();
            let mut plain = BTreeSet::new();
            for number in singles {
                prop_assert_eq!(set.insert(number), plain.insert(number));
            }
            for (start, length) in ranges {
                set.insert_range(start..start + length);
                plain.extend(start..start + length);
            }
            let shared = set.clone();
            set.remove_below(cut);
            prop_assert_eq!(shared.count(0..300_000), plain.len() as u64);
            plain = plain.split_off(&cut);
            let end = from + length;
            prop_assert_eq!(set.count(from..end), plain.range(from..end).count() as u64);
            prop_assert_eq!(set.contains(from), plain.contains(&from));
            let first = (from..300_000).find(|number| !plain.contains(number)).unwrap();
            prop_assert_eq!(set.first_kept(from), first);
            let ranges = set.ranges(from..end);
            prop_assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start));
            prop_assert!(ranges.into_iter().flatten().eq(plain.range(from..end).copied()));
            let start = set.start_of_last(from, end, kept);
            let is_kept = |number: &u64| !plain.contains(number);
            let all = (from..end).filter(is_kept).count() as u64;
            prop_assert_eq!((start..end).filter(is_kept).count() as u64, all.min(kept));
            let cut = set.end_of_first(from, end, kept);
            prop_assert_eq!((from..cut).filter(is_kept).count() as u64, all.min(kept));
            let mut copy = DeletedNumbers::default();
            for block in DeletedNumbers::blocks_of(0..400_000) {
                if let Some(bytes) = set.encode_block(block) {
                    prop_assert!(copy.insert_block(block, &bytes));
                }
            }
            prop_assert_eq!(copy, set);
        }
    }

    #[test]
    fn bytes_that_are_no_block_are_refused() {
        let mut set = DeletedNumbers::default();
        assert!(!set.insert_block(0, b"nonsense"));
        let mut wide = RoaringBitmap::new();
        wide.insert(70_000);
        let mut bytes = Vec::new();
        wide.serialize_into(&mut bytes).unwrap();
        assert!(!set.insert_block(0, &bytes));
        assert!(set.is_empty());
    }
}
