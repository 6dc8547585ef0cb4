//! Leaves out ever smaller parts of a list as long as what is left still fails (delta debugging).

/// The shortest part of `failing` found that still fails.
pub fn shortest<T: Clone>(failing: &[T], fails: impl Fn(&[T]) -> bool) -> Vec<T> {
    let mut best = failing.to_vec();
    let mut part = best.len().div_ceil(2);
    while part > 0 {
        let mut start = 0;
        let mut shrunk = false;
        while start < best.len() {
            let mut shorter = best.clone();
            shorter.drain(start..(start + part).min(best.len()));
            if fails(&shorter) {
                best = shorter;
                shrunk = true;
            } else {
                start += part;
            }
        }
        if !shrunk {
            part /= 2;
        }
    }
    best
}
