//! What must hold at every moment of a world.

use crate::clock::{Micros, at_most};
use crate::node::Node;
use crate::world::World;

/// Looks at a world after every event.
pub(crate) struct Watch {
    both_active_since: Vec<Vec<Option<Micros>>>,
    nobody_since: Option<Micros>,
    /// For how long nobody may answer; `None` while there are troubles.
    nobody_within: Option<Micros>,
}

impl Watch {
    pub(crate) fn new(world: &World, nobody_within: Option<Micros>) -> Self {
        let count = world.nodes.len();
        Self {
            both_active_since: vec![vec![None; count]; count],
            nobody_since: None,
            nobody_within,
        }
    }

    pub(crate) fn look(&mut self, world: &World) {
        // Where packets are lost, two that hear each other may still not have heard each other.
        if world.weather.loss_percent == 0 {
            self.look_at_pairs(world);
        }
        let Some(within) = self.nobody_within else {
            return;
        };
        if world.nodes.iter().any(Node::answers) {
            self.nobody_since = None;
            return;
        }
        let since = *self.nobody_since.get_or_insert(world.now);
        assert!(
            world.now - since <= within,
            "nobody answered since {since}\n{}",
            world.story()
        );
    }

    fn look_at_pairs(&mut self, world: &World) {
        for one in 0..world.nodes.len() {
            for other in 0..one {
                let both = world.nodes[one].is_active() && world.nodes[other].is_active();
                let since = &mut self.both_active_since[one][other];
                if !both || !world.hear_each_other(one, other) {
                    *since = None;
                    continue;
                }
                let since = *since.get_or_insert(world.now);
                assert!(
                    world.now - since <= pair_patience(world, one, other),
                    "{one} and {other} hear each other and are Active since {since}\n{}",
                    world.story()
                );
            }
        }
    }
}

/// One interval: the loser hears the winner's next advertisement, or speaks first and is answered,
/// in version 3 after a tenth of the winner's interval at the latest. So where the intervals differ
/// it is hardly more than the shorter. Beyond it come the delay of the segment, there and back, and
/// the latency of timers.
fn pair_patience(world: &World, one: usize, other: usize) -> Micros {
    let (a, b) = (world.nodes[one].interval(), world.nodes[other].interval());
    let interval = a.min(b + a / 10).max(b.min(a + b / 10));
    at_most(interval) + 2 * world.delay_max + 10
}
