//! Accepts requests durably over HTTP and from the batch topic, and streams their answers back.
