//! The executable. What it does stands in `lib.rs`.

fn main() -> std::process::ExitCode {
    relay::main()
}
