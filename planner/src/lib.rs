//! Turns a request into an explicit execution plan, by policy.
