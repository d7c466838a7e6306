//! The MeiliES server: streams of events that every Redis client can talk to.
//!
//! The path of a request through this crate: [`server`] accepts a client, its `connection` decodes
//! commands and collects writes, a `command` answers, what it sees of events is the [`event_log`],
//! and below that an [`engine`] keeps them. A program that wants a server in its own process calls
//! [`Server::start`].

pub mod command;
pub mod config;
mod connection;
pub mod context;
pub mod engine;
pub mod event_log;
pub mod limits;
pub mod metrics;
pub mod output;
pub mod server;
pub mod session;
pub mod shutdown;

pub use config::Config;
pub use server::{Server, StartError};
