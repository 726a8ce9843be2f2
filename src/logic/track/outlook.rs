//! With which priorities a node can stand: what follows when one condition fails alone, and when
//! all do. Pure; for who writes a configuration.

use super::{Condition, Effect, Source};
use crate::model::{Priority, Rank};

/// What a node stands with, in one case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// The sources that fail, in their order; none: all is well.
    pub failing: Vec<Source>,
    /// Whether something else answers in the place of the one that fails.
    pub is_substituted: bool,
    /// `None`: it is out of the election.
    pub priority: Option<Priority>,
}

/// Returns what follows when all is well, when each source fails alone, also while something else
/// answers in its place, and when all fail. Numbers in files are taken for 0.
pub fn outlooks(
    rank: Rank,
    conditions: &[Condition],
    has_substitute: impl Fn(&Source) -> bool,
) -> Vec<Outlook> {
    let mut sources: Vec<&Source> = Vec::new();
    for Condition { source, effect } in conditions {
        let by_content = matches!(effect, Effect::RaiseByContent | Effect::LowerByContent);
        if !by_content && !sources.contains(&source) {
            sources.push(source);
        }
    }
    let mut cases = vec![(Vec::new(), false)];
    for source in &sources {
        cases.push((vec![*source], false));
        if has_substitute(source) {
            cases.push((vec![*source], true));
        }
    }
    if sources.len() > 1 {
        cases.push((sources, false));
    }
    let outlook = |(failing, is_substituted): (Vec<&Source>, bool)| Outlook {
        priority: priority(rank, conditions, &failing, is_substituted),
        failing: failing.into_iter().cloned().collect(),
        is_substituted,
    };
    cases.into_iter().map(outlook).collect()
}

fn priority(
    rank: Rank,
    conditions: &[Condition],
    failing: &[&Source],
    is_substituted: bool,
) -> Option<Priority> {
    let mut sum = 0;
    let (mut ill, mut substituted) = (false, false);
    for Condition { source, effect } in conditions {
        match (effect, failing.contains(&source)) {
            (Effect::Fault, true) => return None,
            (Effect::Ill, true) if is_substituted => substituted = true,
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
    if substituted {
        return Some(rank.substituted());
    }
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
            let all = outlooks(Rank::alone(base), conditions, |_| false);
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

    #[test]
    fn what_answers_in_the_place_of_another_has_a_case_of_its_own() {
        let pool = |name: &str| Condition {
            source: Source::Pool(name.into()),
            effect: Effect::Ill,
        };
        let has_substitute = |source: &Source| *source == Source::Pool("a".into());
        let rank = Rank::alone(Priority::from_wire(150));
        let all = outlooks(rank, &[pool("a"), pool("b")], has_substitute);
        let shown: Vec<_> = all
            .iter()
            .map(|it| (it.failing.len(), it.is_substituted, it.priority))
            .collect();
        let priority = |number| Some(Priority::from_wire(number));
        assert_eq!(
            shown,
            [
                (0, false, priority(150)),
                (1, false, priority(1)),
                (1, true, Some(rank.substituted())),
                (1, false, priority(1)),
                (2, false, priority(1)),
            ]
        );
    }
}
