//! The client: asks again and again, each time on a fresh connection, and records what it gets and
//! when.
//!
//! What a failover costs is measured here and nowhere else: a [`Mark`] before the fault, a
//! [`Report`] after it. The probe reads `node=` from the answers of [`super::backend`] and knows
//! nothing else of what stands behind its target.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::LabError;
use super::namespace::host::Host;

/// A client that asks until it is stopped or dropped.
#[derive(Debug)]
pub struct Probe {
    records: Arc<Records>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Probe {
    /// Asks `GET /` of the target from a host, once in each `interval`, and gives each request
    /// `limit` to succeed.
    ///
    /// # Errors
    /// When the host gives no thread, or the system no runtime.
    pub fn start(
        host: &Host,
        target: SocketAddr,
        interval: Duration,
        limit: Duration,
    ) -> Result<Self, LabError> {
        let records = Arc::new(Records::default());
        let (stop, stopped) = oneshot::channel();
        let (started, starting) = sync_channel(1);
        let kept = Arc::clone(&records);
        let thread = host.thread("probe", move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            match runtime {
                Ok(runtime) => {
                    let _ = started.send(Ok(()));
                    let plan = Plan {
                        target,
                        interval,
                        limit,
                    };
                    runtime.block_on(ask_until(stopped, plan, kept));
                }
                Err(error) => {
                    let _ = started.send(Err(error));
                }
            }
        })?;
        starting
            .recv_timeout(START_TIMEOUT)
            .map_err(|_| LabError::HostSilent(host.name().to_owned()))?
            .map_err(LabError::system("start the probe"))?;
        Ok(Self {
            records,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Returns this moment, to report what happened since.
    pub fn mark(&self) -> Mark {
        Mark(Instant::now())
    }

    /// Returns what happened since the mark: all requests that were sent after it and have ended.
    pub fn report(&self, since: Mark) -> Report {
        let now = Instant::now();
        let records = self.records.lock();
        summarize(records.iter(), since.0, now)
    }

    /// Waits until a request that was sent after this call is answered by way of this node.
    ///
    /// # Errors
    /// When there is none within the time; what was seen is in the error.
    pub fn wait_for_node(&self, node: IpAddr, within: Duration) -> Result<(), LabError> {
        let called_at = Instant::now();
        self.wait(within, &format!("an answer by {node}"), |record| {
            record.sent_at >= called_at && record.node() == Some(node)
        })
    }

    /// Waits until a request that was sent after this call succeeds.
    ///
    /// # Errors
    /// When none does within the time; what was seen is in the error.
    pub fn wait_for_success(&self, within: Duration) -> Result<(), LabError> {
        let called_at = Instant::now();
        self.wait(within, "a successful request", |record| {
            record.sent_at >= called_at && record.outcome.is_ok()
        })
    }

    /// Waits until a request that was sent after this call fails.
    ///
    /// # Errors
    /// When none does within the time; what was seen is in the error.
    pub fn wait_for_failure(&self, within: Duration) -> Result<(), LabError> {
        let called_at = Instant::now();
        self.wait(within, "a failed request", |record| {
            record.sent_at >= called_at && record.outcome.is_err()
        })
    }

    /// Stops asking; what is in flight is given up and not recorded. The records remain.
    pub fn stop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has ended too.
            let _ = thread.join();
        }
    }

    fn wait(
        &self,
        within: Duration,
        what: &str,
        hoped: impl Fn(&Record) -> bool,
    ) -> Result<(), LabError> {
        let begin = Instant::now();
        let mut records = self.records.lock();
        // Newest first, and only those that can be new: requests end within their limit, in any
        // order.
        while !records.iter().rev().take(RECENT).any(&hoped) {
            let left = within.saturating_sub(begin.elapsed());
            if left.is_zero() {
                let report = summarize(records.iter(), begin, Instant::now());
                return Err(LabError::Deadline {
                    what: what.to_owned(),
                    within,
                    seen: format!("; seen: {report}"),
                });
            }
            records = self
                .records
                .added
                .wait_timeout(records, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        Ok(())
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A moment; see [`Probe::mark`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(Instant);

/// What happened since a mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Requests that ended.
    pub requests: u64,
    /// Those that failed.
    pub failed: u64,
    /// The longest time without a success: from the mark, between two successes, or until now.
    pub longest_gap: Duration,
    /// The most requests that were answered at the same time: what a sudden end can hit at once.
    pub in_flight_max: u64,
    /// The node the last success came by, as the backend saw it.
    pub last_node: Option<IpAddr>,
    /// Failures by their kind.
    pub failures: BTreeMap<Failure, u64>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} requests, {} failed, longest gap {} ms",
            self.requests,
            self.failed,
            self.longest_gap.as_millis()
        )?;
        if let Some(node) = self.last_node {
            write!(f, ", last by {node}")?;
        }
        for (failure, count) in &self.failures {
            write!(f, ", {failure}: {count}")?;
        }
        Ok(())
    }
}

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Failure {
    /// No answer within the limit.
    Timeout,
    /// The connection was refused.
    Refused,
    /// The connection broke off.
    Reset,
    /// The network or the host cannot be reached.
    Unreachable,
    /// An answer other than 200.
    Status(u16),
    /// No whole HTTP answer.
    Malformed,
    /// Too many requests were in flight already, so this one was not sent.
    Unsent,
    /// Another error of the system.
    Other,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("timeout"),
            Self::Refused => f.write_str("refused"),
            Self::Reset => f.write_str("reset"),
            Self::Unreachable => f.write_str("unreachable"),
            Self::Status(code) => write!(f, "status {code}"),
            Self::Malformed => f.write_str("malformed"),
            Self::Unsent => f.write_str("unsent"),
            Self::Other => f.write_str("other"),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        KINDS
            .iter()
            .find(|(kind, _)| *kind == error.kind())
            .map_or(Self::Other, |(_, failure)| *failure)
    }
}

/// One request.
#[derive(Clone, Debug)]
struct Record {
    sent_at: Instant,
    done_at: Instant,
    outcome: Result<Option<IpAddr>, Failure>,
}

impl Record {
    fn node(&self) -> Option<IpAddr> {
        self.outcome.ok().flatten()
    }
}

/// The records in the order in which the requests ended.
#[derive(Debug, Default)]
struct Records {
    list: Mutex<VecDeque<Record>>,
    added: Condvar,
}

impl Records {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Record>> {
        // A list that a panicking reader held is whole: readers do not change it.
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, sent_at: Instant, outcome: Result<Option<IpAddr>, Failure>) {
        let mut list = self.lock();
        if list.len() == RECORDS_MAX {
            list.pop_front();
        }
        // Under the lock, so that the list is in this order.
        list.push_back(Record {
            sent_at,
            done_at: Instant::now(),
            outcome,
        });
        self.added.notify_all();
    }
}

fn summarize<'a>(
    records: impl DoubleEndedIterator<Item = &'a Record>,
    since: Instant,
    now: Instant,
) -> Report {
    let mut report = Report {
        requests: 0,
        failed: 0,
        longest_gap: Duration::ZERO,
        in_flight_max: 0,
        last_node: None,
        failures: BTreeMap::new(),
    };
    // Backwards, because the list is long and the mark is near its end.
    let mut later = now;
    let mut edges = Vec::new();
    let recent = records
        .rev()
        .skip_while(|record| record.done_at > now)
        .take_while(|record| record.done_at >= since)
        .filter(|record| record.sent_at >= since);
    for record in recent {
        report.requests += 1;
        match record.outcome {
            Ok(node) => {
                let gap = later.saturating_duration_since(record.done_at);
                report.longest_gap = report.longest_gap.max(gap);
                later = record.done_at;
                edges.extend([(record.sent_at, 1_i64), (record.done_at, -1)]);
                report.last_node = report.last_node.or(node);
            }
            Err(failure) => {
                report.failed += 1;
                *report.failures.entry(failure).or_default() += 1;
            }
        }
    }
    let gap = later.saturating_duration_since(since);
    report.longest_gap = report.longest_gap.max(gap);
    edges.sort_unstable();
    let mut in_flight = 0;
    for (_, change) in edges {
        in_flight += change;
        report.in_flight_max = report.in_flight_max.max(in_flight.unsigned_abs());
    }
    report
}

