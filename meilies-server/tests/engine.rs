//! The local engine through its own interface: what it stores it gives back, after a restart,
//! after a crash at any call, after damage in any place, without its index. One binary; the files
//! hold one theme each.

// A test that cannot go on fails: the panic names the place.
#![allow(clippy::unwrap_used)]

mod engine {
    mod basics;
    mod checkpoints;
    mod cursors;
    mod damage;
    mod deletions;
    mod failing_files;
    mod failing_transactions;
    mod keys;
    mod large_groups;
    mod many_deletions;
    mod naive;
    mod pictures;
    mod pinned;
    mod rigged;
    mod script;
    mod scripted;
    mod store;
    mod syncs;
    mod transactions;
}
