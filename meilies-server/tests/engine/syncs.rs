//! Each sync of the log is told to whoever watches them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use meilies_server::engine::Engine;

use super::store::{config, open, publish};

#[test]
fn every_sync_is_told_with_its_time() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(&config(&directory.path().join("store"))).unwrap();
    let before = engine.statistics();
    let told: Arc<Mutex<Vec<Duration>>> = Arc::default();
    let watch = Arc::clone(&told);
    engine.watch_syncs(Box::new(move |took| watch.lock().unwrap().push(took)));
    for _ in 0..5 {
        publish(&engine, "orders", b"data");
    }
    let told = told.lock().unwrap();
    let after = engine.statistics();
    assert!(told.len() >= 5, "{told:?}");
    assert_eq!(after.syncs - before.syncs, told.len() as u64);
    let us: u128 = told.iter().map(Duration::as_micros).sum();
    assert_eq!(u128::from(after.sync_us_total - before.sync_us_total), us);
}
