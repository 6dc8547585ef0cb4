//! What a process allocates: an allocator that counts, and a socket at which it tells.

use std::alloc::{GlobalAlloc, Layout};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use tikv_jemallocator::Jemalloc;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

/// The allocator of `relay`, counting.
pub struct Counting;

fn count(bytes: usize) {
    ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    BYTES.fetch_add(bytes as u64, Ordering::Relaxed);
}

#[expect(
    unsafe_code,
    reason = "an allocator is unsafe by its trait; everything is handed on as it came"
)]
// SAFETY: the allocator under it keeps the contract, and counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's layout, as it came.
        unsafe { Jemalloc.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's layout, as it came.
        unsafe { Jemalloc.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: what the caller got from here was allocated by it.
        unsafe { Jemalloc.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: what the caller got from here was allocated by it.
        unsafe { Jemalloc.dealloc(at, layout) }
    }
}

/// What was allocated since a process began. Growing counts as another allocation, of all that there is then.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allocated {
    /// How often.
    pub times: u64,
    /// How much.
    pub bytes: u64,
}

impl Allocated {
    fn now() -> Self {
        Self {
            times: ALLOCATIONS.load(Ordering::Relaxed),
            bytes: BYTES.load(Ordering::Relaxed),
        }
    }

    /// Since `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            times: self.times - before.times,
            bytes: self.bytes - before.bytes,
        }
    }

    /// What the process in `folder` that [`tell`]s says now.
    ///
    /// # Errors
    /// If none does.
    pub fn of(folder: &Path) -> anyhow::Result<Self> {
        let socket = socket(folder);
        let mut said = String::new();
        UnixStream::connect(&socket)
            .with_context(|| format!("{} is where the counting process tells", socket.display()))?
            .read_to_string(&mut said)?;
        let (times, bytes) = said.split_once(' ').context("two numbers")?;
        Ok(Self {
            times: times.parse()?,
            bytes: bytes.parse()?,
        })
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("allocated")
}

/// Tells whoever connects to a socket in `folder`, for as long as the process lives.
///
/// # Errors
/// If there can be no socket.
pub fn tell(folder: &Path) -> anyhow::Result<()> {
    let listener = UnixListener::bind(socket(folder))?;
    std::thread::spawn(move || {
        for mut asking in listener.incoming().flatten() {
            let Allocated { times, bytes } = Allocated::now();
            // Who went away does not want to know.
            let _ = write!(asking, "{times} {bytes}");
        }
    });
    Ok(())
}
