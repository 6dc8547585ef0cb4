//! The executable as it ships, but with crash points; see `bus/src/crash.rs`.

fn main() -> std::process::ExitCode {
    relay::main()
}
