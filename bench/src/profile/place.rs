//! Where a piece of code stands, as people look for it.

/// A file of source, by the folder that people look for it in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// A folder of this repository (`trace-sink`), or a crate of others without its version (`hyper`).
    pub room: String,
    /// The file in there, without `src/`; nothing for what is not ours.
    pub file: String,
}

impl Place {
    /// What the path in a line table names; `None` for the standard library and for what has no path.
    pub fn of(path: &str) -> Option<Self> {
        if let Some((_, path)) = path.split_once("/registry/src/") {
            let folder = path.split('/').nth(1)?;
            let name = folder.rsplit_once('-').map_or(folder, |(name, _)| name);
            return Some(Self {
                room: name.to_owned(),
                file: String::new(),
            });
        }
        if path.starts_with("/rustc/") || path.starts_with("/rust/") {
            return None;
        }
        let (folder, file) = path.rsplit_once("/src/")?;
        Some(Self {
            room: folder.rsplit('/').next()?.to_owned(),
            file: file.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(room: &str, file: &str) -> Place {
        Place {
            room: room.to_owned(),
            file: file.to_owned(),
        }
    }

    #[test]
    fn a_path_is_a_room_of_ours_or_a_crate_of_others() {
        let ours = "/work/relay/cache-service/src/levels/lru.rs";
        assert_eq!(Place::of(ours), Some(place("cache-service", "levels/lru.rs")));
        let theirs = "/root/.cargo/registry/src/index-1949cf8c6b5b557f/hyper-util-0.1.20/src/client/mod.rs";
        assert_eq!(Place::of(theirs), Some(place("hyper-util", "")));
        for nothing in [
            "/rustc/5980/library/core/src/ops/function.rs",
            "/rust/deps/hashbrown-0.16.1/src/raw.rs",
            "??",
        ] {
            assert_eq!(Place::of(nothing), None, "{nothing}");
        }
    }
}
