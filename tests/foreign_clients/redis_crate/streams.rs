//! The part of the life that needs no group: adding, reading, trimming, values, names, keys.

use std::time::{Duration, Instant};

use meilies_tests::client::DEADLINE;
use redis::streams::{
    StreamAddOptions, StreamInfoStreamReply, StreamMaxlen, StreamRangeReply, StreamReadOptions,
    StreamReadReply, StreamTrimOptions, StreamTrimStrategy, StreamTrimmingMode,
};
use redis::{Cmd, Value, cmd};

use super::{Life, shown};
use crate::foreign_clients::server::Server;

const DEADLINE_MILLISECONDS: usize = 30_000;
const TIMEOUT_MILLISECONDS: usize = 60;
const VALUE_BYTES: usize = 5 * 1024 * 1024;
const SMALLER: &str =
    "The ID specified in XADD is equal or smaller than the target stream top item";

impl<S: Server> Life<S> {
    pub(super) async fn streams(&mut self) {
        self.add().await;
        self.trim_while_adding().await;
        self.ranges().await;
        self.read().await;
        self.wait().await;
        self.wake().await;
        self.trim_and_delete().await;
        self.move_on().await;
        self.values().await;
        self.errors().await;
        self.keys().await;
    }

    async fn add(&mut self) {
        let add = |id: &str| Cmd::xadd("add", id, &[("b", "1"), ("a", "2")]);
        for (id, expected) in [("1-1", "1-1"), ("1-2", "1-2"), ("2-*", "2-0")] {
            let added: String = self.query(&add(id)).await;
            assert_eq!(added, expected);
        }
        let before: u64 = self.milliseconds().await;
        let added: String = self.query(&add("*")).await;
        let after: u64 = self.milliseconds().await;
        let (time, number) = added.split_once('-').expect("an id has two parts");
        let time: u64 = time.parse().expect("an id begins with a time");
        assert!(
            (before..=after).contains(&time) && number == "0",
            "{added} is not of {before}..={after}"
        );
        assert_eq!(self.query::<usize>(&Cmd::xlen("add")).await, 4);
        let options = StreamAddOptions::default().nomkstream();
        let none: Option<String> = self
            .query(&Cmd::xadd_options(
                "missing",
                "*",
                &[("a", "1")][..],
                &options,
            ))
            .await;
        assert_eq!(none, None);
        self.delete("add").await;
    }

    /// The time of the server, which gives the ids.
    async fn milliseconds(&mut self) -> u64 {
        let (seconds, microseconds): (u64, u64) = self.query(&cmd("TIME")).await;
        seconds * 1000 + microseconds / 1000
    }

    async fn trim_while_adding(&mut self) {
        for id in ["1-0", "2-0", "3-0"] {
            let added: String = self
                .query(&Cmd::xadd_maxlen(
                    "trimmed",
                    StreamMaxlen::Equals(2),
                    id,
                    &[("n", &id[..1])],
                ))
                .await;
            assert_eq!(added, id);
        }
        self.expect_range(&Cmd::xrange_all("trimmed"), "2-0{n=2} 3-0{n=3}")
            .await;
        let trim = StreamTrimStrategy::minid(StreamTrimmingMode::Exact, "3-0");
        let options = StreamAddOptions::default().trim(trim);
        let added: String = self
            .query(&Cmd::xadd_options(
                "trimmed",
                "4-0",
                &[("n", "4")][..],
                &options,
            ))
            .await;
        assert_eq!(added, "4-0");
        self.expect_range(&Cmd::xrange_all("trimmed"), "3-0{n=3} 4-0{n=4}")
            .await;
        self.delete("trimmed").await;
    }

    async fn ranges(&mut self) {
        self.fill("range", 4).await;
        let all = "1-0{n=1} 2-0{n=2} 3-0{n=3} 4-0{n=4}";
        let back = "4-0{n=4} 3-0{n=3} 2-0{n=2} 1-0{n=1}";
        for (command, expected) in [
            (Cmd::xrange_all("range"), all),
            (Cmd::xrange_count("range", "-", "+", 2), "1-0{n=1} 2-0{n=2}"),
            (Cmd::xrange("range", "2", "3"), "2-0{n=2} 3-0{n=3}"),
            (Cmd::xrange("range", "(1-0", "(3-0"), "2-0{n=2}"),
            (Cmd::xrange("range", "5", "+"), ""),
            (Cmd::xrange_all("missing"), ""),
            (Cmd::xrevrange_all("range"), back),
            (
                Cmd::xrevrange_count("range", "+", "-", 2),
                "4-0{n=4} 3-0{n=3}",
            ),
            (Cmd::xrevrange("range", "(4-0", "(2-0"), "3-0{n=3}"),
        ] {
            self.expect_range(&command, expected).await;
        }
        self.delete("range").await;
    }

