//! What the test binaries share: the server as a child process or inside the test, a proxy that is
//! a bad network, a RESP client that shares no code with the product, transcripts, and the naive
//! model.
//!
//! Nothing here sleeps: every wait is for an event (a line of the log, a reply, the end of a
//! process) and has a deadline that fails the test loudly.

pub mod client;
pub mod in_process;
pub mod model;
pub mod operations;
pub mod pattern;
pub mod process;
pub mod proxy;
pub mod redis_cli;
pub mod redis_process;
pub mod resp;
pub mod seed;
pub mod transcript;
pub mod words;

pub use client::Client;
pub use process::{ServerProcess, Settings};
pub use resp::{Protocol, Value};
