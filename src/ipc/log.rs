//! The log: one line an event, from every process, printed by the supervisor alone.
//!
//! A child hands its lines to the supervisor over the channel and never waits; what does not fit is
//! counted and the count goes with the next line. The supervisor writes through a thread of its
//! own, so that a blocked terminal or a full disk stops nobody. Fields are written first, then the
//! fixed message. `EVENKEEL_LOG` sets the level.

use std::fmt::{self, Write as _};
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use super::log_line::{LogField, LogLevel, LogLine};
use crate::model::date_of_day;

/// Sends every event of this process to `hand_over`, which returns false when it had no room.
pub fn to_supervisor(hand_over: impl Fn(LogLine) -> bool + Send + Sync + 'static) {
    install(Handing {
        hand_over,
        dropped: AtomicU64::new(0),
    });
}

/// Prints every event of this process, and what the returned [`Printer`] is given, on standard
/// error.
pub fn to_standard_error() -> Printer {
    let (sender, receiver) = sync_channel::<Job>(QUEUED_LINES_MAX);
    let printer = Printer {
        sender,
        journald: std::env::var_os("JOURNAL_STREAM").is_some(),
        most: wanted_level(),
    };
    let writer = std::thread::Builder::new()
        .name("log".into())
        .spawn(move || {
            let mut stderr = std::io::stderr();
            while let Ok(job) = receiver.recv() {
                match job {
                    // A log that cannot be written has nobody left to tell.
                    Job::Write(line) => drop(stderr.write_all(line.as_bytes())),
                    Job::Confirm(done) => drop(done.try_send(())),
                }
            }
        });
    let own = printer.clone();
    if writer.is_ok() {
        let dropped = AtomicU64::new(0);
        install(Handing {
            hand_over: move |line| own.print("evenkeel", &line),
            dropped,
        });
    }
    printer
}

/// Writes lines on standard error without waiting.
#[derive(Clone, Debug)]
pub struct Printer {
    sender: SyncSender<Job>,
    journald: bool,
    /// Lines that matter less are not printed, whatever a child thinks.
    most: LevelFilter,
}

/// What the writing thread is asked.
#[derive(Debug)]
enum Job {
    /// Write this line.
    Write(String),
    /// Say that everything before this has been written.
    Confirm(SyncSender<()>),
}

impl Printer {
    /// Prints a line of `process`; returns false, having lost it, when too many lines wait.
    pub fn print(&self, process: &str, line: &LogLine) -> bool {
        if tracing_level(line.level) > self.most {
            return true;
        }
        self.sender
            .try_send(Job::Write(self.format(process, line, SystemTime::now())))
            .is_ok()
    }

    /// Returns whether an operator asked for more than states and faults, and so for many lines.
    pub fn is_talkative(&self) -> bool {
        self.most > LevelFilter::INFO
    }

    /// Waits until what was printed before has been written, but not longer than a moment.
    pub fn flush(&self) {
        let (done, written) = sync_channel(1);
        if self.sender.try_send(Job::Confirm(done)).is_ok() {
            // Late is as good as never here: the program ends either way.
            let _ = written.recv_timeout(FLUSH_TIMEOUT);
        }
    }

    fn format(&self, process: &str, line: &LogLine, now: SystemTime) -> String {
        let mut text = String::new();
        if self.journald {
            text.push_str(journald_priority(line.level));
        } else {
            let _ = write!(text, "{} {:5} ", Rfc3339(now), line.level.name());
        }
        let _ = write!(text, "process={process}");
        for (name, value) in &line.fields {
            let name = name.name();
            let plain = !value.is_empty()
                && value
                    .chars()
                    .all(|c| c.is_ascii_graphic() && c != '"' && c != '\\');
            let _ = if plain {
                write!(text, " {name}={value}")
            } else {
                write!(text, " {name}={value:?}")
            };
        }
        let _ = write!(text, " {}", line.message.escape_debug());
        if line.dropped > 0 {
            let _ = write!(text, " (after {} lost lines)", line.dropped);
        }
        text.push('\n');
        text
    }
}

/// Makes `layer` the log of this process, at the level of `EVENKEEL_LOG`; a second call changes
/// nothing.
fn install(layer: impl Layer<tracing_subscriber::Registry> + Send + Sync) {
    let registry = tracing_subscriber::registry().with(layer.with_filter(wanted_level()));
    let _ = tracing::subscriber::set_global_default(registry);
}

/// Returns the level of `EVENKEEL_LOG`.
fn wanted_level() -> LevelFilter {
    std::env::var("EVENKEEL_LOG")
        .ok()
        .and_then(|level| level.parse::<LevelFilter>().ok())
        .unwrap_or(LevelFilter::INFO)
}

/// Turns events into lines.
struct Handing<F> {
    hand_over: F,
    dropped: AtomicU64,
}

