//! Plays one case one way: one thread does what the client and the backend do, and compares.
//!
//! A run is over when everything hoped for has come and a probe has shown that nothing else has:
//! where the client's connection must be open, another request goes over it; where the connection
//! to the backend must be kept, that request comes over the same.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout};

use super::case::{Case, ClientAfter, OK, Step, Subject, Then, UpstreamAfter, When};
use super::hope::{
    Reaches, Verdict, find, judge_backend, judge_client, shown, without_date, without_forwarding,
};
use super::parties::{End, Found, Out, Peer, Visit, Waits};
use super::unread::Monitor;
use super::ways::Way;
use crate::rig::{Rig, setup};

/// A proxy, and the backend behind it.
pub(crate) struct Bench {
    rig: Rig,
    backend: TcpListener,
    monitor: Monitor,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let backend = TcpListener::bind("127.0.0.1:0").expect("a free port");
        backend.set_nonblocking(true).expect("it need not block");
        let address = backend.local_addr().expect("it is bound");
        Self {
            // A head of 64 KiB that comes byte by byte takes seconds on a busy machine.
            rig: setup(&[address])
                .client_timeouts(
                    RUN_PATIENCE.as_millis() as u64,
                    RUN_PATIENCE.as_millis() as u64,
                )
                .pool(|pool| pool.timeouts.response_head = RUN_PATIENCE)
                .start(),
            backend,
            monitor: Monitor::open(),
        }
    }

    /// Plays a case; an error says what was not as hoped.
    pub(crate) fn play(&self, case: &Case, way: Way) -> Result<(), String> {
        let mut result = Ok(());
        for hope in case.hopes(way) {
            result = self.play_one(&hope, way);
            if result.is_ok() {
                break;
            }
        }
        result
    }

    fn play_one(&self, case: &Case, way: Way) -> Result<(), String> {
        let mut run = Run {
            bench: self,
            case: &localized(case, self.rig.address),
            way,
            client: Peer::new(connect(self.rig.address)),
            visits: Vec::new(),
            seen: Vec::new(),
            visited: None,
            answers_given: 0,
            deadline_at: Instant::now() + RUN_PATIENCE,
        };
        let result = run.play();
        run.end();
        result
    }
}

/// Fills in what the tables cannot know: the address that the client connected to.
fn localized(case: &Case, address: SocketAddr) -> Case {
    let mut case = case.clone();
    if let Reaches::Exactly(bytes) = &mut case.reaches {
        let mark = b"{proxy}";
        if let Some(at) = find(bytes, mark) {
            bytes.splice(at..at + mark.len(), address.to_string().into_bytes());
        }
    }
    case
}

struct Run<'a> {
    bench: &'a Bench,
    case: &'a Case,
    way: Way,
    client: Peer,
    visits: Vec<Visit>,
    /// What the backend has got, on all connections, in the order of its coming.
    seen: Vec<u8>,
    /// The visit that got something last.
    visited: Option<usize>,
    answers_given: usize,
    deadline_at: Instant,
}

