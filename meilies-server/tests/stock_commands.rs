//! What stock clients send at connect and to look around, over real sockets on the memory engine:
//! replies byte for byte where Redis has them, and settings that take effect.

mod stock_commands {
    mod connection;
    mod keyspace;
    mod operators;
    mod peer;
    mod server;
    mod settings;
}
