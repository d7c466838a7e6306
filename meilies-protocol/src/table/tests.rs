//! The table against itself, against Redis, and as it is written.

mod access;
mod redis;

use bytes::{Bytes, BytesMut};

use super::*;
use crate::request::CommandFilter;
use crate::{ReplyLimits, ReplyScanner, Value, Version, writer};

fn rows() -> impl Iterator<Item = &'static Command> {
    let rows = commands()
        .iter()
        .flat_map(|row| std::iter::once(*row).chain(row.subcommands));
    rows.into_iter()
}

#[test]
fn the_table_is_sound() {
    assert!(commands().is_sorted_by(|one, other| one.name < other.name));
    for row in rows() {
        let name = row.full_name;
        assert_eq!(row.name, row.name.to_ascii_lowercase(), "{name}");
        assert!(row.full_name.ends_with(row.name), "{name}");
        assert!(
            row.arity != 0 && !row.summary.is_empty() && !row.since.is_empty(),
            "{name}"
        );
        assert!(
            row.summary.ends_with('.') || !row.subcommands.is_empty(),
            "{name}"
        );
        let both = Flags::READONLY | Flags::WRITE;
        assert!(!row.flags.contains(both), "{name}");
        assert_eq!(row.keys.first == 0, row.keys.step == 0, "{name}");
        let movable = row.flags.contains(Flags::MOVABLEKEYS);
        assert_eq!(row.keys.behind.is_some(), movable, "{name}");
        let found = lookup::find_full(name.as_bytes());
        assert!(
            found.is_some_and(|found| std::ptr::eq(found, row)),
            "{name}"
        );
    }
    for command in commands() {
        for row in command.subcommands {
            assert_eq!(row.full_name, format!("{}|{}", command.name, row.name));
            assert_eq!(row.group, command.group);
        }
        let has_help = command.subcommands.iter().any(|row| row.name == "help");
        assert_eq!(
            has_help,
            !command.subcommands.is_empty(),
            "{}",
            command.name
        );
    }
}

#[test]
fn names_are_found_in_any_letter_case() {
    for name in ["publish", "PUBLISH", "Publish", "pUBLISh"] {
        assert_eq!(find(name.as_bytes()).map(|row| row.name), Some("publish"));
    }
    for name in [
        "",
        "p",
        "publis",
        "publishh",
        "PUBLISH ",
        "zzz",
        "\u{e9}",
        "client|id",
    ] {
        assert!(find(name.as_bytes()).is_none(), "{name}");
    }
}

#[test]
fn arity_counts_as_in_redis() {
    let get_name = find(b"client").expect("CLIENT is a command").subcommands;
    let get_name = get_name
        .iter()
        .find(|row| row.name == "getname")
        .expect("it is there");
    assert_eq!(
        [1, 2, 3].map(|count| get_name.takes(count)),
        [false, true, false]
    );
    let publish = find(b"publish").expect("PUBLISH is a command");
    assert_eq!(
        [2, 3, 9].map(|count| publish.takes(count)),
        [false, true, true]
    );
}

fn read(version: Version, write: impl FnOnce(&mut BytesMut, Version)) -> Value {
    let mut out = BytesMut::new();
    write(&mut out, version);
    let mut scanner = ReplyScanner::new(ReplyLimits::default());
    let value = scanner
        .next(&mut out)
        .expect("the bytes are good")
        .expect("it is whole");
    assert!(out.is_empty(), "one reply is written");
    value
}

fn text(write: impl FnOnce(&mut BytesMut)) -> String {
    let mut out = BytesMut::new();
    write(&mut out);
    String::from_utf8(out.to_vec())
        .expect("the table is text")
        .replace("\r\n", " ")
}

fn list(value: Value) -> Vec<Value> {
    match value {
        Value::Array(values) => values,
        other => panic!("{other:?} is no array"),
    }
}

