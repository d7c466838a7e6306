//! Lines of a file or of standard input, as they come.

use std::fs::File as StdFile;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::failure::Failure;
use crate::limits::IMPORT_READ_BYTES;

/// Cuts what is read into lines.
pub(crate) struct Input {
    path: PathBuf,
    reader: Pin<Box<dyn AsyncRead + Send>>,
    line_bytes_max: usize,
    buffer: BytesMut,
    /// How many bytes of the buffer hold no end of a line.
    searched: usize,
    is_at_end: bool,
    lines: u64,
    bytes_read: u64,
}

impl Input {
    /// Opens a file. Gives its length as well.
    pub(crate) async fn open(
        path: &Path,
        line_bytes_max: usize,
    ) -> Result<(Input, Option<u64>), Failure> {
        let failed = |error| Failure::File {
            path: path.to_owned(),
            error,
        };
        let file = File::open(path).await.map_err(failed)?;
        let bytes = file.metadata().await.ok();
        let bytes = bytes.filter(std::fs::Metadata::is_file);
        let mut input = Input::new(Box::pin(file), line_bytes_max);
        path.clone_into(&mut input.path);
        Ok((input, bytes.map(|metadata| metadata.len())))
    }

    /// Takes standard input. Gives its length as well, if it is a file.
    pub(crate) fn stdin(line_bytes_max: usize) -> (Input, Option<u64>) {
        let copy = std::io::stdin().as_fd().try_clone_to_owned().ok();
        let metadata = copy.and_then(|copy| StdFile::from(copy).metadata().ok());
        let metadata = metadata.filter(std::fs::Metadata::is_file);
        let input = Input::new(Box::pin(tokio::io::stdin()), line_bytes_max);
        (input, metadata.map(|metadata| metadata.len()))
    }

    fn new(reader: Pin<Box<dyn AsyncRead + Send>>, line_bytes_max: usize) -> Input {
        Input {
            path: "standard input".into(),
            reader,
            line_bytes_max,
            buffer: BytesMut::new(),
            searched: 0,
            is_at_end: false,
            lines: 0,
            bytes_read: 0,
        }
    }

    /// Waits for more bytes. False means that this is all. May be dropped: nothing is lost.
    pub(crate) async fn read(&mut self) -> Result<bool, Failure> {
        self.buffer.reserve(IMPORT_READ_BYTES);
        let read = self.reader.read_buf(&mut self.buffer).await;
        let bytes = read.map_err(|error| Failure::File {
            path: self.path.clone(),
            error,
        })?;
        self.bytes_read += bytes as u64;
        self.is_at_end = bytes == 0;
        Ok(bytes > 0)
    }

    /// The next line that has been read whole and is not empty, and its number, from 1.
    pub(crate) fn next_line(&mut self) -> Result<Option<(u64, Bytes)>, Failure> {
        while let Some(line) = self.cut() {
            self.lines += 1;
            if line.len() > self.line_bytes_max {
                return Err(self.too_long(self.lines));
            }
            if !line.trim_ascii().is_empty() {
                return Ok(Some((self.lines, line)));
            }
        }
        if self.buffer.len() > self.line_bytes_max {
            return Err(self.too_long(self.lines + 1));
        }
        Ok(None)
    }

    /// Cuts a line off the buffer, without its end.
    fn cut(&mut self) -> Option<Bytes> {
        let end = self.buffer[self.searched..]
            .iter()
            .position(|byte| *byte == b'\n');
        if let Some(end) = end {
            let mut line = self.buffer.split_to(self.searched + end + 1).freeze();
            line.truncate(line.len() - 1);
            self.searched = 0;
            return Some(line);
        }
        self.searched = self.buffer.len();
        // The last line may have no end.
        if self.is_at_end && !self.buffer.is_empty() {
            self.searched = 0;
            return Some(self.buffer.split().freeze());
        }
        None
    }

    fn too_long(&self, line: u64) -> Failure {
        Failure::Input(format!(
            "line {line} is longer than {} bytes",
            self.line_bytes_max
        ))
    }

    /// How many bytes have been read.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// All lines until the end or the first failure, read in pieces of this size.
    async fn lines(text: &str, piece: usize, max: usize) -> (Vec<(u64, String)>, Option<String>) {
        let reader = Pieces(Cursor::new(text.as_bytes().to_vec()), piece);
        let mut input = Input::new(Box::pin(reader), max);
        let mut lines = Vec::new();
        loop {
            let has_read = input.read().await.expect("memory can be read");
            loop {
                match input.next_line() {
                    Err(failure) => return (lines, Some(failure.to_string())),
                    Ok(None) => break,
                    Ok(Some((number, line))) => {
                        let line = String::from_utf8_lossy(&line).into_owned();
                        lines.push((number, line));
                    }
                }
            }
            if !has_read {
                assert_eq!(input.bytes_read(), text.len() as u64);
                return (lines, None);
            }
        }
    }

    struct Pieces(Cursor<Vec<u8>>, usize);

    impl AsyncRead for Pieces {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            buffer: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            let mut piece = vec![0; self.1];
            let read = std::io::Read::read(&mut self.0, &mut piece)?;
            buffer.put_slice(&piece[..read]);
            std::task::Poll::Ready(Ok(()))
        }
    }

    fn numbered(lines: &[(u64, &str)]) -> Vec<(u64, String)> {
        let owned = |(number, line): &(u64, &str)| (*number, (*line).to_owned());
        lines.iter().map(owned).collect()
    }

    #[tokio::test]
    async fn lines_are_cut_wherever_the_pieces_end() {
        let expected = numbered(&[(1, "one"), (3, "three"), (4, "f\r"), (6, "six")]);
        for piece in 1..20 {
            let text = "one\n\nthree\nf\r\n  \r\nsix";
            assert_eq!(lines(text, piece, 100).await, (expected.clone(), None));
        }
        assert_eq!(lines("", 1, 100).await, (vec![], None));
        assert_eq!(lines("\n", 1, 100).await, (vec![], None));
        assert_eq!(lines("a\n", 1, 100).await, (numbered(&[(1, "a")]), None));
    }

    #[tokio::test]
    async fn a_line_has_a_bound() {
        for piece in [1, 3, 100] {
            let (read, failure) = lines("1234\n12345\n123456\n1\n", piece, 5).await;
            assert_eq!(read, numbered(&[(1, "1234"), (2, "12345")]));
            assert_eq!(failure.as_deref(), Some("line 3 is longer than 5 bytes"));
        }
        // It is refused before its end has come.
        let (_, failure) = lines("123456", 1, 5).await;
        assert_eq!(failure.as_deref(), Some("line 1 is longer than 5 bytes"));
        assert_eq!(
            lines("12345", 1, 5).await,
            (numbered(&[(1, "12345")]), None)
        );
    }
}
