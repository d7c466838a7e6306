//! Fields of the replies that are maps in RESP3 and flat arrays in RESP2.

use meilies_tests::Value;

/// What stands where a value is not compared.
pub(crate) fn not_compared() -> Value {
    Value::Simple(b"(not compared)".to_vec())
}

/// The value of a field.
pub(crate) fn field<'a>(map: &'a Value, name: &str) -> Option<&'a Value> {
    match map {
        Value::Map(entries) => entries
            .iter()
            .find(|(key, _)| is_name(key, name))
            .map(|(_, value)| value),
        Value::Array(items) => items
            .chunks_exact(2)
            .find(|pair| is_name(&pair[0], name))
            .map(|pair| &pair[1]),
        _ => None,
    }
}

/// The value of a field, to change it.
pub(crate) fn field_mut<'a>(map: &'a mut Value, name: &str) -> Option<&'a mut Value> {
    match map {
        Value::Map(entries) => entries
            .iter_mut()
            .find(|(key, _)| is_name(key, name))
            .map(|(_, value)| value),
        Value::Array(items) => items
            .chunks_exact_mut(2)
            .find(|pair| is_name(&pair[0], name))
            .map(|pair| &mut pair[1]),
        _ => None,
    }
}

/// All fields with their names.
pub(crate) fn fields_mut(map: &mut Value) -> Vec<(&[u8], &mut Value)> {
    match map {
        Value::Map(entries) => entries
            .iter_mut()
            .map(|(key, value)| (name(key), value))
            .collect(),
        Value::Array(items) => items
            .chunks_exact_mut(2)
            .filter_map(|pair| pair.split_first_mut())
            .map(|(key, value)| (name(key), &mut value[0]))
            .collect(),
        _ => Vec::new(),
    }
}

/// Takes a field out, and says what it was.
pub(crate) fn take_field(map: &mut Value, name: &str) -> Option<Value> {
    match map {
        Value::Map(entries) => {
            let at = entries.iter().position(|(key, _)| is_name(key, name))?;
            Some(entries.remove(at).1)
        }
        Value::Array(items) => {
            let at = items
                .chunks_exact(2)
                .position(|pair| is_name(&pair[0], name))?;
            items.drain(2 * at..2 * at + 2).nth(1)
        }
        _ => None,
    }
}

/// The elements of an array; none of anything else.
pub(crate) fn items_mut(value: &mut Value) -> &mut [Value] {
    match value {
        Value::Array(items) => items,
        _ => &mut [],
    }
}

/// The elements of the array that a field holds.
pub(crate) fn list_mut<'a>(map: &'a mut Value, name: &str) -> &'a mut [Value] {
    field_mut(map, name).map_or(&mut [], items_mut)
}

fn name(key: &Value) -> &[u8] {
    match key {
        Value::Bulk(bytes) => bytes,
        _ => b"",
    }
}

fn is_name(key: &Value, name: &str) -> bool {
    matches!(key, Value::Bulk(bytes) if bytes == name.as_bytes())
}
