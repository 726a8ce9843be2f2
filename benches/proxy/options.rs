//! The arguments of the bench.

use std::time::Duration;

use crate::peers::{Kind, before};
use crate::workload::Workload;

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Options {
    /// In this order.
    pub workloads: Vec<Workload>,
    /// Whether to soak, after the workloads.
    pub soak: bool,
    /// Rounds of each workload.
    pub rounds: usize,
    /// How long a measurement lasts; `None`: 2 s, and 600 s for the soak.
    pub span: Option<Duration>,
    /// Requests a second in the open loop, instead of the workload's own.
    pub rate: Option<f64>,
    /// Who takes part.
    pub kinds: Vec<Kind>,
}

/// Returns all that can take part.
pub(crate) fn everybody() -> Vec<Kind> {
    let here = |kind: &Kind| *kind != Kind::Before || before().is_some();
    Kind::ALL.into_iter().filter(here).collect()
}

/// Reads them, or says how they are used.
pub(crate) fn read(arguments: &[String]) -> Result<Options, String> {
    let mut options = Options {
        workloads: Vec::new(),
        soak: false,
        rounds: 8,
        span: None,
        rate: None,
        kinds: everybody(),
    };
    let mut rest = arguments.iter().filter(|argument| *argument != "--bench");
    while let Some(argument) = rest.next() {
        let mut value = || {
            rest.next()
                .ok_or_else(|| format!("{argument} needs a value\n{USAGE}"))
        };
        match argument.as_str() {
            "--rounds" => options.rounds = number(value()?, 1, 1_000)?,
            "--seconds" => {
                options.span = Some(Duration::from_secs(number(value()?, 1, 7_200)? as u64))
            }
            "--rate" => options.rate = Some(number(value()?, 100, 50_000)? as f64),
            "--proxies" => {
                options.kinds = value()?.split(',').map(kind).collect::<Result<_, _>>()?
            }
            "all" => options.workloads = Workload::ALL.to_vec(),
            "soak" => options.soak = true,
            name => match Workload::ALL
                .into_iter()
                .find(|workload| workload.name == name)
            {
                Some(workload) => options.workloads.push(workload),
                None => return Err(USAGE.to_owned()),
            },
        }
    }
    if options.workloads.is_empty() && !options.soak {
        options.workloads = Workload::ALL.to_vec();
    }
    Ok(options)
}

fn number(text: &str, least: usize, most: usize) -> Result<usize, String> {
    let parsed = text
        .parse()
        .ok()
        .filter(|number| (least..=most).contains(number));
    parsed.ok_or_else(|| format!("{text:?} is not a number from {least} to {most}"))
}

fn kind(name: &str) -> Result<Kind, String> {
    let found = Kind::ALL.into_iter().find(|kind| kind.name() == name);
    found.ok_or_else(|| format!("there is no proxy {name:?}\n{USAGE}"))
}

/// How the arguments are used.
const USAGE: &str = "usage: cargo bench --bench proxy -- [WORKLOAD...] [FLAGS]
  w1 two open hosts paths w2 w3 w4 w5 w6 w8 tls handshake resumption tls-idle
  tcp h2 h2-one h2-16k h2-h2 grpc h2-idle
                                  workloads (all of them where none is named)
  soak                            ten minutes of everything at once, each answer checked
  --rounds N                      interleaved rounds of each workload (8)
  --seconds N                     the length of a measurement (2), or of the soak (600)
  --rate N                        requests a second in the open loop (15000, 12000 in w8)
  --proxies LIST                  of direct,evenkeel,before,haproxy,nginx,perlbal (all); the soak takes those it names
EVENKEEL_BEFORE=PATH              the binary of before, measured in the same rounds
";
