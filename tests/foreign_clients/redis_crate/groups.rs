//! The part of the life that consumer groups have.

use std::collections::HashMap;

use redis::streams::{
    StreamAutoClaimOptions, StreamAutoClaimReply, StreamClaimOptions, StreamClaimReply,
    StreamInfoConsumersReply, StreamInfoGroupsReply, StreamInfoStreamReply,
    StreamPendingCountReply, StreamPendingReply, StreamRangeReply, StreamReadOptions,
    StreamReadReply,
};
use redis::{Cmd, Value, cmd, from_redis_value};

use super::{Life, shown};
use crate::foreign_clients::server::Server;

const HOUR_MILLISECONDS: usize = 3_600_000;
const IDLE_MILLISECONDS_MAX: usize = 60_000;

impl<S: Server> Life<S> {
    pub(super) async fn groups(&mut self) {
        self.group().await;
        self.pending().await;
        self.claim().await;
        self.information().await;
        self.end_of_group().await;
    }

    async fn group(&mut self) {
        let created: String = self
            .query(&Cmd::xgroup_create_mkstream("group", "g", "$"))
            .await;
        assert_eq!(created, "OK");
        let again = Cmd::xgroup_create("group", "g", "$");
        let text = "Consumer Group name already exists";
        self.refuse(&again, "BUSYGROUP", text).await;
        let missing = Cmd::xgroup_create("missing", "g", "$");
        let text = "The XGROUP subcommand requires the key to exist. Note that for CREATE you may \
                    want to use the MKSTREAM option to create an empty stream automatically.";
        self.refuse(&missing, "ERR", text).await;

        let options = of("alice").block(0);
        let read = Cmd::xread_options(&["group"], &[">"], &options);
        let waiting = self.connect().await.begin(read);
        let added = Cmd::xadd("group", "1-0", &[("n", 1)]);
        let added: String = self.other.query(&added).await.expect("it is added");
        assert_eq!(added, "1-0");
        let reply = waiting.await.expect("it reads").expect("it is not refused");
        assert_eq!(shown::read(&reply), "group: 1-0{n=1}");

        for number in 2..=5 {
            let added = Cmd::xadd("group", format!("{number}-0"), &[("n", number)]);
            let _: String = self.query(&added).await;
        }
        for (options, from, expected) in [
            (of("alice").count(2), ">", "group: 2-0{n=2} 3-0{n=3}"),
            (of("bob").count(1), ">", "group: 4-0{n=4}"),
            (of("bob").noack(), ">", "group: 5-0{n=5}"),
            (of("alice"), "0", "group: 1-0{n=1} 2-0{n=2} 3-0{n=3}"),
            (of("alice").count(1), "1-0", "group: 2-0{n=2}"),
            (of("carol"), "0", "group: "),
        ] {
            let read = Cmd::xread_options(&["group"], &[from], &options);
            let reply: StreamReadReply = self.query(&read).await;
            assert_eq!(shown::read(&reply), expected);
        }
        let nothing: Value = self
            .query(&Cmd::xread_options(
                &["group"],
                &[">"],
                &of("bob").block(20),
            ))
            .await;
        assert_eq!(nothing, Value::Nil);
        let options = StreamReadOptions::default().group("nobody", "alice");
        let text = "No such key 'group' or consumer group 'nobody' in XREADGROUP with GROUP option";
        self.refuse(
            &Cmd::xread_options(&["group"], &[">"], &options),
            "NOGROUP",
            text,
        )
        .await;
        self.delete("group").await;
    }

    async fn pending(&mut self) {
        self.deliver("pending").await;
        self.expect_pending("4 1-0 4-0 alice=3 bob=1").await;
        for (command, expected) in [
            (
                Cmd::xpending_count("pending", "g", "-", "+", 10),
                "1-0 alice 1, 2-0 alice 1, 3-0 alice 1, 4-0 bob 1",
            ),
            (
                Cmd::xpending_count("pending", "g", "(1-0", "+", 1),
                "2-0 alice 1",
            ),
            (
                Cmd::xpending_consumer_count("pending", "g", "-", "+", 10, "bob"),
                "4-0 bob 1",
            ),
        ] {
            self.expect_details(&command, expected).await;
        }
        let mut idle = cmd("XPENDING");
        idle.arg("pending")
            .arg("g")
            .arg("IDLE")
            .arg(HOUR_MILLISECONDS);
        self.expect_details(idle.arg("-").arg("+").arg(10), "")
            .await;
        let ack = |group: &str, ids: &[&str]| Cmd::xack("pending", group, ids);
        assert_eq!(
            self.query::<usize>(&ack("g", &["1-0", "4-0", "9-9"])).await,
            2
        );
        assert_eq!(self.query::<usize>(&ack("nobody", &["2-0"])).await, 0);
        self.expect_pending("2 2-0 3-0 alice=2").await;
        assert_eq!(self.query::<usize>(&ack("g", &["2-0", "3-0"])).await, 2);
        self.expect_pending("nothing").await;
        let text = "No such key 'pending' or consumer group 'nobody'";
        self.refuse(&Cmd::xpending("pending", "nobody"), "NOGROUP", text)
            .await;
        self.delete("pending").await;
    }

