//! Commands of a hostile peer: the scanner gives the same commands and the same refusal however
//! the bytes are split, and what it gives is parsed or refused.

#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use meilies_protocol::{Arguments, CommandScanner, ProtocolError, Request, ScanLimits};

const LIMITS: ScanLimits = ScanLimits::Full {
    bulk_bytes_max: 64 * 1024,
};

fuzz_target!(|data: &[u8]| {
    let Some((first, input)) = data.split_first() else {
        return;
    };
    let whole = scan(input, input.len());
    assert_eq!(scan(input, 1 + usize::from(*first)), whole);
});

type Commands = Vec<Vec<Vec<u8>>>;

fn scan(input: &[u8], piece: usize) -> (Commands, Option<ProtocolError>) {
    let mut scanner = CommandScanner::new(LIMITS);
    let (mut buffer, mut arguments) = (BytesMut::new(), Arguments::new());
    let mut commands = Vec::new();
    for piece in input.chunks(piece.max(1)) {
        buffer.extend_from_slice(piece);
        loop {
            match scanner.next(&mut buffer, &mut arguments) {
                Ok(true) => commands.push(arguments.iter().map(<[u8]>::to_vec).collect()),
                Ok(false) => break,
                Err(error) => return (commands, Some(error)),
            }
            if let Ok(request) = Request::parse(&arguments) {
                request.encode(&mut BytesMut::new());
            }
        }
    }
    (commands, None)
}
