//! Files written by hand: YAML read with places, variables and typed units, and refused in words that help.
//!
//! A file is read in three steps. [`Document::parse`] makes a tree in which everything knows its line and column;
//! [`Document::expanded`] replaces `${NAME}` inside the tree's texts, so that a value stays one value whatever it holds;
//! [`Document::read`] hands the tree to serde. Whatever refuses a value, the [`Mistake`] names line, column and key, and
//! where it can how to mend it.
//!
//! The parser is `granit-parser`, which stands under `serde-saphyr` too. `serde-saphyr` itself was tried on our bad files: its
//! errors name no key, places get lost behind a tag (`kind: kafka`), and its references are docker-compose's (`$NAME`
//! inside a password is one; unset means empty; quoted text is either all or never expanded).

mod certificates;
mod expand;
mod file;
mod gather;
mod keys;
mod mistake;
mod node;
mod parse;
mod paths;
mod query;
mod read;
mod scalar;
mod schema;
mod size;
mod spanned;

pub use certificates::{Certificates, TlsFault, read_authorities};
pub use file::{FileError, read_file, read_text};
pub use gather::{Reading, read_all, read_all_expanded};
pub use mistake::{Mark, Mistake};
pub use parse::Document;
pub use schema::{Describe, schema};
pub use size::ByteSize;
pub use spanned::{Place, Spanned};

/// Reads `text`, in which `${NAME}` stands for itself.
///
/// # Errors
/// The first mistake.
pub fn from_str<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Mistake> {
    Document::parse(text)?.read()
}
