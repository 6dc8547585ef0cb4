//! File descriptors: as many as the system allows, and fewer connections than that, so that no client can take the one that
//! the log needs next.

use anyhow::ensure;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// What a process needs besides connections of clients: the runtime, the log with its files, the tables, the listeners.
const OWN: u64 = 64;

/// With fewer left for connections a gateway is of no use.
const LEAST: u64 = 64;

/// Raises the limit as far as it may be raised, and bounds the connections of `config` below it.
///
/// # Errors
/// When what is allowed would not do.
pub fn prepare(config: &mut Config) -> anyhow::Result<()> {
    let limit = raise();
    let wanted = config.ingress.limits.max_connections;
    let most = connections(limit, config.ops.max_connections as u64, wanted as u64)?;
    if (most as usize) < wanted {
        tracing::info!(
            limit,
            wanted,
            connections = most,
            "fewer connections at once than `ingress.limits.max_connections`, since the descriptor limit (ulimit -n) is low; \
             further ones wait"
        );
        config.ingress.limits.max_connections = most as usize;
    }
    Ok(())
}

/// The limit after raising it; what cannot be raised stays as it is.
fn raise() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    let limit = if setrlimit(Resource::Nofile, raised).is_ok() {
        maximum
    } else {
        current
    };
    limit.unwrap_or(u64::MAX)
}

/// Most connections of clients under a limit of `limit` descriptors. A request may need a connection to an endpoint as well,
/// so that a client takes two.
fn connections(limit: u64, operators: u64, wanted: u64) -> anyhow::Result<u64> {
    let own = OWN + operators;
    ensure!(
        limit >= own + LEAST,
        "this process may open {limit} files, and {} are needed with `ops.max_connections: {operators}`: raise the limit \
         (`ulimit -n`, `LimitNOFILE=`)",
        own + LEAST
    );
    Ok(wanted.min((limit - own) / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_bounded_below_the_descriptor_limit() {
        for (limit, wanted, most) in [
            (260, 16_384, 82),
            (1024, 16_384, 464),
            (1_048_576, 16_384, 16_384),
            (260, 10, 10),
            (u64::MAX, 16_384, 16_384),
        ] {
            let allowed = connections(limit, 32, wanted).expect("it will do");
            assert_eq!(allowed, most, "{limit} descriptors, {wanted} connections");
        }
    }

    #[test]
    fn a_limit_that_would_not_do_is_refused_with_what_to_raise() {
        let refused = connections(100, 32, 16).expect_err("100 are too few").to_string();
        assert!(
            refused.contains("may open 100 files, and 160 are needed"),
            "{refused}"
        );
        assert!(refused.contains("ulimit -n"), "{refused}");
    }
}