#[derive(Clone, Copy, Debug)]
struct Plan {
    target: SocketAddr,
    interval: Duration,
    limit: Duration,
}

async fn ask_until(mut stopped: oneshot::Receiver<()>, plan: Plan, records: Arc<Records>) {
    let mut ticks = tokio::time::interval(plan.interval.max(INTERVAL_MIN));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut requests = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            _ = &mut stopped => return,
            Some(_) = requests.join_next() => {}
            _ = ticks.tick() => {
                if requests.len() == REQUESTS_MAX {
                    records.add(Instant::now(), Err(Failure::Unsent));
                    continue;
                }
                let records = Arc::clone(&records);
                requests.spawn(async move {
                    let sent_at = Instant::now();
                    let outcome = match tokio::time::timeout(plan.limit, ask(plan.target)).await {
                        Ok(outcome) => outcome,
                        Err(_) => Err(Failure::Timeout),
                    };
                    records.add(sent_at, outcome);
                });
            }
        }
    }
}

/// Asks once.
async fn ask(target: SocketAddr) -> Result<Option<IpAddr>, Failure> {
    let mut stream = TcpStream::connect(target).await?;
    let request = format!("GET / HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::with_capacity(1024);
    stream
        .take(ANSWER_BYTES_MAX)
        .read_to_end(&mut answer)
        .await?;
    read_answer(&answer)
}

/// Reads the status and, of a whole body, the node.
fn read_answer(answer: &[u8]) -> Result<Option<IpAddr>, Failure> {
    let text = std::str::from_utf8(answer).map_err(|_| Failure::Malformed)?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or(Failure::Malformed)?;
    let mut lines = head.split("\r\n");
    let status: u16 = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1."))
        .and_then(|line| line.split(' ').nth(1))
        .and_then(|code| code.parse().ok())
        .ok_or(Failure::Malformed)?;
    let body_bytes: Option<usize> = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok());
    if body_bytes.is_some_and(|whole| whole != body.len()) {
        return Err(Failure::Malformed);
    }
    if status != 200 {
        return Err(Failure::Status(status));
    }
    Ok(body
        .split_ascii_whitespace()
        .find_map(|word| word.strip_prefix("node="))
        .and_then(|node| node.parse().ok()))
}

