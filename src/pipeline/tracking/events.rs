//! `TensorBoard`'s event files: records of length, checksum and a protocol buffer.
//!
//! Field numbers are those of `event.proto`, `summary.proto`, `tensor.proto` and the hparams
//! plugin's `plugin_data.proto` and `api.proto` of `TensorBoard` 2.21; the framing is
//! `TFRecord`'s.

use std::io::{self, Write};

/// What is shown at one step under one tag.
pub enum Value<'a> {
    /// A number, on the page of curves.
    Scalar(f64),
    /// Markdown, on the page of texts.
    Text(&'a str),
    /// A PNG file of this width and height in pixels.
    Png(&'a [u8], u32, u32),
    /// The settings of a run, on the page that compares runs by them.
    Settings(&'a [(String, Setting)]),
}

/// A setting's value.
pub enum Setting {
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
    /// Yes or no.
    Bool(bool),
}

/// Writes the record that every event file begins with.
///
/// # Errors
/// A file that cannot be written.
pub fn write_header(out: &mut impl Write, wall_time: f64) -> io::Result<()> {
    let mut event = Message::default();
    event.double(1, wall_time);
    event.bytes(3, b"brain.Event:2");
    write_record(out, &event.0)
}

/// Writes one event: values by their tags at a step; `wall_time` is in seconds since 1970.
///
/// # Errors
/// A file that cannot be written.
pub fn write_event(
    out: &mut impl Write,
    wall_time: f64,
    step: usize,
    values: &[(String, Value<'_>)],
) -> io::Result<()> {
    let mut summary = Message::default();
    for (tag, value) in values {
        summary.message(1, &summary_value(tag, value));
    }
    let mut event = Message::default();
    event.double(1, wall_time);
    event.varint(2, step as u64);
    event.message(5, &summary);
    write_record(out, &event.0)
}

/// Writes that a run which was stopped goes on with `step`: what earlier files have of it and of
/// later steps is no longer shown.
///
/// # Errors
/// A file that cannot be written.
pub fn write_restart(out: &mut impl Write, wall_time: f64, step: usize) -> io::Result<()> {
    /// `SessionLog.SessionStatus`.
    const START: u64 = 1;
    let mut session = Message::default();
    session.varint(1, START);
    let mut event = Message::default();
    event.double(1, wall_time);
    event.varint(2, step as u64);
    event.message(7, &session);
    write_record(out, &event.0)
}

/// `Summary.Value`.
fn summary_value(tag: &str, value: &Value<'_>) -> Message {
    let mut message = Message::default();
    message.bytes(1, tag.as_bytes());
    match value {
        // TensorBoard keeps scalars in f32.
        Value::Scalar(number) => message.float(2, *number as f32),
        Value::Text(text) => {
            message.message(9, &plugin("text", b""));
            message.message(8, &text_tensor(text));
        }
        Value::Png(bytes, width, height) => {
            let mut image = Message::default();
            image.varint(1, u64::from(*height));
            image.varint(2, u64::from(*width));
            // RGBA.
            image.varint(3, 4);
            image.bytes(4, bytes);
            message.message(4, &image);
        }
        Value::Settings(settings) => {
            message.message(9, &plugin("hparams", &session_start(settings).0));
            message.message(8, &text_tensor(""));
        }
    }
    message
}

/// `SummaryMetadata` of a plugin's tensors.
fn plugin(name: &str, content: &[u8]) -> Message {
    /// `DATA_CLASS_TENSOR`.
    const TENSOR: u64 = 2;
    let mut plugin = Message::default();
    plugin.bytes(1, name.as_bytes());
    plugin.bytes(2, content);
    let mut metadata = Message::default();
    metadata.message(1, &plugin);
    metadata.varint(4, TENSOR);
    metadata
}

/// `TensorProto` with one string in a vector.
fn text_tensor(text: &str) -> Message {
    /// `DT_STRING`.
    const STRING: u64 = 7;
    let mut dim = Message::default();
    dim.varint(1, 1);
    let mut shape = Message::default();
    shape.message(2, &dim);
    let mut tensor = Message::default();
    tensor.varint(1, STRING);
    tensor.message(2, &shape);
    tensor.bytes(8, text.as_bytes());
    tensor
}

/// `HParamsPluginData` with a `SessionStartInfo`.
fn session_start(settings: &[(String, Setting)]) -> Message {
    let mut start = Message::default();
    for (name, setting) in settings {
        // `google.protobuf.Value`.
        let mut value = Message::default();
        match setting {
            Setting::Number(number) => value.double(2, *number),
            Setting::Text(text) => value.bytes(3, text.as_bytes()),
            Setting::Bool(yes) => value.varint(4, u64::from(*yes)),
        }
        let mut entry = Message::default();
        entry.bytes(1, name.as_bytes());
        entry.message(2, &value);
        start.message(1, &entry);
    }
    let mut data = Message::default();
    data.message(3, &start);
    data
}

fn write_record(out: &mut impl Write, data: &[u8]) -> io::Result<()> {
    let length = (data.len() as u64).to_le_bytes();
    out.write_all(&length)?;
    out.write_all(&masked_checksum(&length).to_le_bytes())?;
    out.write_all(data)?;
    out.write_all(&masked_checksum(data).to_le_bytes())
}

/// CRC-32C, rotated and moved, so that a checksum of data that holds checksums is none of them.
fn masked_checksum(data: &[u8]) -> u32 {
    crc32c::crc32c(data)
        .rotate_right(15)
        .wrapping_add(0xa282_ead8)
}

/// A protocol buffer that is being written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn key(&mut self, field: u64, wire_type: u64) {
        self.number(field << 3 | wire_type);
    }

    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn varint(&mut self, field: u64, value: u64) {
        self.key(field, 0);
        self.number(value);
    }

    fn double(&mut self, field: u64, value: f64) {
        self.key(field, 1);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.key(field, 2);
        self.number(bytes.len() as u64);
        self.0.extend(bytes);
    }

    fn float(&mut self, field: u64, value: f32) {
        self.key(field, 5);
        self.0.extend(value.to_le_bytes());
    }

    fn message(&mut self, field: u64, message: &Message) {
        self.bytes(field, &message.0);
    }
}
