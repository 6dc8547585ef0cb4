//! Segments that lie under another one's name: someone moved or copied them. Their heads say which they are, and nothing of
//! them is ever removed.

use std::io;

use super::list::Listing;
use crate::error::OpenError;
use crate::format::segment_name;
use crate::opened::Misnamed;
use crate::storage::Storage;

/// Gives such segments their own names, or sets them aside where these are taken.
pub(super) fn put_in_place<S: Storage>(storage: &S, listing: &Listing) -> Result<Vec<Misnamed>, OpenError> {
    if listing.misnamed.is_empty() {
        return Ok(Vec::new());
    }
    // All of them first: they may have changed places.
    let mut aside = Vec::new();
    for (found, number) in &listing.misnamed {
        let found = segment_name(*found);
        let name = free_name(storage, &found)?;
        rename(storage, &found, &name)?;
        aside.push((found, *number, name));
    }
    let mut told = Vec::new();
    for (found, number, name) in &aside {
        let rivals = aside.iter().filter(|(_, other, _)| other == number).count();
        let is_taken = listing.segments.iter().any(|listed| listed.number == *number);
        let in_place = rivals == 1 && !is_taken;
        if in_place {
            rename(storage, name, &segment_name(*number))?;
        }
        told.push(Misnamed {
            found: found.clone(),
            segment: *number,
            aside: (!in_place).then(|| name.clone()),
        });
    }
    storage
        .sync_folder()
        .map_err(OpenError::io("syncing the folder of the log"))?;
    Ok(told)
}

fn rename<S: Storage>(storage: &S, from: &str, to: &str) -> Result<(), OpenError> {
    storage.rename(from, to).map_err(OpenError::io(format!(
        "renaming {from}, which is another segment, to {to}"
    )))
}

/// A name that no file has yet.
fn free_name<S: Storage>(storage: &S, name: &str) -> Result<String, OpenError> {
    let mut aside = format!("{name}.aside");
    loop {
        match storage.id(&aside) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(aside),
            Err(error) => return Err(OpenError::io(format!("looking for {aside}"))(error)),
            Ok(_) => aside.push_str(".aside"),
        }
    }
}
