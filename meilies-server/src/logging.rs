//! Log lines on stderr: for people, coloured on a terminal only, or one JSON object per line.

use std::io::{self, IsTerminal};

use meilies_server::config::{Config, LogFormat, LogSwitch};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{fmt, reload};

/// Begins to write log lines. Returns what changes the filter later.
pub(crate) fn start(config: &Config) -> LogSwitch {
    let (filter, handle) = reload::Layer::new(config.log_level.targets());
    let registry = tracing_subscriber::registry().with(filter);
    match config.log_format {
        LogFormat::Json => {
            let lines = fmt::layer()
                .json()
                .flatten_event(true)
                .with_writer(io::stderr);
            registry.with(lines).init();
        }
        LogFormat::Text => {
            let mut lines = fmt::layer().with_target(false).with_writer(io::stderr);
            // On a terminal the layer's own default stands, which honours NO_COLOR.
            if !io::stderr().is_terminal() {
                lines = lines.with_ansi(false);
            }
            registry.with(lines).init();
        }
    }
    Box::new(move |filter| {
        // The subscriber lives as long as the program, so the handle never dangles.
        if let Err(error) = handle.reload(filter.targets()) {
            tracing::warn!(%error, "cannot change the log level");
        }
    })
}