#[test]
fn a_transaction_gathers_what_redis_gathers() {
    let kinds = |kind| {
        let rows = rows().filter(move |row| row.in_transaction() == kind);
        rows.map(|row| row.full_name).collect::<Vec<&str>>()
    };
    let at_once = ["discard", "exec", "multi", "quit", "reset", "watch"];
    assert_eq!(kinds(InTransaction::AtOnce), at_once);
    assert_eq!(kinds(InTransaction::Refused), ["save", "shutdown"]);
    assert!(kinds(InTransaction::Gathered).contains(&"unwatch"));
    // What Redis has no name for is not shown.
    assert!(Flags::AT_ONCE.names().next().is_none());
}

#[test]
fn every_writer_writes_one_reply_in_both_versions() {
    for version in [Version::Resp2, Version::Resp3] {
        let all = list(read(version, write_all));
        assert_eq!(all.len(), commands().len());
        assert_eq!(
            list(read(version, |out, version| write_info(out, version, &[]))),
            all
        );
        let docs = read(version, |out, version| write_docs(out, version, &[]));
        match (version, docs) {
            (Version::Resp2, Value::Array(docs)) => assert_eq!(docs.len(), 2 * commands().len()),
            (Version::Resp3, Value::Map(docs)) => assert_eq!(docs.len(), commands().len()),
            (_, other) => panic!("{other:?} is no documentation"),
        }
    }
    for command in commands().iter().filter(|row| !row.subcommands.is_empty()) {
        let help = list(read(Version::Resp2, |out, _| write_help(out, command)));
        assert_eq!(help.len(), 1 + 2 * command.subcommands.len());
    }
}

#[test]
fn rows_have_the_fields_of_redis() {
    let names = [Bytes::from_static(b"TYPE"), Bytes::from_static(b"foo")];
    assert_eq!(
        text(|out| write_info(out, Version::Resp3, &names)),
        "*2 *10 $4 type :2 ~2 +readonly +fast :1 :1 :1 ~3 +@keyspace +@read +@fast *0 *1 \
         %3 $5 flags ~1 +RO $12 begin_search %2 $4 type $5 index $4 spec %1 $5 index :1 \
         $9 find_keys %2 $4 type $5 range $4 spec %3 $7 lastkey :0 $7 keystep :1 $5 limit :0 *0 _ "
    );
    let names = [Bytes::from_static(b"xread")];
    assert_eq!(
        text(|out| write_info(out, Version::Resp2, &names)),
        "*1 *10 $5 xread :-4 *3 +readonly +blocking +movablekeys :0 :0 :0 *4 +@read +@stream \
         +@slow +@blocking *0 *1 *6 $5 flags *2 +RO +access $12 begin_search *4 $4 type \
         $7 keyword $4 spec *4 $7 keyword $7 STREAMS $9 startfrom :1 \
         $9 find_keys *4 $4 type $5 range $4 spec *6 $7 lastkey :-1 $7 keystep :1 $5 limit :2 *0 "
    );
    let names = [Bytes::from_static(b"CLIENT|No-Evict")];
    assert_eq!(
        text(|out| write_info(out, Version::Resp2, &names)),
        "*1 *10 $15 client|no-evict :3 *4 +admin +noscript +loading +stale :0 :0 :0 \
         *4 +@admin +@slow +@dangerous +@connection *0 *0 *0 "
    );
    let names = [Bytes::from_static(b"rename")];
    let renames = text(|out| write_info(out, Version::Resp2, &names));
    let [from, to] = ["*3 +RW +access +delete", "*2 +OW +update"].map(|flags| {
        let found = renames.find(&format!("*6 $5 flags {flags} $12 begin_search "));
        found.expect("each of its keys has its own flags")
    });
    assert!(from < to, "{renames}");
    let names = [Bytes::from_static(b"scan")];
    let docs = text(|out| write_docs(out, Version::Resp3, &names));
    assert!(docs.starts_with("%1 $4 scan %5 $7 summary "), "{docs}");
    let arguments = "$9 arguments *4 %2 $4 name $6 cursor $4 type $6 string \
                     %4 $4 name $7 pattern $4 type $6 string $5 token $5 MATCH \
                     $5 flags ~1 +optional ";
    assert!(docs.contains(arguments), "{docs}");
    let names = [Bytes::from_static(b"foo")];
    assert_eq!(text(|out| write_docs(out, Version::Resp2, &names)), "*0 ");
}

