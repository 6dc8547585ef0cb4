//! Cuts a failing history down.

use super::step::{History, Step};
use crate::simulated::shortest::shortest;

/// The shortest history found that still fails.
pub fn shrink(failing: &History, fails: impl Fn(&History) -> bool) -> History {
    let with = |steps: &[(u32, Step)]| History {
        setting: failing.setting,
        steps: steps.to_vec(),
    };
    let steps = shortest(&failing.steps, |steps| fails(&with(steps)));
    thin(with(&steps), fails)
}

/// Leaves out batches and what they hold.
fn thin(mut best: History, fails: impl Fn(&History) -> bool) -> History {
    for at in 0..best.steps.len() {
        let mut place = 0;
        loop {
            let mut thinner = best.clone();
            let Step::Append(batches) = &mut thinner.steps[at].1 else {
                break;
            };
            let mut left = place;
            let Some(batch) = batches.iter_mut().find(|batch| {
                let here = left < batch.len();
                if !here {
                    left -= batch.len();
                }
                here
            }) else {
                break;
            };
            batch.remove(left);
            batches.retain(|batch| !batch.is_empty());
            if !batches.is_empty() && fails(&thinner) {
                best = thinner;
            } else {
                place += 1;
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulated::histories::step::Item;

    #[test]
    fn only_what_is_needed_to_fail_is_left() {
        let mut failing = History::of(3);
        let put = Item::Put {
            slot: 0,
            size: 77_777,
        };
        failing.steps.push((
            1,
            Step::Append(vec![vec![Item::Note(1), put], vec![Item::Note(2)]]),
        ));
        let shortest = shrink(&failing, |history| format!("{history:?}").contains("77777"));
        assert_eq!(shortest.steps, [(1, Step::Append(vec![vec![put]]))]);
    }
}