impl<S: Subscriber, F: Fn(LogLine) -> bool + 'static> Layer<S> for Handing<F> {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut collected = Collected::default();
        event.record(&mut collected);
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        let line = LogLine {
            level: level_of(*event.metadata().level()),
            message: collected.message,
            fields: collected.fields,
            dropped,
        };
        if !(self.hand_over)(line) {
            self.dropped.fetch_add(dropped + 1, Ordering::Relaxed);
        }
    }
}

/// The fields of one event.
#[derive(Default)]
struct Collected {
    message: String,
    fields: Vec<(LogField, String)>,
}

impl Visit for Collected {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.message, "{value:?}");
        } else {
            self.fields
                .push((LogField::of(field.name()), format!("{value:?}")));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(value);
        } else {
            self.fields
                .push((LogField::of(field.name()), value.to_owned()));
        }
    }
}

/// A moment as RFC 3339 writes it, UTC, with milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Rfc3339(pub SystemTime);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
        let (year, month, day) = date_of_day(days);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
            second / 3_600,
            second / 60 % 60,
            second % 60,
            since.subsec_millis()
        )
    }
}

fn level_of(level: Level) -> LogLevel {
    match level {
        Level::ERROR => LogLevel::Error,
        Level::WARN => LogLevel::Warn,
        Level::INFO => LogLevel::Info,
        Level::DEBUG => LogLevel::Debug,
        Level::TRACE => LogLevel::Trace,
    }
}

fn tracing_level(level: LogLevel) -> Level {
    match level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    }
}

/// Returns the prefix by which journald knows the priority of a line (sd-daemon(3)).
const fn journald_priority(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "<3>",
        LogLevel::Warn => "<4>",
        LogLevel::Info => "<6>",
        LogLevel::Debug | LogLevel::Trace => "<7>",
    }
}

/// Lines that wait to be printed; more are lost and counted.
const QUEUED_LINES_MAX: usize = 4_096;
/// How long the end of the program waits for the log.
const FLUSH_TIMEOUT: std::time::Duration = std::time::Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn printer(journald: bool) -> Printer {
        let (sender, _receiver) = sync_channel(1);
        Printer {
            sender,
            journald,
            most: LevelFilter::INFO,
        }
    }

    fn line() -> LogLine {
        LogLine {
            level: LogLevel::Warn,
            message: "peer heard".into(),
            fields: vec![
                (LogField::of("vrid"), "51".into()),
                (LogField::of("cause"), "priority 0 from\nthe Active".into()),
            ],
            dropped: 2,
        }
    }

    #[test]
    fn line_has_time_level_fields_and_message_and_is_one_line() {
        let moment = UNIX_EPOCH + Duration::from_millis(1_795_514_096_789);
        assert_eq!(
            printer(false).format("evenkeel-vrrp", &line(), moment),
            "2026-11-24T09:54:56.789Z WARN  process=evenkeel-vrrp vrid=51 \
             cause=\"priority 0 from\\nthe Active\" peer heard (after 2 lost lines)\n"
        );
    }

    #[test]
    fn nothing_in_a_line_begins_another_or_hides_what_stands_beside_it() {
        let mut line = line();
        line.message = "one\n2026 ERROR process=evenkeel two\r\u{1b}[2K".into();
        line.fields = vec![(LogField::of("cause"), "a\u{202e}b\u{85}c\u{1b}[1m".into())];
        let text = printer(false).format("evenkeel-proxy", &line, UNIX_EPOCH);
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        let harmless = |c: char| c.is_ascii_graphic() || c == ' ' || c == '\n';
        assert!(text.chars().all(harmless), "{text:?}");
    }

    #[test]
    fn line_that_matters_less_than_was_asked_for_is_not_printed() {
        let (sender, receiver) = sync_channel(1);
        let printer = Printer {
            sender,
            journald: false,
            most: LevelFilter::INFO,
        };
        let mut line = line();
        line.level = LogLevel::Debug;
        assert!(printer.print("evenkeel-proxy", &line));
        assert!(
            receiver.try_recv().is_err(),
            "a child does not set the level"
        );
    }

    #[test]
    fn journald_gets_a_priority_and_no_time() {
        let text = printer(true).format("evenkeel", &line(), UNIX_EPOCH);
        assert!(text.starts_with("<4>process=evenkeel vrid=51"), "{text}");
    }

    #[test]
    fn dates_are_right_at_the_ends_of_months_and_in_leap_years() {
        for (seconds, date) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (951_868_800, "2000-03-01T00:00:00.000Z"),
            (1_798_761_599, "2026-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(
                Rfc3339(UNIX_EPOCH + Duration::from_secs(seconds)).to_string(),
                date
            );
        }
    }
}