    async fn claim(&mut self) {
        self.deliver("claim").await;
        let claim = |consumer: &str, id: &str, options: StreamClaimOptions| {
            Cmd::xclaim_options("claim", "g", consumer, 0, &[id], options)
        };
        let plain = StreamClaimOptions::default;
        let too_early = Cmd::xclaim("claim", "g", "bob", HOUR_MILLISECONDS, &["1-0"]);
        for (command, expected) in [
            (too_early, ""),
            (
                Cmd::xclaim("claim", "g", "bob", 0, &["1-0", "9-9"]),
                "1-0{n=1}",
            ),
            (claim("bob", "2-0", plain().retry(7)), "2-0{n=2}"),
            (claim("carol", "5-0", plain().with_force()), "5-0{n=5}"),
        ] {
            let reply: StreamClaimReply = self.query(&command).await;
            assert_eq!(shown::claim(&reply), expected);
        }
        let just_id = claim("bob", "1-0", plain().with_justid());
        assert_eq!(self.query::<Vec<String>>(&just_id).await, ["1-0"]);
        assert_eq!(self.query::<usize>(&Cmd::xdel("claim", &["3-0"])).await, 1);
        let auto =
            |start: &str, options| Cmd::xautoclaim_options("claim", "g", "dave", 0, start, options);
        for (command, expected) in [
            (
                auto("0-0", StreamAutoClaimOptions::default().count(2)),
                "3-0 | 1-0{n=1} 2-0{n=2} | ",
            ),
            (
                auto("3-0", StreamAutoClaimOptions::default()),
                "0-0 | 4-0{n=4} 5-0{n=5} | 3-0",
            ),
        ] {
            let reply: StreamAutoClaimReply = self.query(&command).await;
            assert_eq!(shown::auto_claim(&reply), expected);
        }
        let just_ids = auto("0", StreamAutoClaimOptions::default().with_justid());
        let reply: StreamAutoClaimReply = self.query(&just_ids).await;
        assert_eq!(
            shown::auto_claim(&reply),
            "0-0 | 1-0{} 2-0{} 4-0{} 5-0{} | "
        );
        // Made by force an entry counts as delivered, and then as claimed.
        self.expect_details(
            &Cmd::xpending_count("claim", "g", "-", "+", 9),
            "1-0 dave 3, 2-0 dave 8, 4-0 dave 2, 5-0 dave 3",
        )
        .await;
        self.delete("claim").await;
    }

    async fn information(&mut self) {
        self.deliver("information").await;
        let created: String = self
            .query(&Cmd::xgroup_create("information", "late", "$"))
            .await;
        assert_eq!(created, "OK");
        let stream: StreamInfoStreamReply = self.query(&Cmd::xinfo_stream("information")).await;
        assert_eq!(
            (stream.length, stream.groups, &*stream.last_generated_id),
            (5, 2, "5-0")
        );
        assert_eq!(shown::entry(&stream.first_entry), "1-0{n=1}");
        assert_eq!(shown::entry(&stream.last_entry), "5-0{n=5}");

        let reply: StreamInfoGroupsReply = self.query(&Cmd::xinfo_groups("information")).await;
        let groups = reply.groups.iter().map(|group| {
            let (id, name) = (&group.last_delivered_id, &group.name);
            let (consumers, pending) = (group.consumers, group.pending);
            format!("{name} {consumers} {pending} {id} lag {:?}", group.lag)
        });
        let groups: Vec<String> = groups.collect();
        assert_eq!(
            groups,
            ["g 2 4 4-0 lag Some(1)", "late 0 0 5-0 lag Some(0)"]
        );
        assert_eq!(reply.groups[0].entries_read, Some(4));

        let command = Cmd::xinfo_consumers("information", "g");
        let reply: StreamInfoConsumersReply = self.query(&command).await;
        let consumers = reply.consumers.iter().map(|one| (&*one.name, one.pending));
        let consumers: Vec<(&str, usize)> = consumers.collect();
        assert_eq!(consumers, [("alice", 3), ("bob", 1)]);
        for consumer in &reply.consumers {
            let idle = consumer.idle;
            assert!(idle < IDLE_MILLISECONDS_MAX, "idle for {idle} ms");
        }
        self.information_in_full().await;
        self.delete("information").await;
    }

