//! Where the entries of a ZIP archive lie, for archives that compress nothing, as PyTorch's do.
//!
//! Nothing is copied: an entry is a range of the archive's own bytes. The format is that of
//! PKWARE's APPNOTE 6.3.10, sections 4.3.7 (local header), 4.3.12 (central directory),
//! 4.3.14 to 4.3.16 (its end, and that of ZIP64) and 4.5.3 (ZIP64's extra field).

use std::collections::BTreeMap;
use std::ops::Range;

/// What a ZIP archive starts with.
pub(super) const START: &[u8] = b"PK\x03\x04";

/// The entries of an archive by their name.
///
/// # Errors
/// An archive that is cut off, contradicts itself, or has a compressed or encrypted entry.
pub(super) fn entries(bytes: &[u8]) -> Result<BTreeMap<&str, Range<usize>>, String> {
    let mut entries = BTreeMap::new();
    let (mut at, n_entries) = directory(bytes)?;
    for _ in 0..n_entries {
        let header = Header::read(bytes, at)?;
        if entries.insert(header.name, header.data(bytes)?).is_some() {
            return Err(format!("the archive has two entries `{}`", header.name));
        }
        at = header.end;
    }
    Ok(entries)
}

/// Where the central directory starts, and how many entries it has.
fn directory(bytes: &[u8]) -> Result<(usize, u64), String> {
    /// The directory's end, with the longest comment that may follow it.
    const LONGEST_END: usize = 22 + u16::MAX as usize;
    const END: &[u8] = b"PK\x05\x06";
    let tail = bytes.len().saturating_sub(LONGEST_END);
    let end = bytes[tail..].windows(4).rposition(|four| four == END);
    let end = tail + end.ok_or("the end of the archive is missing: is the file whole?")?;
    slice(bytes, end..end + 22)?;
    let (n_entries, start) = match end.checked_sub(20) {
        Some(locator) if bytes[locator..].starts_with(b"PK\x06\x07") => {
            let record = place(number::<8>(bytes, locator + 8)?)?;
            expect(bytes, record, b"PK\x06\x06")?;
            (
                number::<8>(bytes, record + 32)?,
                number::<8>(bytes, record + 48)?,
            )
        }
        _ => (number::<2>(bytes, end + 10)?, number::<4>(bytes, end + 16)?),
    };
    Ok((place(start)?, n_entries))
}

/// An entry of the central directory.
struct Header<'a> {
    name: &'a str,
    n_bytes: u64,
    /// Where the local header is.
    local: u64,
    /// Where the next entry is.
    end: usize,
}

impl<'a> Header<'a> {
    fn read(bytes: &'a [u8], at: usize) -> Result<Self, String> {
        expect(bytes, at, b"PK\x01\x02")?;
        let name_start = at + 46;
        let extra_start = name_start + place(number::<2>(bytes, at + 28)?)?;
        let extra_end = extra_start + place(number::<2>(bytes, at + 30)?)?;
        let end = extra_end + place(number::<2>(bytes, at + 32)?)?;
        let name = slice(bytes, name_start..extra_start)?;
        let name = std::str::from_utf8(name).map_err(|_| "a name is not UTF-8")?;
        if number::<2>(bytes, at + 8)? & 1 != 0 {
            return Err(format!("the entry `{name}` is encrypted"));
        }
        if number::<2>(bytes, at + 10)? != 0 {
            return Err(format!(
                "the entry `{name}` is compressed, which PyTorch's own files never are"
            ));
        }
        // A field with all bits set stands in the extra field of ZIP64, in this order.
        let mut wide = zip64_fields(slice(bytes, extra_start..extra_end)?);
        let mut field = |at: usize| match number::<4>(bytes, at)? {
            0xffff_ffff => wide.next().ok_or("a ZIP64 field is missing".to_owned()),
            narrow => Ok(narrow),
        };
        let n_bytes = field(at + 24)?;
        let stored = field(at + 20)?;
        let local = field(at + 42)?;
        if stored != n_bytes {
            return Err(format!("the entry `{name}` has two lengths"));
        }
        Ok(Self {
            name,
            n_bytes,
            local,
            end,
        })
    }

    fn data(&self, bytes: &[u8]) -> Result<Range<usize>, String> {
        let local = place(self.local)?;
        expect(bytes, local, START)?;
        let names = number::<2>(bytes, local + 26)? + number::<2>(bytes, local + 28)?;
        let start = local + 30 + place(names)?;
        let end = start.checked_add(place(self.n_bytes)?);
        let range = start..end.ok_or(CUT)?;
        slice(bytes, range.clone())?;
        Ok(range)
    }
}

const CUT: &str = "the archive points beyond its end: is the file whole?";

fn zip64_fields(mut extra: &[u8]) -> impl Iterator<Item = u64> {
    let mut fields = Vec::new();
    while let Some((head, rest)) = extra.split_first_chunk::<4>() {
        let [id, length] = [[head[0], head[1]], [head[2], head[3]]].map(u16::from_le_bytes);
        let (content, rest) = rest.split_at(rest.len().min(length.into()));
        if id == 1 {
            let (chunks, _) = content.as_chunks::<8>();
            fields.extend(chunks.iter().map(|chunk| u64::from_le_bytes(*chunk)));
        }
        extra = rest;
    }
    fields.into_iter()
}

/// A place in the file; no file is so long that sums of some of them and a header overflow.
fn place(x: u64) -> Result<usize, String> {
    let place = usize::try_from(x).ok();
    Ok(place.filter(|x| *x < usize::MAX / 4).ok_or(CUT)?)
}

fn slice(bytes: &[u8], range: Range<usize>) -> Result<&[u8], String> {
    Ok(bytes.get(range).ok_or(CUT)?)
}

fn expect(bytes: &[u8], at: usize, start: &[u8]) -> Result<(), String> {
    if slice(bytes, at..at + start.len())? == start {
        Ok(())
    } else {
        Err("the archive's directory is broken".to_owned())
    }
}

/// A number of N bytes, least byte first.
fn number<const N: usize>(bytes: &[u8], at: usize) -> Result<u64, String> {
    let mut wide = [0; 8];
    wide[..N].copy_from_slice(slice(bytes, at..at + N)?);
    Ok(u64::from_le_bytes(wide))
}
