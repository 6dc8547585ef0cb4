//! End-to-end tests against the real executable and real servers.
