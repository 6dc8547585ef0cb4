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
        // Nothing is kept for root, so that what is free is what may be written.
        run("mkfs.ext4", &["-q", "-F", "-m", "0"], &[&image])?;
        let disk = Self { image, folder };
        disk.mount()?;
        Ok(disk)
    }

    /// Makes one below `under` that holds the folder `data`.
    pub fn holding(under: &Path, data: &Path, mib: u64) -> anyhow::Result<Self> {
        let disk = Self::make(under, mib)?;
        let held = disk.folder.join("data");
        std::fs::create_dir(&held)?;
        std::os::unix::fs::symlink(&held, data)?;
        Ok(disk)
    }

    /// Where it is mounted.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Cuts the power: what the device holds at this moment is all that is left. Nobody may have a file open.
    pub fn cut_power(&self) -> anyhow::Result<()> {
        // Before the file system is unmounted: that would write what the page cache still holds.
        self.take_image()?;
        self.become_the_image()
    }

    /// Keeps what the device holds at this moment. Nobody may write.
    pub fn take_image(&self) -> anyhow::Result<()> {
        run("cp", &["--sparse=always"], &[&self.image, &self.left()])
    }

    /// Goes back to the image that was taken last. Nobody may have a file open.
    pub fn become_the_image(&self) -> anyhow::Result<()> {
        run("umount", &[], &[&self.folder])?;
        std::fs::rename(self.left(), &self.image)?;
        self.mount()
    }

    fn left(&self) -> PathBuf {
        self.image.with_extension("left")
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

/// Why this machine mounts no images, if so.
pub fn lacking() -> Option<String> {
    let made = tempfile::tempdir().map_err(anyhow::Error::from);
    let made = made.and_then(|folder| Disk::make(folder.path(), 16).map(drop));
    made.err().map(|error| format!("{error:#}"))
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
