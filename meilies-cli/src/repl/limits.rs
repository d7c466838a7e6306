//! Every bound of `repl` in one place. Units come last in the names.

/// Bytes of a line that is read from a pipe.
pub(crate) const LINE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Lines of the history that are kept.
pub(crate) const HISTORY_LINES_MAX: usize = 10_000;

/// Bytes of pushes that are shown together while a line is edited.
pub(crate) const SHOWN_BYTES: usize = 64 * 1024;

/// Such pieces that wait for the terminal. While they do, nothing more is read from the server.
pub(crate) const SHOWN_WAITING_MAX: usize = 4;
