//! What waits by way, each in order. Tenants take turns, whatever number of ways the lines of each go; and so do the ways of one. Pure.

use std::collections::{HashMap, VecDeque};

use relay_schemas::TenantId;

use super::gate::Way;

/// Invariant: exactly the ways of which something waits are in `ways`, under their tenants, and exactly those tenants in `order`.
#[derive(Debug)]
pub struct Waiting<T> {
    lines: HashMap<Way, VecDeque<Nth<T>>>,
    ways: HashMap<TenantId, VecDeque<Way>>,
    order: VecDeque<TenantId>,
    count: usize,
    /// How many came so far.
    came: u64,
}

/// Which one it was of all that came.
#[derive(Debug)]
struct Nth<T> {
    nth: u64,
    line: T,
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self {
            lines: HashMap::new(),
            ways: HashMap::new(),
            order: VecDeque::new(),
            count: 0,
            came: 0,
        }
    }
}

impl<T> Waiting<T> {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether some of this way do.
    pub fn has(&self, way: &Way) -> bool {
        self.lines.contains_key(way)
    }

    /// One more waits, behind all others of its way.
    pub fn push(&mut self, way: &Way, line: T) {
        let nth = self.came;
        self.came += 1;
        self.put(way, Nth { nth, line });
    }

    fn put(&mut self, way: &Way, line: Nth<T>) {
        self.count += 1;
        if let Some(lines) = self.lines.get_mut(way) {
            lines.push_back(line);
            return;
        }
        self.lines.insert(way.clone(), VecDeque::from([line]));
        if let Some(ways) = self.ways.get_mut(&way.tenant) {
            ways.push_back(way.clone());
        } else {
            self.ways
                .insert(way.tenant.clone(), VecDeque::from([way.clone()]));
            self.order.push_back(way.tenant.clone());
        }
    }

    /// At most `most` of those that may go, and of each tenant in turn at most `at_once`, going on behind the tenant that was last.
    pub fn take<R>(
        &mut self,
        most: usize,
        at_once: usize,
        mut may_go: impl FnMut(&Way, &T) -> Option<R>,
    ) -> Vec<(T, R)> {
        let (mut taken, mut refused) = (Vec::new(), 0);
        while taken.len() < most && refused < self.order.len() {
            let Some(tenant) = self.order.pop_front() else {
                break;
            };
            let Some(mut ways) = self.ways.remove(&tenant) else {
                continue;
            };
            let before = taken.len();
            for _ in 0..ways.len() {
                let Some(way) = ways.pop_front() else { break };
                let Some(lines) = self.lines.get_mut(&way) else {
                    continue;
                };
                while taken.len() < most.min(before + at_once)
                    && let Some(answer) = lines.front().and_then(|first| may_go(&way, &first.line))
                    && let Some(Nth { line, .. }) = lines.pop_front()
                {
                    taken.push((line, answer));
                }
                if lines.is_empty() {
                    self.lines.remove(&way);
                } else {
                    ways.push_back(way);
                }
                if taken.len() >= most.min(before + at_once) {
                    break;
                }
            }
            let went = taken.len() - before;
            self.count -= went;
            refused = if went > 0 { 0 } else { refused + 1 };
            if !ways.is_empty() {
                self.ways.insert(tenant.clone(), ways);
                self.order.push_back(tenant);
            }
        }
        taken
    }

    /// Each goes where it belongs by now, by the order in which they came.
    pub fn sort_anew(&mut self, way_of: impl Fn(&Way, &T) -> Way) {
        let ways = std::mem::take(&mut self.lines);
        self.ways.clear();
        self.order.clear();
        self.count = 0;
        let of_way = |(way, lines): (Way, VecDeque<Nth<T>>)| {
            let belongs = |line: Nth<T>| (way_of(&way, &line.line), line);
            lines.into_iter().map(belongs).collect::<Vec<_>>()
        };
        let mut all: Vec<(Way, Nth<T>)> = ways.into_iter().flat_map(of_way).collect();
        all.sort_unstable_by_key(|(_, line)| line.nth);
        for (way, line) in all {
            self.put(&way, line);
        }
    }

    /// Forgets what is not kept.
    pub fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        self.lines.retain(|_, lines| {
            lines.retain(|line| keep(&line.line));
            !lines.is_empty()
        });
        let lines = &self.lines;
        self.ways.retain(|_, ways| {
            ways.retain(|way| lines.contains_key(way));
            !ways.is_empty()
        });
        let ways = &self.ways;
        self.order.retain(|tenant| ways.contains_key(tenant));
        self.count = lines.values().map(VecDeque::len).sum();
    }
}

