//! The answers of several threads to one question, told as one when the last has come.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is still to be answered, and what was said.
pub(in crate::process::proxy) struct Answers {
    inside: Mutex<Inside>,
    tell: Box<dyn Fn(Option<String>) + Send + Sync>,
}

struct Inside {
    missing: usize,
    refused: Option<String>,
}

impl Answers {
    /// Expects so many answers; then `tell` is called once, with the first refusal.
    pub(in crate::process::proxy) fn new(
        missing: usize,
        tell: impl Fn(Option<String>) + Send + Sync + 'static,
    ) -> Self {
        let refused = None;
        Self {
            inside: Mutex::new(Inside { missing, refused }),
            tell: Box::new(tell),
        }
    }

    /// Takes the answer of a thread: that it can, or why it cannot, for people.
    pub(in crate::process::proxy) fn give(&self, answer: Result<(), String>) {
        let mut inside = self.lock();
        let is_last = inside.missing == 1;
        inside.missing = inside.missing.saturating_sub(1);
        if let Err(why) = answer {
            inside.refused.get_or_insert(why);
        }
        let refused = inside.refused.clone();
        drop(inside);
        if is_last {
            (self.tell)(refused);
        }
    }

    /// Returns whether all have answered, and nobody has refused.
    pub(in crate::process::proxy) fn are_granted(&self) -> bool {
        let inside = self.lock();
        inside.missing == 0 && inside.refused.is_none()
    }

    /// A thread that panicked here left the count whole.
    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn the_last_answer_tells_once_what_the_first_refusal_was() {
        let told: Arc<Mutex<Vec<Option<String>>>> = Arc::default();
        let all = |answers: &[Result<(), &str>]| {
            let heard = Arc::clone(&told);
            let three = Answers::new(3, move |refused| {
                heard.lock().expect("no thread panics").push(refused);
            });
            for answer in answers {
                three.give(answer.map_err(str::to_owned));
            }
            let told = std::mem::take(&mut *told.lock().expect("no thread panics"));
            (told, three.are_granted())
        };
        assert_eq!(all(&[Ok(()), Ok(())]), (vec![], false));
        assert_eq!(all(&[Ok(()), Ok(()), Ok(())]), (vec![None], true));
        let refused = vec![Some("a".to_owned())];
        assert_eq!(all(&[Err("a"), Ok(()), Err("b")]), (refused.clone(), false));
        assert_eq!(all(&[Ok(()), Err("a"), Ok(()), Ok(())]), (refused, false));
    }
}
