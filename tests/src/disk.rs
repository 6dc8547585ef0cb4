//! A real disk whose power can be cut: a file system on a loop device. What the device was not given is gone.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

/// A mounted image.
pub struct Disk {
    image: PathBuf,
    folder: PathBuf,
}

impl Disk {
    /// Makes an empty one of so many MiB below `under`.
    pub fn make(under: &Path, mib: u64) -> anyhow::Result<Self> {
        let (image, folder) = (under.join("disk.img"), under.join("disk"));
        std::fs::create_dir(&folder)?;
        std::fs::File::create(&image)?.set_len(mib << 20)?;
        run("mkfs.ext4", &["-q", "-F"], &[&image])?;
        let disk = Self { image, folder };
        disk.mount()?;
        Ok(disk)
    }

    /// Where it is mounted.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Cuts the power: what the device holds at this moment is all that is left. Nobody may have a file open.
    pub fn cut_power(&self) -> anyhow::Result<()> {
        let left = self.image.with_extension("left");
        // Before the file system is unmounted: that would write what the page cache still holds.
        run("cp", &["--sparse=always"], &[&self.image, &left])?;
        run("umount", &[], &[&self.folder])?;
        std::fs::rename(left, &self.image)?;
        self.mount()
    }

    /// The file system's own timer must not do what a sync should have done.
    fn mount(&self) -> anyhow::Result<()> {
        run("mount", &["-o", "loop,commit=300"], &[&self.image, &self.folder]).context(
            "mounting a loop device needs root: run `make prove` as root, or in a container that may mount",
        )
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = run("umount", &["-l"], &[&self.folder]);
    }
}

fn run(program: &str, arguments: &[&str], paths: &[&Path]) -> anyhow::Result<()> {
    let output = Command::new(program).args(arguments).args(paths).output();
    let output = output.with_context(|| format!("{program} cannot be run"))?;
    ensure!(
        output.status.success(),
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
