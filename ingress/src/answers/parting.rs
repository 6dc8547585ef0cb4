//! What is still to be written of a client that went before the end of its answer: what that cost is known once the request has ended.
//! The client's side leaves it here, the side that sees the request to its end concludes it, whichever comes first.

use std::fmt;

use parking_lot::Mutex;

use super::end::Account;

/// Writes it, with what the record of the end says, where one was read.
pub type LastLine = Box<dyn FnOnce(Option<Account>) + Send>;

/// See the module.
#[derive(Default)]
pub struct Parting(Mutex<State>);

#[derive(Default)]
enum State {
    #[default]
    Open,
    Left(LastLine),
    Concluded(Option<Account>),
}

impl Parting {
    /// The client is gone.
    pub fn leave(&self, line: LastLine) {
        let mut state = self.0.lock();
        match *state {
            State::Concluded(account) => {
                drop(state);
                line(account);
            }
            State::Open | State::Left(_) => *state = State::Left(line),
        }
    }

    /// The end is known, or waited for no longer. Only the first time counts.
    pub fn conclude(&self, account: Option<Account>) {
        let mut state = self.0.lock();
        if matches!(*state, State::Concluded(_)) {
            return;
        }
        let before = std::mem::replace(&mut *state, State::Concluded(account));
        drop(state);
        if let State::Left(line) = before {
            line(account);
        }
    }
}

impl fmt::Debug for Parting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Parting")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use relay_schemas::samples;

    use super::*;

    #[test]
    fn a_line_is_written_once_whichever_side_comes_first_and_whatever_is_concluded_later() {
        let account = Account::of(&samples::outcome());
        for (leaves_first, told) in [(true, Some(account)), (false, Some(account)), (true, None)] {
            let (parting, written) = (Parting::default(), Arc::new(Mutex::new(Vec::new())));
            let lines = Arc::clone(&written);
            let line: LastLine = Box::new(move |account| lines.lock().push(account));
            if leaves_first {
                parting.leave(line);
                parting.conclude(told);
            } else {
                parting.conclude(told);
                parting.leave(line);
            }
            parting.conclude(None);
            assert_eq!(*written.lock(), [told]);
        }
    }
}
