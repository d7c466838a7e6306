//! A reply in the form in which it is compared: without times and without known differences.

use std::fmt;

use meilies_tests::Value;

use super::counters::Stream;
use super::differences::DIFFERENCES;
use super::operation::Command;
use super::times;

/// A reply as it is compared.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    /// The reply, without times and known differences.
    pub(crate) value: Value,
    /// The times that were in it.
    pub(crate) times: Vec<i64>,
}

impl Reading {
    /// Whether another server said the same.
    pub(crate) fn agrees(&self, other: &Self) -> bool {
        self.value == other.value && times::are_close(&self.times, &other.times)
    }

    pub(crate) fn plain(value: Value) -> Self {
        Self {
            value,
            times: Vec::new(),
        }
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.value)?;
        match self.times.is_empty() {
            true => Ok(()),
            false => write!(f, " with the times {:?}", self.times),
        }
    }
}

/// A reply in the form in which it is compared.
pub(crate) fn compared(
    command: &Command,
    streams: &[Stream],
    mut value: Value,
    of_redis: bool,
) -> Reading {
    for difference in &DIFFERENCES {
        if of_redis || !difference.only_of_redis {
            difference.apply(command, streams, &mut value);
        }
    }
    let times = times::take(command, &mut value);
    Reading { value, times }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis_comparison::generator::words;

    fn bulk(text: &str) -> Value {
        Value::Bulk(text.as_bytes().to_vec())
    }

    /// A row of `XPENDING`: id, consumer, idle, deliveries.
    fn pending(idle_ms: i64, deliveries: i64) -> Value {
        let row = vec![
            bulk("1-1"),
            bulk("alice"),
            Value::Integer(idle_ms),
            Value::Integer(deliveries),
        ];
        Value::Array(vec![Value::Array(row)])
    }

    fn reading(line: &str, reply: Value) -> Reading {
        compared(&words(line).0, &[], reply, true)
    }

    fn agree(line: &str, ours: Value, theirs: Value) -> bool {
        reading(line, ours).agrees(&reading(line, theirs))
    }

    #[test]
    fn only_times_have_tolerance() {
        let line = "XPENDING s g - + 10";
        assert!(agree(line, pending(3, 1), pending(5_000, 1)));
        assert!(!agree(line, pending(3, 1), pending(100_000_000, 1)));
        assert!(!agree(line, pending(3, 1), pending(3, 2)));
        // The summary has no times, and a time that is no number is none.
        assert!(!agree("XPENDING s g", pending(3, 1), pending(4, 1)));
        let mut wrong = pending(3, 1);
        if let Value::Array(rows) = &mut wrong {
            rows[0] = Value::Array(vec![bulk("1-1"), bulk("alice"), bulk("3"), bulk("1")]);
        }
        assert!(!agree(line, wrong, pending(3, 1)));
    }

    #[test]
    fn what_a_consumer_says_of_itself_is_compared_but_for_the_times() {
        let consumer = |pending: i64, times: &[(&str, i64)]| {
            let mut fields = vec![bulk("name"), bulk("alice")];
            fields.extend([bulk("pending"), Value::Integer(pending)]);
            for (name, time) in times {
                fields.extend([bulk(name), Value::Integer(*time)]);
            }
            Value::Array(vec![Value::Array(fields)])
        };
        let line = "XINFO CONSUMERS s g";
        let newer = consumer(1, &[("idle", 5), ("inactive", -1)]);
        assert!(agree(line, newer.clone(), consumer(1, &[("idle", 9)])));
        assert!(!agree(line, newer, consumer(2, &[("idle", 5)])));
        let impossible = consumer(1, &[("idle", 5), ("inactive", -2)]);
        assert!(!agree(line, impossible, consumer(1, &[("idle", 5)])));
        assert!(!agree(line, consumer(1, &[]), consumer(1, &[("idle", 5)])));
    }

    #[test]
    fn types_texts_and_the_kind_of_nothing_count() {
        let error = |text: &str| Value::Error(text.as_bytes().to_vec());
        assert!(!agree("XLEN s", Value::Integer(1), bulk("1")));
        assert!(!agree("XREAD STREAMS s 0", Value::Nil, Value::NilArray));
        assert!(!agree("XLEN s", error("ERR a"), error("ERR A")));
        let (old, new) = (
            "ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be \
            specified.",
            "ERR Unbalanced 'xread' list of streams: for each stream key an ID, '+', or '$' must \
            be specified.",
        );
        assert!(agree("XREAD STREAMS s", error(new), error(old)));
        assert!(!agree("XLEN s", error("ERR other"), error(old)));
        assert!(agree(
            "KEYS *",
            Value::Array(vec![bulk("a"), bulk("b")]),
            Value::Array(vec![bulk("b"), bulk("a")])
        ));
    }
}
