//! The data map as one HTML page that works from a disk, without a network.
//!
//! The page is a document of four parts: a security policy that allows its own script and style
//! by their hashes and nothing else, the style, blocks of data, and the script. The script and
//! the style are built from the sources in `page/` (`npm ci && npm run build` there) and kept
//! in `page/dist`, so that building the program takes no Node.
//!
//! Nothing of a user's is ever part of the markup: texts, labels, ids and configs are in the
//! blocks, as base64 of compressed bytes, and the script shows them as text.
//!
//! ```text
//! page.rs      the document: policy, style, blocks, script
//!   blocks.rs  numbers and texts to blocks
//! page/src     the sources of the script and the style
//! page/dist    what they are built into
//! ```

mod blocks;

use std::fmt::Write;

use rayon::prelude::*;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use blocks::{Block, base64};

const SCRIPT: &str = include_str!("page/dist/page.js");
const STYLE: &str = include_str!("page/dist/page.css");

/// A page that is being put together: facts for the script, and blocks that they name.
#[derive(Debug, Default)]
pub struct Page {
    facts: Map<String, Value>,
    blocks: Vec<Block>,
}

/// The name of a block of a page.
pub type BlockName = String;

impl Page {
    /// A page without any data.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says something to the script; what was said under this name before is replaced.
    pub fn say(&mut self, name: &str, value: impl Into<Value>) {
        self.facts.insert(name.to_owned(), value.into());
    }

    /// Adds bytes; the block's name.
    pub fn bytes(&mut self, values: Vec<u8>) -> BlockName {
        self.add("u8", 1, values)
    }

    /// Adds whole numbers below 2^16; the block's name.
    pub fn u16s(&mut self, values: &[u16]) -> BlockName {
        self.add(
            "u16",
            2,
            values.iter().flat_map(|x| x.to_le_bytes()).collect(),
        )
    }

    /// Adds whole numbers below 2^32; the block's name.
    pub fn u32s(&mut self, values: &[u32]) -> BlockName {
        self.add(
            "u32",
            4,
            values.iter().flat_map(|x| x.to_le_bytes()).collect(),
        )
    }

    /// Adds numbers, which lose all but 24 significant bits; the block's name.
    pub fn f32s(&mut self, values: &[f64]) -> BlockName {
        let bytes = values.iter().flat_map(|x| (*x as f32).to_le_bytes());
        self.add("f32", 4, bytes.collect())
    }

    /// Adds numbers, exactly; the block's name.
    pub fn f64s(&mut self, values: &[f64]) -> BlockName {
        self.add(
            "f64",
            8,
            values.iter().flat_map(|x| x.to_le_bytes()).collect(),
        )
    }

    /// Adds texts: the names of the block of their UTF-8, end to end, and of that of their lengths
    /// in bytes.
    pub fn texts<'a>(&mut self, texts: impl IntoIterator<Item = &'a str>) -> [BlockName; 2] {
        let mut bytes = Vec::new();
        let mut lengths = Vec::new();
        for text in texts {
            bytes.extend_from_slice(text.as_bytes());
            lengths.push(text.len() as u32);
        }
        [self.bytes(bytes), self.u32s(&lengths)]
    }

    fn add(&mut self, kind: &'static str, width: usize, bytes: Vec<u8>) -> BlockName {
        self.blocks.push(Block { kind, width, bytes });
        format!("b{}", self.blocks.len() - 1)
    }

    /// The page as an HTML document. The same data give the same bytes.
    pub fn to_html(&self) -> String {
        let facts = serde_json::to_vec(&self.facts).unwrap_or_default();
        let facts = Block {
            kind: "json",
            width: 1,
            bytes: facts,
        };
        let encoded: Vec<String> = self.blocks.par_iter().map(Block::encoded).collect();
        let n_bytes: usize = encoded.iter().map(String::len).sum();
        let mut html = String::with_capacity(n_bytes + SCRIPT.len() + STYLE.len() + 4096);
        // Writing to a string cannot fail.
        let _ = write!(
            html,
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
             script-src '{}'; style-src '{}'; img-src blob: data:; base-uri 'none'; \
             form-action 'none'\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"referrer\" content=\"no-referrer\">\n\
             <title>Data map</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
             <div id=\"page\"><p class=\"wait\">Unpacking the map ...</p></div>\n\
             <noscript>This page draws its map with a script of its own, and scripts are \
             off.</noscript>\n",
            hash(SCRIPT),
            hash(STYLE),
        );
        let mut block = |name: &str, kind: &str, encoded: &str| {
            let _ = writeln!(
                html,
                "<script type=\"application/octet-stream\" id=\"{name}\" data-kind=\"{kind}\">{encoded}</script>"
            );
        };
        block("facts", facts.kind, &facts.encoded());
        for (i, encoded) in encoded.iter().enumerate() {
            block(&format!("b{i}"), self.blocks[i].kind, encoded);
        }
        let _ = write!(html, "<script>{SCRIPT}</script>\n</body>\n</html>\n");
        html
    }
}

/// How a security policy names an inline script or style.
fn hash(source: &str) -> String {
    format!("sha256-{}", base64(&Sha256::digest(source.as_bytes())))
}
