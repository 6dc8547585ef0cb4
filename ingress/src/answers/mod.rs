//! The wait for answers: reply frames and outcomes come in, pieces of text and the end go out.
//!
//! [`routes`] finds the [`pending`] answers of a request, [`replies`] and [`outcomes`] feed them, [`questions`] fills what
//! these two leave open. A [`waiter`] stands for one client; what it leaves behind, [`abandoned`] sees to its end, and
//! [`parting`] has it written then.

pub mod abandoned;
pub mod end;
pub mod failure;
pub mod form;
pub mod outcomes;
pub mod parting;
pub mod pending;
pub mod questions;
pub mod replies;
pub mod routes;
pub mod seen;
pub mod waiter;
