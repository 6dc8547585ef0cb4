//! The executable as it ships, but counting what it allocates; it tells in the folder of its `--config`.

use std::path::Path;
use std::process::ExitCode;

use relay_bench::allocations::{Counting, tell};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    let config = std::env::args().skip_while(|word| word != "--config").nth(1);
    if let Some(folder) = config.as_ref().and_then(|config| Path::new(config).parent())
        && let Err(error) = tell(folder)
    {
        eprintln!("counted-relay: {error:#}");
        return ExitCode::FAILURE;
    }
    relay::main()
}
