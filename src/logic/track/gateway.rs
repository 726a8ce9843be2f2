//! Whether gateways are there: each is asked again and again, and is gone when it has answered none
//! of the last few questions. Pure.

/// What is known of some gateways, of which so many must answer.
#[derive(Clone, Debug)]
pub struct GatewayState {
    at_least: usize,
    fall: u32,
    gateways: Vec<Gateway>,
    said: Option<bool>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Gateway {
    /// Questions since the last answer.
    unanswered: u32,
    /// `None` while neither an answer nor its absence has shown.
    there: Option<bool>,
}

impl GatewayState {
    /// Begins with `count` gateways that have not been asked.
    pub fn new(count: usize, at_least: usize, fall: u32) -> Self {
        Self {
            at_least,
            fall,
            gateways: vec![Gateway::default(); count],
            said: None,
        }
    }

    /// All are asked: one that has left `fall` questions unanswered is gone.
    pub fn handle_question(&mut self) {
        for gateway in &mut self.gateways {
            if gateway.unanswered >= self.fall {
                gateway.there = Some(false);
            }
            gateway.unanswered = gateway.unanswered.saturating_add(1);
        }
    }

    /// One has answered.
    pub fn handle_answer(&mut self, number: usize) {
        if let Some(gateway) = self.gateways.get_mut(number) {
            gateway.unanswered = 0;
            gateway.there = Some(true);
        }
    }

    /// Returns whether enough are there, where that is not what was said before.
    pub fn poll_change(&mut self) -> Option<bool> {
        let there = |is: Option<bool>| self.gateways.iter().filter(|it| it.there == is).count();
        let (answering, unknown) = (there(Some(true)), there(None));
        let enough = if answering >= self.at_least {
            true
        } else if answering + unknown < self.at_least {
            false
        } else {
            return None;
        };
        (self.said.replace(enough) != Some(enough)).then_some(enough)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks three times; those that answer do so after each question.
    fn ask(state: &mut GatewayState, answering: &[usize]) -> Option<bool> {
        let mut said = None;
        for _ in 0..3 {
            state.handle_question();
            answering.iter().for_each(|it| state.handle_answer(*it));
            said = state.poll_change().or(said);
        }
        said
    }

    #[test]
    fn one_is_gone_after_so_many_questions_and_back_with_an_answer() {
        let mut state = GatewayState::new(1, 1, 3);
        for question in 0..3 {
            state.handle_question();
            assert_eq!(state.poll_change(), None, "question {question}");
        }
        state.handle_question();
        assert_eq!(state.poll_change(), Some(false));
        state.handle_answer(0);
        assert_eq!(state.poll_change(), Some(true));
        assert_eq!(state.poll_change(), None, "said once");
        for _ in 0..3 {
            state.handle_question();
            assert_eq!(state.poll_change(), None);
        }
        state.handle_question();
        assert_eq!(state.poll_change(), Some(false));
    }

    #[test]
    fn as_many_must_answer_as_are_asked_for() {
        let mut state = GatewayState::new(3, 2, 2);
        assert_eq!(ask(&mut state, &[0]), Some(false));
        assert_eq!(ask(&mut state, &[0, 2]), Some(true));
        assert_eq!(ask(&mut state, &[0, 1, 2]), None);
        assert_eq!(ask(&mut state, &[1]), Some(false));
    }
}
