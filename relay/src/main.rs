//! The executable. What it does stands in `lib.rs`.

/// Envelopes are many small allocations on several threads, which the system's allocator makes them wait for: with this one
/// a request costs a third less CPU (`make bench-pipeline`).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    relay::main()
}
