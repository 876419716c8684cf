//! The wire format of protocol buffers, as far as a reader needs it.

/// The value of one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field<'a> {
    /// A whole number, a switch or a choice.
    Varint(u64),
    /// Text, bytes or a message.
    Bytes(&'a [u8]),
    /// Four bytes, a float for one.
    Fixed32(u32),
    /// Eight bytes, which nobody asks for.
    Fixed64,
}

/// The numbers and values of a message's fields, in the order of the file; the last is an error
/// where the bytes are no message.
pub(super) fn fields(bytes: &[u8]) -> impl Iterator<Item = Result<(u64, Field<'_>), String>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let at = bytes.len() - rest.len();
        let field = next_field(&mut rest);
        if field.is_none() {
            rest = &[];
        }
        Some(field.ok_or_else(|| {
            format!(
                "it breaks off or is damaged at byte {at} of {}",
                bytes.len()
            )
        }))
    })
}

fn next_field<'a>(rest: &mut &'a [u8]) -> Option<(u64, Field<'a>)> {
    let key = varint(rest)?;
    let value = match key & 7 {
        0 => Field::Varint(varint(rest)?),
        1 => take(rest, 8).map(|_| Field::Fixed64)?,
        2 => {
            let length = usize::try_from(varint(rest)?).ok()?;
            Field::Bytes(take(rest, length)?)
        }
        5 => Field::Fixed32(u32::from_le_bytes(*take(rest, 4)?.first_chunk()?)),
        _ => return None,
    };
    (key >> 3 > 0).then_some((key >> 3, value))
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, later) = rest.split_at_checked(length)?;
    *rest = later;
    Some(taken)
}

/// Seven bits a byte, the lowest first; a set high bit says that more follow.
fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *take(rest, 1)?.first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