    async fn read(&mut self) {
        self.fill("read-one", 3).await;
        self.fill("read-two", 1).await;
        let keys = ["read-one", "read-two"];
        for (command, expected) in [
            (
                Cmd::xread(&keys, &["1-0", "0"]),
                "read-one: 2-0{n=2} 3-0{n=3}\nread-two: 1-0{n=1}",
            ),
            (
                Cmd::xread_options(&keys, &["0", "0"], &StreamReadOptions::default().count(1)),
                "read-one: 1-0{n=1}\nread-two: 1-0{n=1}",
            ),
            (Cmd::xread(&keys, &["3-0", "0"]), "read-two: 1-0{n=1}"),
        ] {
            let reply: StreamReadReply = self.query(&command).await;
            assert_eq!(shown::read(&reply), expected);
        }
        let nothing: Value = self.query(&Cmd::xread(&keys, &["$", "1-0"])).await;
        assert_eq!(nothing, Value::Nil);
        self.delete("read-one").await;
        self.delete("read-two").await;
    }

    async fn wait(&mut self) {
        self.fill("wait", 1).await;
        let options = StreamReadOptions::default().block(TIMEOUT_MILLISECONDS);
        let begun = Instant::now();
        let nothing: Value = self
            .query(&Cmd::xread_options(&["wait"], &["$"], &options))
            .await;
        assert_eq!(nothing, Value::Nil);
        let least = Duration::from_millis(TIMEOUT_MILLISECONDS as u64 - 1);
        let passed = begun.elapsed();
        assert!(passed >= least && passed < DEADLINE, "waited {passed:?}");
        self.delete("wait").await;
    }

    /// A blocked read gets what another connection adds, and nothing from before it.
    async fn wake(&mut self) {
        self.fill("wake", 1).await;
        let options = StreamReadOptions::default().block(DEADLINE_MILLISECONDS);
        let read = |from: &str| Cmd::xread_options(&["wake"], &[from], &options);
        let mut waiting = self.connect().await.begin(read("$"));
        let mut choices = Vec::new();
        // Nobody can see when the read has begun: events are added until it has one.
        let reply = loop {
            let number = choices.len();
            let added = Cmd::xadd("wake", "*", &[("n", number)]);
            let id: String = self.other.query(&added).await.expect("it is added");
            choices.push(format!("wake: {id}{{n={number}}}"));
            let soon = tokio::time::timeout(Duration::from_millis(5), &mut waiting);
            if let Ok(reply) = soon.await {
                break reply.expect("it reads").expect("it is not refused");
            }
        };
        let reply = shown::read(&reply);
        assert!(choices.contains(&reply), "{reply} is none of {choices:?}");

        let last: StreamInfoStreamReply = self.query(&Cmd::xinfo_stream("wake")).await;
        let waiting = self.connect().await.begin(read(&last.last_generated_id));
        let added = Cmd::xadd("wake", "*", &[("last", "one")]);
        let id: String = self.other.query(&added).await.expect("it is added");
        let reply = waiting.await.expect("it reads").expect("it is not refused");
        assert_eq!(shown::read(&reply), format!("wake: {id}{{last=one}}"));
        self.delete("wake").await;
    }

    async fn trim_and_delete(&mut self) {
        self.fill("trim", 6).await;
        let exact = StreamTrimmingMode::Exact;
        for (command, removed) in [
            (Cmd::xtrim("trim", StreamMaxlen::Equals(4)), 2),
            (
                Cmd::xtrim_options("trim", &StreamTrimOptions::minid(exact, "4")),
                1,
            ),
            (Cmd::xtrim("trim", StreamMaxlen::Approx(100)), 0),
            (Cmd::xdel("trim", &["5-0", "9-9"]), 1),
        ] {
            assert_eq!(self.query::<usize>(&command).await, removed);
        }
        self.expect_range(&Cmd::xrange_all("trim"), "4-0{n=4} 6-0{n=6}")
            .await;
        let removed: usize = self
            .query(&Cmd::xtrim("trim", StreamMaxlen::Equals(0)))
            .await;
        assert_eq!(removed, 2);
        // The last id outlives the entries.
        let added: String = self.query(&Cmd::xadd("trim", "6-*", &[("n", 7)])).await;
        assert_eq!(added, "6-1");
        self.delete("trim").await;
    }

    async fn move_on(&mut self) {
        self.fill("set-id", 1).await;
        let mut command = cmd("XSETID");
        let set: String = self.query(command.arg("set-id").arg("50-3")).await;
        assert_eq!(set, "OK");
        let added: String = self.query(&Cmd::xadd("set-id", "50-*", &[("n", 2)])).await;
        assert_eq!(added, "50-4");
        let stream: StreamInfoStreamReply = self.query(&Cmd::xinfo_stream("set-id")).await;
        assert_eq!(
            (stream.last_generated_id.as_str(), stream.length),
            ("50-4", 2)
        );
        self.refuse(
            cmd("XSETID").arg("set-id").arg("1-0"),
            "ERR",
            "The ID specified in XSETID is smaller than the target stream top item",
        )
        .await;
        self.delete("set-id").await;
    }

