//! How fast the front is on the memory engine: printed, not judged. Run it with
//! `cargo test --release -p meilies-server rates -- --nocapture`.

use std::time::Instant;

use super::*;

const EVENTS: u32 = 200_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rates_of_a_pipeline_and_of_its_replay() {
    let fixture = Fixture::start().await;
    let client = fixture.client().await;
    let data = [b'x'; 128];
    let mut command = BytesMut::new();
    writer::command(&mut command, &[b"PUBLISH", b"orders", b"created", &data]);
    let block = command.repeat(1000);
    let begin = Instant::now();
    let (mut reader, mut sender) = client.socket.into_split();
    let sending = tokio::spawn(async move {
        for _ in 0..EVENTS / 1000 {
            sender.write_all(&block).await.unwrap();
        }
        sender
    });
    let expected: usize = (0..EVENTS).map(|number| number.to_string().len() + 3).sum();
    skip(&mut reader, expected).await;
    report("published", begin);
    let mut sender = sending.await.unwrap();
    let begin = Instant::now();
    sender
        .write_all(b"*2\r\n$9\r\nSUBSCRIBE\r\n$8\r\norders:0\r\n")
        .await
        .unwrap();
    let mut last = Vec::new();
    let mut buffer = vec![0; 1 << 18];
    let end = format!("$9\r\ncaught-up\r\n$6\r\norders\r\n:{}\r\n", EVENTS - 1);
    while !last.ends_with(end.as_bytes()) {
        let count = reader.read(&mut buffer).await.unwrap();
        assert!(count > 0, "the server does not close the connection");
        last.extend_from_slice(&buffer[..count]);
        let excess = last.len().saturating_sub(end.len());
        last.drain(..excess);
    }
    report("replayed", begin);
}

async fn skip(reader: &mut (impl AsyncReadExt + Unpin), mut bytes: usize) {
    let mut buffer = vec![0; 1 << 16];
    while bytes > 0 {
        let count = reader.read(&mut buffer).await.unwrap();
        assert!(count > 0, "the server does not close the connection");
        bytes -= count;
    }
}

fn report(what: &str, begin: Instant) {
    let per_second = f64::from(EVENTS) / begin.elapsed().as_secs_f64();
    println!("{EVENTS} events {what}: {per_second:.0} a second");
}
