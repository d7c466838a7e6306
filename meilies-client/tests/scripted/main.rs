//! Goal: the client keeps its promises whatever the other side says.
//!
//! Method: a listener in the same process plays the server word for word, so that each case shows
//! all that passes. That the client and the real server understand each other is shown by the
//! tests of the workspace.

mod commands;
mod outages;
mod player;
mod subscriptions;