    /// Five megabytes, every byte there is, and names as people choose them.
    async fn values(&mut self) {
        let every_byte: Vec<u8> = (0..=255).collect();
        let large = b"0123456789abcdef".repeat(VALUE_BYTES / 16);
        for value in [&every_byte, &large] {
            let added: String = self
                .query(&Cmd::xadd(&every_byte, "1-0", &[("value", value)]))
                .await;
            assert_eq!(added, "1-0");
            let reply: StreamRangeReply = self.query(&Cmd::xrange_all(&every_byte)).await;
            assert_eq!(reply.ids.len(), 1);
            let stored = &reply.ids[0].map["value"];
            let same = *stored == Value::BulkString(value.clone());
            assert!(same, "{} bytes came back changed", value.len());
            let deleted: usize = self.query(&Cmd::del(&every_byte)).await;
            assert_eq!(deleted, 1);
        }
        for name in ["orders:42", "two words", "ключ-é-流-🙂", "\"quoted\""] {
            let _: String = self.query(&Cmd::xadd(name, "1-0", &[(name, name)])).await;
            let reply: StreamReadReply = self.query(&Cmd::xread(&[name], &["0"])).await;
            assert_eq!(shown::read(&reply), format!("{name}: 1-0{{{name}={name}}}"));
            self.delete(name).await;
        }
    }

    async fn errors(&mut self) {
        self.fill("errors", 2).await;
        let arity = "wrong number of arguments for 'xadd' command";
        let invalid = "Invalid stream ID specified as stream command argument";
        let zero = "The ID specified in XADD must be greater than 0-0";
        let add = |id: &str| Cmd::xadd("errors", id, &[("a", "1")]);
        for (command, text) in [
            (cmd("XADD").arg("errors").clone(), arity),
            (cmd("XADD").arg("errors").arg("*").arg("a").clone(), arity),
            (add("2-0"), SMALLER),
            (add("nonsense"), invalid),
            (add("0-0"), zero),
            (Cmd::xrange("errors", "nonsense", "+"), invalid),
            (Cmd::xinfo_stream("missing"), "no such key"),
            (
                cmd("NONSENSE").arg("a").clone(),
                "unknown command 'NONSENSE', with args beginning with: 'a' ",
            ),
        ] {
            self.refuse(&command, "ERR", text).await;
        }
        self.delete("errors").await;
    }

    async fn keys(&mut self) {
        self.fill("keys:one", 1).await;
        self.fill("keys:two", 1).await;
        let both = ["keys:one".to_owned(), "keys:two".to_owned()];
        let exist: usize = self
            .query(&Cmd::exists(&[
                "keys:one",
                "keys:two",
                "keys:three",
                "keys:one",
            ]))
            .await;
        assert_eq!(exist, 3);
        let kind: String = self.query(&Cmd::key_type("keys:one")).await;
        assert_eq!(kind, "stream");
        let mut keys: Vec<String> = self.query(&Cmd::keys("keys:*")).await;
        keys.sort();
        assert_eq!(keys, both);
        assert_eq!(self.scan("stream").await, both);
        assert_eq!(self.scan("hash").await, [""; 0]);
        assert_eq!(self.query::<i64>(&Cmd::ttl("keys:one")).await, -1);
        assert_eq!(self.query::<i64>(&Cmd::ttl("keys:three")).await, -2);
        let renamed: String = self.query(&Cmd::rename("keys:one", "keys:three")).await;
        assert_eq!(renamed, "OK");
        self.refuse(&Cmd::rename("keys:one", "keys:two"), "ERR", "no such key")
            .await;
        self.expect_range(&Cmd::xrange_all("keys:three"), "1-0{n=1}")
            .await;
        let deleted: usize = self
            .query(&Cmd::del(&["keys:one", "keys:two", "keys:three"]))
            .await;
        assert_eq!(deleted, 2);
    }

    /// All keys of a type, as many pages as they take.
    async fn scan(&mut self, kind: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut cursor = 0_u64;
        loop {
            let mut command = cmd("SCAN");
            command.arg(cursor).arg("MATCH").arg("keys:*");
            command.arg("COUNT").arg(1).arg("TYPE").arg(kind);
            let (next, page): (u64, Vec<String>) = self.query(&command).await;
            found.extend(page);
            cursor = next;
            if cursor == 0 {
                found.sort();
                return found;
            }
        }
    }

    async fn expect_range(&mut self, command: &Cmd, expected: &str) {
        let reply: StreamRangeReply = self.query(command).await;
        assert_eq!(
            shown::range(&reply),
            expected,
            "{}",
            shown::command(command)
        );
    }
}