    /// The crate has no type for it: names and values, in RESP2 and RESP3 alike.
    async fn information_in_full(&mut self) {
        let mut command = cmd("XINFO");
        command.arg("STREAM").arg("information").arg("FULL");
        let mut stream: HashMap<String, Value> = self.query(&command).await;
        let length = stream.remove("length").expect("it has a length");
        assert_eq!(length, Value::Int(5));
        let entries = stream.remove("entries").expect("it has entries");
        let entries: StreamRangeReply = from_redis_value(entries).expect("they are a range");
        assert_eq!(
            shown::range(&entries),
            "1-0{n=1} 2-0{n=2} 3-0{n=3} 4-0{n=4} 5-0{n=5}"
        );
        let groups = stream.remove("groups").expect("it has groups");
        let mut groups: Vec<HashMap<String, Value>> =
            from_redis_value(groups).expect("they are maps");
        assert_eq!(groups.len(), 2);
        let pending = groups[0]
            .remove("pending")
            .expect("it tells what is pending");
        let pending: Vec<(String, String, u64, u64)> =
            from_redis_value(pending).expect("they are lists");
        let pending: Vec<String> = pending
            .iter()
            .map(|(id, consumer, _, deliveries)| format!("{id} {consumer} {deliveries}"))
            .collect();
        assert_eq!(
            pending,
            ["1-0 alice 1", "2-0 alice 1", "3-0 alice 1", "4-0 bob 1"]
        );
    }

    async fn end_of_group(&mut self) {
        self.deliver("end").await;
        for expected in [true, false] {
            let created: bool = self
                .query(&Cmd::xgroup_createconsumer("end", "g", "carol"))
                .await;
            assert_eq!(created, expected);
        }
        for (consumer, expected) in [("carol", 0), ("alice", 3), ("nobody", 0)] {
            let had: usize = self
                .query(&Cmd::xgroup_delconsumer("end", "g", consumer))
                .await;
            assert_eq!(had, expected);
        }
        let set: String = self.query(&Cmd::xgroup_setid("end", "g", "0")).await;
        assert_eq!(set, "OK");
        let again = Cmd::xread_options(&["end"], &[">"], &of("bob").count(1));
        let reply: StreamReadReply = self.query(&again).await;
        assert_eq!(shown::read(&reply), "end: 1-0{n=1}");
        for expected in [true, false] {
            let destroyed: bool = self.query(&Cmd::xgroup_destroy("end", "g")).await;
            assert_eq!(destroyed, expected);
        }
        let text = "No such consumer group 'g' for key name 'end'";
        self.refuse(&Cmd::xinfo_consumers("end", "g"), "NOGROUP", text)
            .await;
        self.delete("end").await;
    }

    /// Five entries: three are pending for alice, one for bob, one is not delivered.
    async fn deliver(&mut self, key: &str) {
        self.fill(key, 5).await;
        let created: String = self.query(&Cmd::xgroup_create(key, "g", "0")).await;
        assert_eq!(created, "OK");
        for (consumer, count) in [("alice", 3), ("bob", 1)] {
            let read = Cmd::xread_options(&[key], &[">"], &of(consumer).count(count));
            let reply: StreamReadReply = self.query(&read).await;
            assert_eq!(reply.keys[0].ids.len(), count);
        }
    }

    async fn expect_pending(&mut self, expected: &str) {
        let reply: StreamPendingReply = self.query(&Cmd::xpending("pending", "g")).await;
        assert_eq!(shown::pending(&reply), expected);
    }

    async fn expect_details(&mut self, command: &Cmd, expected: &str) {
        let reply: StreamPendingCountReply = self.query(command).await;
        assert_eq!(shown::details(&reply), expected);
        for one in &reply.ids {
            let idle = one.last_delivered_ms;
            assert!(idle < IDLE_MILLISECONDS_MAX, "idle for {idle} ms");
        }
    }
}

/// Options of a read of the group `g`.
fn of(consumer: &str) -> StreamReadOptions {
    StreamReadOptions::default().group("g", consumer)
}
