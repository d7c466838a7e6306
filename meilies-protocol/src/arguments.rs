//! The arguments of one command: the frame that holds them, and where each of them lies.

use bytes::{BufMut, Bytes, BytesMut};

use crate::limits::ARGUMENTS_KEPT_MAX;

/// One command's arguments, the command's name first. It is made once per connection and filled
/// again for every command, so a command costs no allocation.
#[derive(Clone, Debug, Default)]
pub struct Arguments {
    frame: Bytes,
    /// Begin and end of each argument in `frame`.
    ranges: Vec<(u32, u32)>,
}

impl Arguments {
    /// An empty list, to be filled by [`crate::CommandScanner::next`].
    pub fn new() -> Arguments {
        Arguments::default()
    }

    /// Copies slices into a list: for tests and for commands that did not come over a wire.
    pub fn from_slices(slices: &[&[u8]]) -> Arguments {
        let mut frame = BytesMut::new();
        let mut ranges = Vec::with_capacity(slices.len());
        for slice in slices {
            let begin = offset(frame.len());
            frame.put_slice(slice);
            ranges.push((begin, offset(frame.len())));
        }
        Arguments {
            frame: frame.freeze(),
            ranges,
        }
    }

    /// How many arguments there are, the command's name included.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether there is none, not even a name: so before the first command only.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The bytes of an argument; 0 is the command's name. `index` must be below [`Self::len`].
    pub fn get(&self, index: usize) -> &[u8] {
        let (begin, end) = self.ranges[index];
        &self.frame[begin as usize..end as usize]
    }

    /// An argument as bytes that share the frame. `index` must be below [`Self::len`].
    pub fn bytes(&self, index: usize) -> Bytes {
        let (begin, end) = self.ranges[index];
        self.frame.slice(begin as usize..end as usize)
    }

    /// All arguments in order, the command's name first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> + Clone {
        self.ranges
            .iter()
            .map(|(begin, end)| &self.frame[*begin as usize..*end as usize])
    }

    /// Bytes of all arguments together.
    pub fn word_bytes(&self) -> usize {
        self.iter().map(<[u8]>::len).sum()
    }

    /// The bytes of the whole command as it came, or of its words if it was inline.
    pub fn frame(&self) -> &Bytes {
        &self.frame
    }

    /// Forgets the command. While its frame is held here the read buffer that it was split off
    /// cannot be used again, so this is called before that buffer is made to grow.
    pub fn clear(&mut self) {
        self.frame = Bytes::new();
        self.ranges.clear();
    }

    /// Takes a new command. `ranges` gets the old list back, emptied, to be filled again.
    pub(crate) fn replace(&mut self, frame: Bytes, ranges: &mut Vec<(u32, u32)>) {
        self.frame = frame;
        std::mem::swap(&mut self.ranges, ranges);
        ranges.clear();
        if ranges.capacity() > ARGUMENTS_KEPT_MAX {
            *ranges = Vec::new();
        }
    }
}

/// A place inside a frame. Frames are shorter than 4 GiB by the limits.
pub(crate) fn offset(place: usize) -> u32 {
    u32::try_from(place).expect("a frame is at most FRAME_BYTES_MAX, which fits u32")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_slices_of_one_frame() {
        let arguments = Arguments::from_slices(&[b"PUBLISH", b"", b"a\r\n"]);
        assert_eq!(arguments.len(), 3);
        assert_eq!(arguments.get(0), b"PUBLISH");
        assert_eq!(arguments.get(1), b"");
        assert_eq!(arguments.bytes(2), Bytes::from_static(b"a\r\n"));
        assert_eq!(arguments.iter().len(), 3);
        assert_eq!(arguments.word_bytes(), 10);
    }

    #[test]
    fn a_huge_list_is_not_kept() {
        let mut arguments = Arguments::new();
        let mut ranges = vec![(0, 0); ARGUMENTS_KEPT_MAX * 2];
        arguments.replace(Bytes::new(), &mut ranges);
        assert_eq!(arguments.len(), ARGUMENTS_KEPT_MAX * 2);
        arguments.replace(Bytes::new(), &mut ranges);
        assert_eq!(ranges.capacity(), 0);
    }
}