#[test]
fn names_are_listed_by_pattern() {
    let all = text(|out| write_list(out, None));
    assert!(
        all.starts_with(&format!("*{} ", rows().count())) && all.contains(" client|list "),
        "{all}"
    );
    let pattern = |pattern: &'static str| CommandFilter::Pattern(pattern.as_bytes().into());
    let listed = |filter| text(|out| write_list(out, Some(&filter)));
    assert_eq!(listed(pattern("PUB*")), "*2 $7 publish $12 publish-many ");
    assert_eq!(listed(pattern("config*")), {
        "*6 $6 config $10 config|get $11 config|help $16 config|resetstat $14 config|rewrite \
         $10 config|set "
    });
    assert_eq!(listed(CommandFilter::Module("x".into())), "*0 ");
    let category = |name: &'static str| CommandFilter::AclCategory(name.into());
    assert_eq!(
        listed(category("Transaction")),
        "*5 $7 discard $4 exec $5 multi $7 unwatch $5 watch "
    );
    assert_eq!(listed(category("hash")), "*0 ");
    let count = commands().len();
    assert_eq!(text(write_count), format!(":{count} "));
}

#[test]
fn keys_are_found_as_in_redis() {
    let keys = |line: &'static str| {
        let words: Vec<Bytes> = line.split(' ').map(Bytes::from).collect();
        text(|out| write_keys(out, &words))
    };
    assert_eq!(keys("type a"), "*1 $1 a ");
    assert_eq!(keys("exists a b"), "*2 $1 a $1 b ");
    assert_eq!(keys("PUBLISH a b c"), "*1 $1 a ");
    assert_eq!(keys("rename a b"), "*2 $1 a $1 b ");
    assert_eq!(keys("XGROUP create a g 0"), "*1 $1 a ");
    assert_eq!(keys("object encoding a"), "*1 $1 a ");
    assert_eq!(keys("xread COUNT 5 streams a b 0 0"), "*2 $1 a $1 b ");
    // The first argument that can be the word is it, not a group of that name.
    assert_eq!(keys("XREADGROUP GROUP STREAMS c STREAMS a >"), "*1 $1 a ");
    for line in [
        "XREAD STREAMS a b 0",
        "XREAD COUNT 5 STREAMS",
        "XREAD COUNT 5 a 0",
    ] {
        assert_eq!(
            keys(line),
            "-ERR Invalid arguments specified for command ",
            "{line}"
        );
    }
    assert_eq!(keys("ping x"), "-ERR The command has no key arguments ");
    assert_eq!(keys("foo x"), "-ERR Invalid command specified ");
    assert_eq!(
        keys("type a b"),
        "-ERR Invalid number of arguments specified for command "
    );
    assert_eq!(text(|out| writer::simple(out, "OK")), "+OK ");
}

#[test]
fn keys_are_found_with_what_is_done_with_them() {
    let keys = |version, line: &'static str| {
        let words: Vec<Bytes> = line.split(' ').map(Bytes::from).collect();
        text(|out| write_keys_and_flags(out, version, &words))
    };
    let (old, new) = (Version::Resp2, Version::Resp3);
    assert_eq!(keys(old, "XADD s * a b"), "*1 *2 $1 s *2 +RW +update ");
    assert_eq!(keys(new, "type s"), "*1 *2 $1 s ~1 +RO ");
    assert_eq!(
        keys(old, "XREAD STREAMS a b 0 0"),
        "*2 *2 $1 a *2 +RO +access *2 $1 b *2 +RO +access "
    );
    assert_eq!(
        keys(old, "RENAME a b"),
        "*2 *2 $1 a *3 +RW +access +delete *2 $1 b *2 +OW +update "
    );
    assert_eq!(
        keys(old, "ping x"),
        "-ERR The command has no key arguments "
    );
    assert_eq!(keys(old, "foo x"), "-ERR Invalid command specified ");
}