#[cfg(test)]
mod tests {
    use relay_schemas::TenantId;

    use super::*;

    fn way(tenant: &str) -> Way {
        Way {
            tenant: TenantId::new(tenant),
            pools: Vec::new(),
        }
    }

    fn waiting(lines: &[(&str, u32)]) -> Waiting<u32> {
        let mut waiting = Waiting::default();
        for (tenant, line) in lines {
            waiting.push(&way(tenant), *line);
        }
        waiting
    }

    fn take(
        waiting: &mut Waiting<u32>,
        most: usize,
        at_once: usize,
        may_go: impl Fn(&Way, u32) -> bool,
    ) -> Vec<u32> {
        let taken = waiting.take(most, at_once, |way, line| may_go(way, *line).then_some(()));
        taken.into_iter().map(|(line, ())| line).collect()
    }

    #[test]
    fn tenants_take_turns_however_many_lines_came_first() {
        let lines = [
            ("hog", 1),
            ("hog", 2),
            ("hog", 3),
            ("hog", 4),
            ("light", 5),
            ("other", 6),
        ];
        let mut by_ones = waiting(&lines);
        assert_eq!(take(&mut by_ones, 4, 1, |_, _| true), [1, 5, 6, 2]);
        by_ones.push(&way("light"), 7);
        assert_eq!(take(&mut by_ones, 9, 1, |_, _| true), [3, 7, 4]);
        assert_eq!((by_ones.len(), by_ones.has(&way("hog"))), (0, false));
        let mut by_threes = waiting(&lines);
        assert_eq!(take(&mut by_threes, 5, 3, |_, _| true), [1, 2, 3, 5, 6]);
    }

    #[test]
    fn a_tenant_whose_lines_go_many_ways_has_one_turn_all_the_same_and_its_ways_share_it() {
        let to = |tenant: &str, pool: &str| Way {
            pools: vec![pool.to_owned()],
            ..way(tenant)
        };
        let mut waiting = Waiting::default();
        for (pool, line) in [("a", 1), ("a", 2), ("b", 3), ("b", 4), ("c", 5), ("c", 6)] {
            waiting.push(&to("hog", pool), line);
        }
        for line in [7, 8, 9] {
            waiting.push(&to("light", "a"), line);
        }
        assert_eq!(take(&mut waiting, 6, 1, |_, _| true), [1, 7, 3, 8, 5, 9]);
        assert_eq!(take(&mut waiting, 9, 2, |way, _| way.pools != ["a"]), [4, 6]);
        assert_eq!(waiting.len(), 1);
        waiting.retain(|line| *line != 2);
        assert_eq!((waiting.len(), waiting.order.len()), (0, 0));
    }

    #[test]
    fn one_that_finds_no_room_holds_nobody_up_and_keeps_its_order() {
        for at_once in [1, 2] {
            let mut waiting = waiting(&[("hog", 1), ("light", 2), ("hog", 3), ("light", 4)]);
            let light = take(&mut waiting, 9, at_once, |way, _| way.tenant.as_str() == "light");
            assert_eq!(light, [2, 4]);
            let third = take(&mut waiting, 9, at_once, |_, line| line == 3);
            assert_eq!((waiting.len(), third), (2, Vec::new()));
            assert_eq!(take(&mut waiting, 9, at_once, |_, _| true), [1, 3]);
        }
    }

    #[test]
    fn what_belongs_elsewhere_by_now_goes_there_in_the_order_in_which_it_came() {
        let mut waiting = waiting(&[("a", 1), ("b", 2), ("a", 3), ("b", 4)]);
        assert_eq!(take(&mut waiting, 1, 1, |_, _| true), [1]);
        waiting.sort_anew(|_, _| way("c"));
        waiting.push(&way("c"), 5);
        assert_eq!((waiting.len(), waiting.has(&way("b"))), (4, false));
        assert_eq!(take(&mut waiting, 9, 1, |_, _| true), [2, 3, 4, 5]);
    }

    #[test]
    fn what_is_no_longer_owned_is_forgotten() {
        let mut waiting = waiting(&[("a", 1), ("b", 2), ("a", 3)]);
        waiting.retain(|line| *line > 2);
        assert_eq!((waiting.len(), waiting.has(&way("b"))), (1, false));
        assert_eq!(take(&mut waiting, 9, 1, |_, _| true), [3]);
    }
}
