//! Specs: any bytes are read or refused, and what is read is written and read alike.

#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use meilies_protocol::Spec;

fuzz_target!(|data: &[u8]| {
    let Ok(spec) = Spec::parse(data) else {
        return;
    };
    let mut text = BytesMut::new();
    spec.write(&mut text);
    assert_eq!(Spec::parse(&text), Ok(spec));
});
