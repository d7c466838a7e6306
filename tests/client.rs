//! Goal: programs that use `meilies-client` lose no event, get none twice and are told the truth
//! about what they published, whatever the server and the network do in the meantime.
//!
//! Method: the client runs against the real server, most often through a proxy that cuts, stalls,
//! swallows and refuses on command. What happened is read from the server by a client that shares
//! no code with it. Each module below says what it is after.

mod client {
    mod appending;
    mod bounds;
    mod chaos;
    mod connecting;
    mod cuts;
    mod divergence;
    mod groups;
    mod handlers;
    mod lifecycle;
    mod outcomes;
    mod reading;
    mod resume;
    mod subscribing;
    mod support;
}
