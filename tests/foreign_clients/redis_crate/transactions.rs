//! The part of the life that pipelines and transactions have.

use redis::streams::{StreamReadOptions, StreamReadReply};
use redis::{Cmd, Value, cmd, pipe};

use super::{Life, shown};
use crate::foreign_clients::server::Server;

const PIPELINE_COMMANDS: usize = 1000;
const ABORTED: &str = "Transaction discarded because of previous errors.";

/// What the transaction's commands answer.
type Replies = (String, String, String, StreamReadReply, Value, usize);

impl<S: Server> Life<S> {
    pub(super) async fn transactions(&mut self) {
        self.pipeline().await;
        self.transaction().await;
        self.watch().await;
        self.abort().await;
    }

    async fn pipeline(&mut self) {
        let mut commands = pipe();
        let expected: Vec<String> = (1..=PIPELINE_COMMANDS).map(|n| format!("{n}-0")).collect();
        for id in &expected {
            commands.xadd("pipeline", id, &[("n", "1")]);
        }
        let ids: Vec<String> = self.link.pipe(&commands).await.expect("all are added");
        assert_eq!(ids, expected);

        let mut commands = pipe();
        commands
            .xlen("pipeline")
            .xadd("pipeline", "1-0", &[("n", "1")]);
        commands.xdel("pipeline", &["1-0"]).ignore_errors();
        let replies: Vec<Result<Value, redis::RedisError>> =
            self.link.pipe(&commands).await.expect("errors are replies");
        assert!(matches!(replies[0], Ok(Value::Int(1000))), "{replies:?}");
        let refused = replies[1].as_ref().expect_err("the id is too small");
        let text = "The ID specified in XADD is equal or smaller than the target stream top item";
        assert_eq!(refused.detail(), Some(text));
        assert!(matches!(replies[2], Ok(Value::Int(1))), "{replies:?}");
        self.delete("pipeline").await;
    }

    async fn transaction(&mut self) {
        let group = StreamReadOptions::default().group("g", "alice");
        // Within a transaction nothing waits.
        let waiting = StreamReadOptions::default().block(0);
        let mut commands = pipe();
        commands
            .atomic()
            .xadd("one", "1-0", &[("n", 1)])
            .xadd("two", "1-0", &[("n", 1)])
            .xgroup_create("one", "g", "0")
            .xread_options(&["one"], &[">"], &group)
            .xread_options(&["two"], &["$"], &waiting)
            .xack("one", "g", &["1-0"]);
        let replies: Replies = self.link.pipe(&commands).await.expect("it commits");
        let (first, second, created, read, nothing, acknowledged) = replies;
        assert_eq!([first, second, created], ["1-0", "1-0", "OK"]);
        assert_eq!(shown::read(&read), "one: 1-0{n=1}");
        assert_eq!((nothing, acknowledged), (Value::Nil, 1));
        self.delete("one").await;
        self.delete("two").await;
    }

    async fn watch(&mut self) {
        self.fill("watched", 1).await;
        let mut watch = cmd("WATCH");
        watch.arg("watched");
        let mut add = pipe();
        add.atomic().xadd("watched", "3-0", &[("by", "this")]);
        assert_eq!(self.query::<String>(&watch).await, "OK");
        let another = Cmd::xadd("watched", "2-0", &[("by", "another")]);
        let added: String = self.other.query(&another).await.expect("it is added");
        assert_eq!(added, "2-0");
        let refused: Option<Vec<String>> = self.link.pipe(&add).await.expect("it is answered");
        assert_eq!(refused, None);
        assert_eq!(self.query::<usize>(&Cmd::xlen("watched")).await, 2);
        assert_eq!(self.query::<String>(&watch).await, "OK");
        let taken: Option<Vec<String>> = self.link.pipe(&add).await.expect("it is answered");
        assert_eq!(taken, Some(vec!["3-0".to_owned()]));
        self.delete("watched").await;
    }

    async fn abort(&mut self) {
        self.fill("abort", 1).await;
        let mut commands = pipe();
        commands.atomic().xadd("abort", "2-0", &[("n", 2)]);
        commands.cmd("XADD").arg("abort");
        let reply = self.link.pipe::<Value>(&commands).await;
        let error = reply.expect_err("a command has no fields");
        assert_eq!(error.code(), Some("EXECABORT"), "{error}");

        assert_eq!(self.query::<String>(&cmd("MULTI")).await, "OK");
        assert_eq!(self.query::<String>(&Cmd::xlen("abort")).await, "QUEUED");
        let arity = "wrong number of arguments for 'xadd' command";
        self.refuse(cmd("XADD").arg("abort"), "ERR", arity).await;
        self.refuse(&cmd("EXEC"), "EXECABORT", ABORTED).await;
        assert_eq!(self.query::<String>(&cmd("MULTI")).await, "OK");
        assert_eq!(self.query::<String>(&cmd("DISCARD")).await, "OK");
        self.refuse(&cmd("EXEC"), "ERR", "EXEC without MULTI").await;
        assert_eq!(self.query::<usize>(&Cmd::xlen("abort")).await, 1);
        self.delete("abort").await;
    }
}
