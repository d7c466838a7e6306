//! Goal: clients that were written for Redis live the whole life of streams and consumer groups
//! with MeiliES, unchanged, and see word for word what Redis shows them.
//!
//! Method: each client lives the same life: events added, read, waited for, trimmed and deleted;
//! groups with pending, claimed and acknowledged events; pipelines, transactions, large and binary
//! values, errors. redis-py, ioredis and node-redis are programs in `clients/`, which
//! `install-clients` installs; redis-cli is run as people run it; the `redis` crate lives in the
//! test. Everything runs against redis-server, too: what the checks demand is what Redis does.

mod foreign_clients {
    mod programs;
    mod redis_cli;
    mod redis_crate;
    mod server;

    /// The lives of all clients on one kind of server.
    macro_rules! lives_of_all_clients {
        ($server:ty) => {
            use super::programs::{IOREDIS, NODE_REDIS, REDIS_PY, REDIS_PY_ASYNCIO, live};
            use super::redis_crate::link::Kind;
            use super::{redis_cli, redis_crate};

            #[test]
            fn redis_py_blocking_in_resp2() {
                live::<$server>(&REDIS_PY, "2");
            }

            #[test]
            fn redis_py_blocking_in_resp3() {
                live::<$server>(&REDIS_PY, "3");
            }

            #[test]
            fn redis_py_asyncio_in_resp2() {
                live::<$server>(&REDIS_PY_ASYNCIO, "2");
            }

            #[test]
            fn redis_py_asyncio_in_resp3() {
                live::<$server>(&REDIS_PY_ASYNCIO, "3");
            }

            #[test]
            fn ioredis_in_resp2() {
                live::<$server>(&IOREDIS, "2");
            }

            #[test]
            fn node_redis_without_hello() {
                live::<$server>(&NODE_REDIS, "default");
            }

            #[test]
            fn node_redis_in_resp2() {
                live::<$server>(&NODE_REDIS, "2");
            }

            #[test]
            fn node_redis_in_resp3() {
                live::<$server>(&NODE_REDIS, "3");
            }

            #[test]
            fn the_redis_crate_blocking_in_resp2() {
                redis_crate::live::<$server>(Kind::Blocking, "resp2");
            }

            #[test]
            fn the_redis_crate_blocking_in_resp3() {
                redis_crate::live::<$server>(Kind::Blocking, "resp3");
            }

            #[test]
            fn the_redis_crate_multiplexed_in_resp2() {
                redis_crate::live::<$server>(Kind::Multiplexed, "resp2");
            }

            #[test]
            fn the_redis_crate_multiplexed_in_resp3() {
                redis_crate::live::<$server>(Kind::Multiplexed, "resp3");
            }

            #[test]
            fn redis_cli_command_by_command_in_resp2() {
                redis_cli::command_by_command::<$server>("-2");
            }

            #[test]
            fn redis_cli_command_by_command_in_resp3() {
                redis_cli::command_by_command::<$server>("-3");
            }

            #[test]
            fn redis_cli_through_pipes() {
                redis_cli::through_pipes::<$server>();
            }

            #[test]
            fn redis_cli_at_a_terminal() {
                redis_cli::at_a_terminal::<$server>();
            }
        };
    }

    mod against_meilies {
        lives_of_all_clients!(meilies_tests::process::ServerProcess);
    }

    mod against_redis {
        lives_of_all_clients!(meilies_tests::redis_process::RedisProcess);
    }
}
