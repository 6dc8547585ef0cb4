//! The way in: a place in flight, the checks, and the moment from which the log has the request.

pub mod accept;
pub mod admit;
pub mod claims;
pub mod keys;
pub mod limits;
pub mod refusals;
pub mod request;
