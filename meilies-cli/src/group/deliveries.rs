//! How events are printed that a consumer got.

use meilies_client::{Delivery, DeliveryKind};

use super::info::numbers;
use crate::failure::Failure;
use crate::output::people::escaped;
use crate::output::{Output, json};

/// How they are printed, for the help.
pub(super) const LINES: &str = "\
Each line is the id of an event with its name and data, or name=value for each of several fields. \
With --json it is an object with id, kind (new, pending or claimed), deliveries, and name and data \
or fields as export writes them.";

pub(super) async fn print(deliveries: &[Delivery], output: &Output) -> Result<(), Failure> {
    let mut lines = output.lines();
    for delivery in deliveries {
        lines.bytes(&match output.json() {
            true => object(delivery),
            false => text(delivery).into_bytes(),
        });
    }
    lines.flush().await
}

fn text(delivery: &Delivery) -> String {
    let mut text = delivery.id.to_string();
    if let [(name, data)] = delivery.fields.as_slice() {
        return format!("{text}  {}  {}", escaped(name), escaped(data));
    }
    for (name, value) in &delivery.fields {
        text = format!("{text}  {}={}", escaped(name), escaped(value));
    }
    text
}

fn object(delivery: &Delivery) -> Vec<u8> {
    let mut out = b"{\"id\":".to_vec();
    json::string(&mut out, &delivery.id.to_string());
    out.extend_from_slice(b",\"kind\":");
    json::string(
        &mut out,
        match delivery.kind {
            DeliveryKind::New => "new",
            DeliveryKind::Pending => "pending",
            DeliveryKind::Claimed => "claimed",
        },
    );
    numbers(&mut out, &[("deliveries", delivery.deliveries)]);
    json::content(&mut out, &delivery.fields);
    out.push(b'}');
    out
}
