//! What is lived through in a cell, and how long each turn takes as a client sees it.

use std::time::{Duration, Instant};

use super::cell::{Better, Cell, Higher, Peer, Plot, V4_MORE};
use super::client::who_answers;
use super::nodes::{Link, Rank, Side};

/// How long each turn took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    /// From the start of the second node until the right one answers for good.
    pub election: Option<Duration>,
    /// From a graceful stop of the Active until the other one answers.
    pub stop: Option<Duration>,
    /// From the start of the one that had stopped until it answers again, where it does.
    pub back: Option<Duration>,
    /// From the death of the Active until the other one answers.
    pub kill: Option<Duration>,
}

/// Lives through a cell; errs with what was not as it should be.
pub(super) fn live(cell: &Cell, better: Better) -> Result<Told, String> {
    let mut scene = Scene {
        cell,
        link: Link::new(cell),
        better: Side::better(better),
    };
    let outcome = match cell.plot {
        Plot::Usual | Plot::Owner | Plot::Delayed(_) => scene.usual(),
        Plot::Stays => scene.stays(),
        Plot::Equal(higher) => scene.equal(higher),
        Plot::Strangers => scene.strangers(),
        Plot::Growing => scene.growing(),
    };
    outcome.map_err(|what| {
        format!(
            "{} ({better:?} better): {what}\n{}",
            cell.name,
            scene.link.logs()
        )
    })
}

struct Scene<'a> {
    cell: &'a Cell,
    link: Link<'a>,
    better: Side,
}

