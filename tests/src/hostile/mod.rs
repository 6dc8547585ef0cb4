//! Nine light tenants beside a hostile one, and alone, in front of an endpoint with a fixed time of service.

mod attack;
mod client;
mod measure;
mod sockets;

pub use attack::Hostile;
pub use measure::{Seen, Windows, beside};
