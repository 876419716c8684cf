//! Where events go: to the screen, and to a run's log.

use std::io::{self, IsTerminal, Write};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::{FormatFields, FormattedFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry};

use crate::pipeline::Console;

/// Events go to standard error as plain lines, and with their time to the run's log.
pub(super) fn start(quiet: bool, verbose: u8, console: &Console) {
    let level = match (quiet, verbose) {
        (true, _) => LevelFilter::ERROR,
        (false, 0) => LevelFilter::INFO,
        (false, 1) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    let screen = tracing_subscriber::fmt::layer()
        .event_format(PlainLines {
            colors: io::stderr().is_terminal(),
        })
        .with_writer(Writer {
            console: console.clone(),
            to: To::Screen,
        })
        .with_filter(level);
    let log = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_target(false)
        .with_writer(Writer {
            console: console.clone(),
            to: To::Log,
        })
        .with_filter(LevelFilter::DEBUG);
    // A second program in one process, as in tests, keeps the first one's subscriber.
    let _ = tracing::subscriber::set_global_default(Registry::default().with(screen).with(log));
}

/// `message`, or `warning: message` and `error: message`; the message of the spans that it is said
/// in comes before it.
struct PlainLines {
    colors: bool,
}

impl<S, N> tracing_subscriber::fmt::FormatEvent<S, N> for PlainLines
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
    N: for<'a> tracing_subscriber::fmt::FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &tracing_subscriber::fmt::FmtContext<'_, S, N>,
        mut writer: tracing_subscriber::fmt::format::Writer<'_>,
        event: &tracing::Event<'_>,
    ) -> std::fmt::Result {
        let (word, color) = match *event.metadata().level() {
            tracing::Level::ERROR => ("error: ", "\x1b[1;31m"),
            tracing::Level::WARN => ("warning: ", "\x1b[1;33m"),
            _ => ("", ""),
        };
        if self.colors && !word.is_empty() {
            write!(writer, "{color}{word}\x1b[0m")?;
        } else {
            writer.write_str(word)?;
        }
        for span in context.event_scope().into_iter().flatten() {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>() {
                write!(writer, "{fields}: ")?;
            }
        }
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

/// Hands formatted events to the console.
struct Writer {
    console: Console,
    to: To,
}

#[derive(Clone, Copy)]
enum To {
    Screen,
    Log,
}

impl<'a> MakeWriter<'a> for Writer {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

impl Write for &Writer {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        match self.to {
            To::Screen => self.console.write_stderr(text)?,
            To::Log => self.console.write_log(text)?,
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