impl Run<'_> {
    fn play(&mut self) -> Result<(), String> {
        let outs = self.client_outs();
        self.client.queue(outs);
        self.until(|run| run.is_as_hoped())?;
        self.accept();
        self.check_fields()?;
        if self.case.upstream_after == UpstreamAfter::Never && !self.visits.is_empty() {
            return Err(self.told("a connection to the backend was opened"));
        }
        match (self.case.client_after, self.case.upstream_after) {
            (ClientAfter::Open, _) => self.probe(),
            (_, UpstreamAfter::Kept) => {
                self.client.reset();
                self.client = Peer::new(connect(self.bench.rig.address));
                self.probe()
            }
            (_, UpstreamAfter::Closed | UpstreamAfter::Never) => Ok(()),
        }
    }

    fn client_outs(&self) -> Vec<Out> {
        let sends = self.case.client.iter().map(|step| match step {
            Step::Send(bytes) => bytes.len(),
            Step::Await(_) | Step::AwaitBackend(_) | Step::Shut | Step::Leave => 0,
        });
        let mut from = 0;
        let mut outs = Vec::new();
        for (step, len) in self.case.client.iter().zip(sends) {
            match step {
                Step::Send(bytes) if self.case.subject == Subject::Client => {
                    outs.extend(self.way.pieces(bytes, from));
                }
                Step::Send(bytes) => outs.push(Out::Send(bytes.clone())),
                Step::Await(text) => outs.push(Out::AwaitOwn(text)),
                Step::AwaitBackend(text) => outs.push(Out::AwaitOther(text)),
                Step::Shut => outs.push(Out::Shut),
                Step::Leave => outs.push(Out::Reset),
            }
            from += len;
        }
        outs
    }

    /// Goes on until `met` says yes.
    fn until(&mut self, met: impl Fn(&Run) -> Result<bool, String>) -> Result<(), String> {
        loop {
            let waits = self.client.pump(&self.bench.monitor, &self.seen);
            let mut any = self.client.read();
            any |= self.accept();
            let mut reader = waits == Waits::Reader;
            for index in 0..self.visits.len() {
                any |= self.serve(index);
                let visit = &mut self.visits[index];
                let waits = visit.peer.pump(&self.bench.monitor, &self.client.got);
                reader |= waits == Waits::Reader;
            }
            match met(self) {
                Ok(true) => return Ok(()),
                Ok(false) if Instant::now() < self.deadline_at => {}
                Ok(false) => return Err(self.told("it did not come to its end")),
                Err(why) => return Err(self.told(&why)),
            }
            match (any, reader) {
                (true, _) => {}
                (false, true) => std::thread::yield_now(),
                (false, false) => self.wait(),
            }
        }
    }

    fn accept(&mut self) -> bool {
        match self.bench.backend.accept() {
            Ok((stream, _)) => {
                self.visits.push(Visit::new(stream));
                true
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(error) => panic!("the backend cannot accept: {error}"),
        }
    }

    /// Reads what has come to the backend and answers what is due; says whether anything has come.
    fn serve(&mut self, index: usize) -> bool {
        let before = self.visits[index].peer.got.len();
        let any = self.visits[index].peer.read();
        let new = &self.visits[index].peer.got[before..];
        if !new.is_empty() {
            self.seen.extend_from_slice(new);
            self.visited = Some(index);
        }
        while let Some(found) = self.visits[index].find() {
            let due = self.case.answers.get(self.answers_given).map(|it| it.when);
            match (found, due) {
                (Found::Probe, _) => self.give(index, PROBE_OK),
                (Found::Head, Some(When::Head)) => self.give_next(index),
                (Found::Request, Some(When::Request)) => self.give_next(index),
                (Found::Request, None) if !self.was_answered_early() => self.give(index, OK),
                (Found::Tunnelled(len), Some(When::Tunnelled(hoped))) if len >= hoped => {
                    self.give_next(index);
                }
                (Found::Tunnelled(_), _) => break,
                (Found::Head | Found::Request, _) => {}
            }
        }
        any
    }

    fn was_answered_early(&self) -> bool {
        let last = self.case.answers.last();
        last.is_some_and(|last| last.when == When::Head)
    }

    /// Gives an answer that is no part of the case.
    fn give(&mut self, index: usize, answer: &str) {
        self.visits[index].peer.queue([Out::Send(answer.into())]);
    }

    fn give_next(&mut self, index: usize) {
        let (given, rest) = self.case.answers.split_at(self.answers_given);
        self.answers_given += 1;
        let from = given.iter().map(|answer| answer.bytes.len()).sum();
        let answer = &rest[0];
        let way = match self.case.subject {
            Subject::Client => Way::Whole,
            Subject::Backend => self.way,
        };
        let visit = &mut self.visits[index];
        visit.peer.queue(way.pieces(&answer.bytes, from));
        if answer.bytes.starts_with(b"HTTP/1.1 101 ") {
            visit.begin_tunnel();
        }
        match answer.then {
            Then::Stay => {}
            Then::Close => visit.peer.queue([Out::Shut]),
            Then::Reset => visit.peer.queue([Out::Reset]),
        }
    }

    /// Sleeps until a socket has news.
    fn wait(&self) {
        let mut fds = Vec::with_capacity(2 + self.visits.len());
        fds.push(PollFd::new(self.bench.backend.as_fd(), PollFlags::POLLIN));
        let peers = self.visits.iter().map(|visit| &visit.peer);
        for peer in peers.chain([&self.client]) {
            if let (Some(stream), None) = (peer.stream(), peer.end) {
                let mut flags = PollFlags::POLLIN;
                if peer.wants_room() {
                    flags |= PollFlags::POLLOUT;
                }
                let fd: BorrowedFd<'_> = stream.as_fd();
                fds.push(PollFd::new(fd, flags));
            }
        }
        // Interrupted or not, the loop looks for itself.
        let _ = nix::poll::poll(&mut fds, PollTimeout::from(50u8));
    }

    /// Returns whether all that was hoped for has come.
    fn is_as_hoped(&self) -> Result<bool, String> {
        let mut met = self.client.is_done();
        met &= self.visits.iter().all(|visit| visit.peer.is_done());
        let ended = self.client.end.is_some();
        for verdict in [
            judge_backend(&self.case.reaches, &without_forwarding(&self.seen)),
            judge_client(&self.case.sees, &without_date(&self.client.got), ended),
        ] {
            match verdict {
                Verdict::Met => {}
                Verdict::Partly => met = false,
                Verdict::Failed(why) => return Err(why),
            }
        }
        met &= match (self.case.client_after, self.client.end) {
            (ClientAfter::Open, None) | (ClientAfter::Gone, _) => true,
            (ClientAfter::Open, Some(_)) => return Err("the client's connection ended".into()),
            (ClientAfter::Closed, Some(End::InOrder)) => true,
            (ClientAfter::Closed, Some(End::Reset)) => return Err("the client was reset".into()),
            (ClientAfter::Reset, Some(End::Reset)) => true,
            (ClientAfter::Reset, Some(End::InOrder)) => {
                return Err("the client cannot see that it is not the end".into());
            }
            (ClientAfter::Cut, Some(_)) => true,
            (ClientAfter::Closed | ClientAfter::Reset | ClientAfter::Cut, None) => false,
        };
        met &= match self.case.upstream_after {
            UpstreamAfter::Closed => self
                .visits
                .iter()
                .all(|visit| visit.peer.end.is_some() || visit.peer.stream().is_none()),
            UpstreamAfter::Kept | UpstreamAfter::Never => true,
        };
        Ok(met)
    }

    fn check_fields(&self) -> Result<(), String> {
        for text in &self.case.has {
            if find(&self.seen, text.as_bytes()).is_none() {
                return Err(self.told(&format!("the backend did not get {text:?}")));
            }
        }
        for text in &self.case.lacks {
            if find(&self.seen, text.as_bytes()).is_some() {
                return Err(self.told(&format!("the backend got {text:?}")));
            }
        }
        Ok(())
    }

    /// Sends one request more: nothing else may have come by then on either side.
    fn probe(&mut self) -> Result<(), String> {
        let visited = self.visited;
        let (seen, got) = (self.seen.len(), self.client.got.len());
        self.client.queue([Out::Send(PROBE.into())]);
        self.until(|run| {
            let seen = without_forwarding(&run.seen[seen..]);
            let got = without_date(&run.client.got[got..]);
            if !PROBE.as_bytes().starts_with(&seen) || !PROBE_OK.as_bytes().starts_with(&got) {
                return Err("something more has come, seen by a probe".into());
            }
            if run.client.end.is_some() {
                return Err("the client's connection ended, seen by a probe".into());
            }
            Ok(seen == PROBE.as_bytes() && got == PROBE_OK.as_bytes())
        })?;
        match self.case.upstream_after {
            UpstreamAfter::Kept if self.visited != visited => {
                Err(self.told("the backend's connection was not kept"))
            }
            UpstreamAfter::Closed if self.visited == visited => {
                Err(self.told("the backend's connection was used again"))
            }
            UpstreamAfter::Kept | UpstreamAfter::Closed | UpstreamAfter::Never => Ok(()),
        }
    }

    fn told(&self, why: &str) -> String {
        let ended = |peer: &Peer| peer.end.map_or("open".into(), |end| format!("{end:?}"));
        let visits: Vec<String> = self.visits.iter().map(|visit| ended(&visit.peer)).collect();
        format!(
            "{why}\n  hoped at the backend: {}\n  got at the backend: {} {visits:?}\n  \
             got at the client: {} [{}]",
            self.case.reaches.shown(),
            shown(&self.seen),
            shown(&self.client.got),
            ended(&self.client),
        )
    }

    fn end(&mut self) {
        self.client.reset();
        self.accept();
        for visit in &mut self.visits {
            visit.peer.reset();
        }
    }
}

fn connect(to: SocketAddr) -> TcpStream {
    TcpStream::connect(to).expect("the proxy accepts")
}

const PROBE: &str = "GET /probe HTTP/1.1\r\nHost: probe\r\n\r\n";
const PROBE_OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nprobe";
/// How long a run may take; all but a few end in less than a millisecond.
const RUN_PATIENCE: Duration = Duration::from_secs(60);