/// What the kinds of system errors mean to a client.
const KINDS: [(io::ErrorKind, Failure); 7] = [
    (io::ErrorKind::ConnectionRefused, Failure::Refused),
    (io::ErrorKind::ConnectionReset, Failure::Reset),
    (io::ErrorKind::ConnectionAborted, Failure::Reset),
    (io::ErrorKind::BrokenPipe, Failure::Reset),
    (io::ErrorKind::HostUnreachable, Failure::Unreachable),
    (io::ErrorKind::NetworkUnreachable, Failure::Unreachable),
    (io::ErrorKind::TimedOut, Failure::Timeout),
];
/// At 5 ms a request, 16 minutes; beyond it the oldest records go.
const RECORDS_MAX: usize = 200_000;
/// Requests in flight; beyond it a tick counts as failed, unsent.
const REQUESTS_MAX: usize = 1024;
/// So many records back a wait looks: more than can end between two of its looks.
const RECENT: usize = 2 * REQUESTS_MAX;
const ANSWER_BYTES_MAX: u64 = 64 * 1024;
const INTERVAL_MIN: Duration = Duration::from_micros(100);
const START_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]
mod tests {
    use super::*;

    const NODE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 77, 0, 2));

    fn report(outcomes: &[(u64, Result<Option<IpAddr>, Failure>)], until_ms: u64) -> Report {
        let since = Instant::now();
        let records: Vec<Record> = outcomes
            .iter()
            .map(|(at_ms, outcome)| Record {
                sent_at: since,
                done_at: since + Duration::from_millis(*at_ms),
                outcome: *outcome,
            })
            .collect();
        let now = since + Duration::from_millis(until_ms);
        summarize(records.iter(), since, now)
    }

    #[test]
    fn gap_counts_from_the_mark_between_successes_and_until_now() {
        let first = report(&[(70, Ok(None)), (100, Ok(None))], 110);
        let between = report(
            &[(10, Ok(None)), (50, Err(Failure::Timeout)), (90, Ok(None))],
            100,
        );
        let last = report(&[(10, Ok(None)), (20, Ok(None))], 110);
        let gaps = [first, between, last].map(|report| report.longest_gap.as_millis());
        assert_eq!(gaps, [70, 80, 90]);
    }

    #[test]
    fn report_knows_how_many_were_answered_at_once() {
        let since = Instant::now();
        let at = |ms| since + Duration::from_millis(ms);
        let spans = [(0, 10), (10, 30), (20, 40), (25, 26)];
        let records: Vec<Record> = spans
            .map(|(sent, done)| Record {
                sent_at: at(sent),
                done_at: at(done),
                outcome: Ok(None),
            })
            .to_vec();
        assert_eq!(summarize(records.iter(), since, at(50)).in_flight_max, 3);
    }

    #[test]
    fn report_counts_failures_by_kind_and_names_the_last_node() {
        let report = report(
            &[
                (1, Err(Failure::Refused)),
                (2, Ok(Some(NODE))),
                (3, Err(Failure::Refused)),
                (4, Err(Failure::Status(503))),
            ],
            5,
        );
        assert_eq!((report.requests, report.failed), (4, 3));
        assert_eq!(report.last_node, Some(NODE));
        assert_eq!(report.failures[&Failure::Refused], 2);
    }

    #[test]
    fn answer_names_the_node() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 29\r\n\r\nbackend=web1 node=10.77.0.2 x";
        assert_eq!(read_answer(answer).unwrap(), Some(NODE));
    }

    #[test]
    fn answer_that_breaks_off_is_a_failure() {
        for answer in [
            &b""[..],
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
        ] {
            assert_eq!(read_answer(answer), Err(Failure::Malformed));
        }
    }

    #[test]
    fn answer_with_an_error_status_is_a_failure() {
        let answer = b"HTTP/1.1 503 Service Unavailable\r\n\r\n";
        assert_eq!(read_answer(answer), Err(Failure::Status(503)));
    }
}
