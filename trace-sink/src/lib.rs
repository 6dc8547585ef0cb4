//! Folds outcomes into durable traces and shows them.
