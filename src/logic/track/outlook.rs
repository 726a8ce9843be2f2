//! With which priorities a node can stand: what follows when one condition fails alone, and when
//! all do. Pure; for who writes a configuration.

use super::{Condition, Effect, Source};
use crate::model::{Priority, Rank};

/// What a node stands with, in one case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// The sources that fail, in their order; none: all is well.
    pub failing: Vec<Source>,
    /// `None`: it is out of the election.
    pub priority: Option<Priority>,
}

/// Returns what follows when all is well, when each source fails alone, and when all fail. Numbers
/// in files are taken for 0.
pub fn outlooks(rank: Rank, conditions: &[Condition]) -> Vec<Outlook> {
    let mut sources: Vec<&Source> = Vec::new();
    for Condition { source, effect } in conditions {
        let by_content = matches!(effect, Effect::RaiseByContent | Effect::LowerByContent);
        if !by_content && !sources.contains(&source) {
            sources.push(source);
        }
    }
    let alone = sources.iter().map(|source| vec![*source]);
    let mut cases: Vec<Vec<&Source>> = std::iter::once(Vec::new()).chain(alone).collect();
    if sources.len() > 1 {
        cases.push(sources);
    }
    let outlook = |failing: Vec<&Source>| Outlook {
        priority: priority(rank, conditions, &failing),
        failing: failing.into_iter().cloned().collect(),
    };
    cases.into_iter().map(outlook).collect()
}

fn priority(rank: Rank, conditions: &[Condition], failing: &[&Source]) -> Option<Priority> {
    let mut sum = 0;
    let mut ill = false;
    for Condition { source, effect } in conditions {
        match (effect, failing.contains(&source)) {
            (Effect::Fault, true) => return None,
            (Effect::Ill, true) => ill = true,
            (Effect::LowerBy(by), true) => sum -= i64::from(*by),
            (Effect::RaiseBy(by), false) => sum += i64::from(*by),
            (
                Effect::Fault
                | Effect::Ill
                | Effect::LowerBy(_)
                | Effect::RaiseBy(_)
                | Effect::RaiseByContent
                | Effect::LowerByContent,
                _,
            ) => {}
        }
    }
    let standing = rank.changed_by(sum);
    Some(rank.ill().filter(|_| ill).unwrap_or(standing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_alone_and_all_at_once() {
        let base = Priority::from_wire(150);
        let condition = |name: &str, effect| Condition {
            source: Source::Script(name.into()),
            effect,
        };
        let conditions = [
            condition("a", Effect::LowerBy(60)),
            condition("b", Effect::RaiseBy(10)),
            condition("c", Effect::Ill),
            condition("d", Effect::Fault),
            Condition {
                source: Source::File("/run/weight".into()),
                effect: Effect::RaiseByContent,
            },
        ];
        let priorities = |conditions: &[Condition]| -> Vec<Option<u8>> {
            let all = outlooks(Rank::alone(base), conditions);
            let all = all.iter().map(|it| it.priority.map(Priority::get));
            all.collect()
        };
        assert_eq!(
            priorities(&conditions),
            [Some(160), Some(100), Some(150), Some(1), None, None]
        );
        assert_eq!(
            priorities(&conditions[..3]),
            [Some(160), Some(100), Some(150), Some(1), Some(1)]
        );
        assert_eq!(priorities(&conditions[..1]), [Some(150), Some(90)]);
        assert_eq!(priorities(&[]), [Some(150)]);
    }
}
