//! Goal: the server is found by flags, URL and environment, and what keeps the program out is
//! named.

use std::net::TcpListener;

use super::harness::{Server, finish, good, program, told};

fn url(server: &Server) -> String {
    format!("meilies://{}", server.address())
}

#[test]
fn the_url_names_the_server() {
    let server = Server::start(&[]);
    let last = ["last-event-number", "s"];
    let flag = finish(program().args(["--url", &url(&server)]).args(last));
    assert_eq!(told(&flag), good("none\n"));
    let variable = finish(program().env("MEILIES_URL", url(&server)).args(last));
    assert_eq!(told(&variable), good("none\n"));
    // The flag wins over the variable, and an empty one counts as not set.
    let mut both = program();
    both.env("MEILIES_URL", "meilies://127.0.0.1:1")
        .args(["--url", &url(&server)]);
    assert_eq!(told(&finish(both.args(last))), good("none\n"));
    let mut empty = server.command(&last);
    assert_eq!(told(&finish(empty.env("MEILIES_URL", ""))), good("none\n"));
}

#[test]
fn flags_win_over_the_url() {
    let server = Server::start(&[]);
    let port = server.address().port().to_string();
    let last = ["last-event-number", "s"];
    let run = |url: &str, flags: &[&str]| {
        finish(program().env("MEILIES_URL", url).args(last).args(flags))
    };
    let elsewhere = run("meilies://127.0.0.1:1", &["-p", &port]);
    assert_eq!(told(&elsewhere), good("none\n"));
    let nowhere = format!("meilies://nowhere.invalid:{port}");
    assert_eq!(told(&run(&nowhere, &["-h", "127.0.0.1"])), good("none\n"));
    assert_eq!(
        told(&run(&nowhere, &["--hostname", "localhost"])),
        good("none\n")
    );
    let (code, _, stderr) = told(&run("redis://127.0.0.1", &[]));
    assert_eq!(code, Some(2));
    assert!(stderr.contains("redis://127.0.0.1"), "{stderr}");
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener
        .local_addr()
        .expect("it is bound")
        .port()
        .to_string();
    drop(listener);
    for arguments in [
        &["publish", "s", "n", "d"][..],
        &["subscribe", "s"],
        &["read", "s"],
        &["last-event-number", "s"],
        &["stream-names"],
        &["info"],
        &["export"],
        &["import"],
    ] {
        let output = finish(program().args(arguments).args(["-p", &port]));
        let (code, stdout, stderr) = told(&output);
        assert_eq!((code, stdout.as_str()), (Some(3), ""), "{arguments:?}");
        assert!(stderr.contains(&format!("127.0.0.1:{port}")), "{stderr}");
    }
}

#[test]
fn a_server_that_is_silent_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener
        .local_addr()
        .expect("it is bound")
        .port()
        .to_string();
    let flags = ["--connect-timeout", "0.2", "-p", &port];
    let (code, _, stderr) = told(&finish(program().arg("info").args(flags)));
    assert_eq!(code, Some(3));
    assert!(stderr.contains("within 200 ms"), "{stderr}");
}

#[test]
fn a_password_is_asked_for_and_given() {
    let server = Server::start(&["--requirepass", "open sesame"]);
    let publish = ["publish", "s", "n", "d"];
    let (code, _, stderr) = told(&server.run(&publish));
    assert_eq!(code, Some(4));
    assert!(stderr.starts_with("meilies-cli: NOAUTH "), "{stderr}");

    let with = |flags: &[&str]| finish(server.command(&publish).args(flags));
    let (code, _, stderr) = told(&with(&["--password", "wrong"]));
    assert_eq!(code, Some(4));
    assert!(stderr.starts_with("meilies-cli: WRONGPASS "), "{stderr}");
    assert_eq!(told(&with(&["--password", "open sesame"])), good("0\n"));
    let user = ["--password", "open sesame", "--user", "default"];
    assert_eq!(told(&with(&user)), good("1\n"));
    let (code, _, stderr) = told(&with(&["--password", "open sesame", "--user", "jane"]));
    assert_eq!(code, Some(4), "{stderr}");

    let mut variable = server.command(&publish);
    let variable = finish(variable.env("MEILIES_PASSWORD", "open sesame"));
    assert_eq!(told(&variable), good("2\n"));
    let url = format!("meilies://default:open%20sesame@{}", server.address());
    let url = finish(program().env("MEILIES_URL", url).args(publish));
    assert_eq!(told(&url), good("3\n"));
    let mut empty = server.command(&publish);
    empty.env("MEILIES_PASSWORD", "");
    assert_eq!(finish(&mut empty).status.code(), Some(4));
}
