//! When streams were used last, for OBJECT IDLETIME, which Redis goes by to free memory. Here
//! nothing does: it is kept in memory only, of so many streams at most, and forgotten when the
//! server ends or when there are more. What is not known here, the last event tells.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use meilies_protocol::StreamName;

use crate::limits::TOUCHED_STREAMS_MAX;

/// See the module.
#[derive(Debug, Default)]
pub struct Touches {
    /// In ms since 1970 UTC.
    used_at: RwLock<HashMap<StreamName, AtomicU64>>,
}

impl Touches {
    /// A stream is used now. Whether there is one of this name does not matter.
    pub fn note(&self, name: StreamName) {
        let now = now_ms();
        {
            let used_at = self.used_at.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(at) = used_at.get(&name) {
                at.store(now, Ordering::Relaxed);
                return;
            }
        }
        let mut used_at = self.used_at.write().unwrap_or_else(PoisonError::into_inner);
        if used_at.len() >= TOUCHED_STREAMS_MAX {
            used_at.clear();
        }
        used_at.insert(name, AtomicU64::new(now));
    }

    /// When a stream of this name was used last, in ms since 1970 UTC, as far as it is known.
    pub fn last(&self, name: &StreamName) -> Option<u64> {
        let used_at = self.used_at.read().unwrap_or_else(PoisonError::into_inner);
        used_at.get(name).map(|at| at.load(Ordering::Relaxed))
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_streams_are_known_at_most() {
        let touches = Touches::default();
        let name = |number: usize| StreamName::parse(format!("s{number}").into()).unwrap();
        for number in 0..TOUCHED_STREAMS_MAX {
            touches.note(name(number));
            touches.note(name(0));
        }
        assert!(touches.last(&name(0)).is_some());
        touches.note(name(TOUCHED_STREAMS_MAX));
        assert!(touches.last(&name(TOUCHED_STREAMS_MAX)).is_some());
        assert_eq!(touches.last(&name(0)), None);
    }
}