impl Scene<'_> {
    fn usual(&mut self) -> Result<Told, String> {
        let (better, worse) = (self.better, self.better.other());
        self.start(worse);
        self.answers(worse, self.cell.down_max() + START)?;
        let election = self.start_better()?;
        self.settled(better)?;
        self.nothing_rejected()?;

        self.link.stop(better);
        let stop = self.answers(worse, self.cell.skew_max() + NOISE)?;
        self.link.wait_for_end(better);
        let back = self.start_better()?;
        self.settled(better)?;

        let kill = self.kill(better)?;
        self.start_better()?;
        self.settled(better)?;
        Ok(Told {
            election: Some(election),
            stop: Some(stop),
            back: Some(back),
            kill: Some(kill),
        })
    }

    /// The better one does not take back what it lost.
    fn stays(&mut self) -> Result<Told, String> {
        let (better, worse) = (self.better, self.better.other());
        self.start(better);
        self.answers(better, self.cell.down_max() + START)?;
        let began = Instant::now();
        self.start(worse);
        self.settled(better)?;
        let election = began.elapsed();

        self.link.stop(better);
        let stop = self.answers(worse, self.cell.skew_max() + NOISE)?;
        self.link.wait_for_end(better);
        self.start(better);
        self.listens(better)?;
        self.settled(worse)?;

        let kill = self.kill(worse)?;
        self.start(worse);
        self.listens(worse)?;
        self.settled(better)?;
        Ok(Told {
            election: Some(election),
            stop: Some(stop),
            back: None,
            kill: Some(kill),
        })
    }

    /// Whoever is Active stays so; when both are, the higher source address wins.
    fn equal(&mut self, higher: Higher) -> Result<Told, String> {
        let (first, second) = (self.better, self.better.other());
        let higher = match higher {
            Higher::Ours => Side::Ours,
            Higher::Theirs => Side::Theirs,
        };
        self.start(first);
        self.answers(first, self.cell.down_max() + START)?;
        self.start(second);
        self.listens(second)?;
        self.settled(first)?;

        // The first is cut off from the others, who get the second; then both are together again.
        let cut = first.name();
        self.link
            .lab
            .isolate(cut)
            .map_err(|error| error.to_string())?;
        self.answers(second, self.cell.down_max() + NOISE)?;
        self.link.lab.join(cut).map_err(|error| error.to_string())?;
        let election = self.answers(higher, self.cell.interval() * 2 + NOISE)?;
        self.settled(higher)?;

        self.link.stop(higher);
        let stop = self.answers(higher.other(), self.cell.skew_max() + NOISE)?;
        self.link.wait_for_end(higher);
        self.start(higher);
        self.listens(higher)?;
        self.settled(higher.other())?;

        let kill = self.kill(higher.other())?;
        self.start(higher.other());
        self.settled(higher)?;
        Ok(Told {
            election: Some(election),
            stop: Some(stop),
            back: None,
            kill: Some(kill),
        })
    }

    /// Both are Active, ours says whom it rejects, and nothing the other does moves it.
    fn strangers(&mut self) -> Result<Told, String> {
        self.start(Side::Ours);
        self.answers(Side::Ours, self.cell.down_max() + START)?;
        let began = Instant::now();
        self.start(Side::Theirs);
        let reason = |status: &evenkeel::ipc::control::Status| {
            let router = &status.virtual_routers[0];
            let note = "advertisements of 192.0.2.2 are being rejected: authentication_data";
            router.state == "Active"
                && router
                    .last_rejected
                    .as_ref()
                    .is_some_and(|last| last.reason == "authentication_data")
                && router.rejected.get("authentication_data") >= Some(&1)
                && router.notes.iter().any(|found| found == note)
        };
        let ours = self.link.ours();
        ours.wait_for("a rejection", Duration::from_secs(15), reason)
            .map_err(|error| error.to_string())?;
        Ok(Told {
            election: Some(began.elapsed()),
            ..Told::default()
        })
    }

    /// The better one lists an address more. Ours goes on obeying the other; keepalived 2.2.7 drops
    /// what ours says.
    fn growing(&mut self) -> Result<Told, String> {
        let (better, worse) = (self.better, self.better.other());
        self.link.start(worse, self.rank(worse));
        self.answers(worse, self.cell.down_max() + START)?;
        let began = Instant::now();
        let grown = Rank {
            grown: true,
            ..self.rank(better)
        };
        self.link.start(better, grown);
        self.until(better, V4_MORE, self.cell.down_max() + START)?;
        let election = began.elapsed();
        match worse {
            // Ours obeys: one answers on both addresses, and the status says what differs.
            Side::Ours => {
                self.settled(better)?;
                let noted = |status: &evenkeel::ipc::control::Status| {
                    let router = &status.virtual_routers[0];
                    router.state == "Backup"
                        && router
                            .notes
                            .iter()
                            .any(|note| note.contains("192.0.2.2 lists other addresses than ours"))
                };
                let ours = self.link.ours();
                ours.wait_for("a note", Duration::from_secs(5), noted)
                    .map_err(|error| error.to_string())?;
            }
            // keepalived does not: its own weakness, which ends when it has the address as well.
            Side::Theirs => {
                self.link.kill(worse);
                let same = Rank {
                    grown: true,
                    ..self.rank(worse)
                };
                self.link.start(worse, same);
                self.settled(better)?;
            }
        }
        Ok(Told {
            election: Some(election),
            ..Told::default()
        })
    }

    fn rank(&self, side: Side) -> Rank {
        let is_better = side == self.better;
        Rank::of(match self.cell.plot {
            Plot::Equal(_) => 100,
            Plot::Owner if is_better => 255,
            Plot::Usual
            | Plot::Owner
            | Plot::Stays
            | Plot::Delayed(_)
            | Plot::Strangers
            | Plot::Growing => {
                if is_better {
                    150
                } else {
                    100
                }
            }
        })
    }

    fn start(&mut self, side: Side) {
        let rank = self.rank(side);
        self.link.start(side, rank);
    }

    /// Kills a node and waits until the other one answers.
    fn kill(&mut self, side: Side) -> Result<Duration, String> {
        let began = Instant::now();
        self.link.kill(side);
        self.answers(side.other(), self.cell.down_max() + NOISE)?;
        Ok(began.elapsed())
    }

    /// Starts the better one and waits until it has the addresses.
    fn start_better(&mut self) -> Result<Duration, String> {
        let at_least = match self.cell.plot {
            Plot::Delayed(delay) => delay,
            Plot::Usual
            | Plot::Owner
            | Plot::Stays
            | Plot::Equal(_)
            | Plot::Strangers
            | Plot::Growing => Duration::ZERO,
        };
        self.let_announcements_settle()?;
        let began = Instant::now();
        self.start(self.better);
        self.answers(self.better, self.cell.down_max() + at_least + START)?;
        let took = began.elapsed();
        if took < at_least {
            return Err(format!(
                "it was back after {took:?}, not after {at_least:?}"
            ));
        }
        Ok(took)
    }

    /// FRR announces up to an interval before it advertises, and never again: what we announce in
    /// between, still Active and in the first seconds of it, every 250 ms, clients would believe
    /// until they notice by themselves.
    fn let_announcements_settle(&mut self) -> Result<(), String> {
        if (self.cell.peer, self.better) != (Peer::Frr, Side::Theirs) {
            return Ok(());
        }
        let settled = |status: &evenkeel::ipc::control::Status| {
            let mut routers = status.virtual_routers.iter();
            routers
                .all(|router| router.state == "Active" && router.since_ms > QUICK_ANNOUNCEMENTS_MS)
        };
        let ours = self.link.ours();
        ours.wait_for("a settled Active", Duration::from_secs(15), settled)
            .map_err(|error| error.to_string())
    }

    /// Waits until a node that shall stay Backup has heard the Active long enough to know better.
    fn listens(&mut self, side: Side) -> Result<(), String> {
        let until = Instant::now() + self.cell.down_max() + LISTENING;
        while Instant::now() < until {
            for address in self.cell.addresses.list() {
                let answered = who_answers(&self.link.client, address);
                if answered.as_deref() == Some(side.name()) {
                    return Err(format!("{} took {address}", side.name()));
                }
            }
        }
        Ok(())
    }

    /// Waits until one node answers on every address; returns how long that took.
    fn answers(&mut self, side: Side, within: Duration) -> Result<Duration, String> {
        let began = Instant::now();
        for address in self.cell.addresses.list() {
            self.until(side, address, within.saturating_sub(began.elapsed()))?;
        }
        Ok(began.elapsed())
    }

    fn until(&mut self, side: Side, address: &'static str, within: Duration) -> Result<(), String> {
        let began = Instant::now();
        loop {
            let answered = who_answers(&self.link.client, address);
            if answered.as_deref() == Some(side.name()) {
                return Ok(());
            }
            if began.elapsed() > within {
                let answered = answered.as_deref().unwrap_or("nobody");
                return Err(format!(
                    "{} does not answer on {address} within {within:?}, but {answered}",
                    side.name()
                ));
            }
        }
    }

    /// Waits until one node alone answers on every address for five intervals on end: for a moment
    /// after a partition or a preemption clients may be told one thing and then the other.
    fn settled(&mut self, side: Side) -> Result<(), String> {
        let deadline = Instant::now() + self.cell.interval() * 5 + SETTLING;
        let mut since = Instant::now();
        while since.elapsed() < self.cell.interval() * 5 {
            for address in self.cell.addresses.list() {
                let answered = who_answers(&self.link.client, address);
                if answered.as_deref() == Some(side.name()) {
                    continue;
                }
                since = Instant::now();
                if since > deadline {
                    return Err(format!(
                        "{answered:?} answers on {address}, not {}, after {SETTLING:?}",
                        side.name()
                    ));
                }
            }
        }
        Ok(())
    }

    /// Nothing that belongs to the group was rejected, and the lists agree.
    fn nothing_rejected(&mut self) -> Result<(), String> {
        let status = self.link.ours().status().ok_or("ours does not answer")?;
        for router in &status.virtual_routers {
            let rejected: u64 = router.rejected.values().sum();
            if rejected > 0 || router.counters["address_list_errors"] > 0 {
                return Err(format!("{rejected} rejected, or another list: {router:#?}"));
            }
        }
        Ok(())
    }
}

/// What several daemons on two busy cores add; theirs are no realtime processes.
const NOISE: Duration = Duration::from_millis(1000);
/// From the start of a program until it takes part, with all that it checks first.
const START: Duration = Duration::from_millis(4000);
/// A lease of 2 s and what an Active adds to it.
const QUICK_ANNOUNCEMENTS_MS: u64 = 2_750;
/// For whoever lost to let go.
const SETTLING: Duration = Duration::from_millis(2500);
/// Beyond a down interval: a daemon's start.
const LISTENING: Duration = Duration::from_millis(700);
