//! Runs leased work on ONNX Runtime or a remote endpoint and streams the answer back.
