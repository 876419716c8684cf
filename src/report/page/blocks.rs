//! Numbers and texts as what a page can hold: compressed, in letters.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;

/// Values of one kind.
#[derive(Debug)]
pub(super) struct Block {
    /// What they are, for the script.
    pub kind: &'static str,
    /// How many bytes each has.
    pub width: usize,
    /// One value after the other, the least byte of each first.
    pub bytes: Vec<u8>,
}

impl Block {
    /// The first bytes of all values, then the second of all, and so on, which compresses better;
    /// in the zlib format, in base64.
    pub fn encoded(&self) -> String {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        let planes = self.planes();
        // Writing to memory cannot fail.
        let _ = encoder.write_all(&planes);
        base64(&encoder.finish().unwrap_or_default())
    }

    fn planes(&self) -> Vec<u8> {
        let at = |place| self.bytes.iter().skip(place).step_by(self.width);
        (0..self.width).flat_map(at).copied().collect()
    }
}

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Bytes in base64 with padding (RFC 4648, section 4).
pub(super) fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |i: usize| u32::from(three.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * i)) as usize & 63];
            // Three bytes are four letters, two are three, one is two.
            text.push(if i <= three.len() { letter.into() } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        // RFC 4648, section 10.
        for (bytes, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), expected);
        }
        assert_eq!(base64(&[0xfb, 0xff]), "+/8=");
    }

    #[test]
    fn planes_hold_the_least_bytes_first() {
        let block = Block {
            kind: "u16",
            width: 2,
            bytes: vec![1, 2, 3, 4, 5, 6],
        };
        assert_eq!(block.planes(), [1, 3, 5, 2, 4, 6]);
    }
}
