//! Records to bytes and back, in Avro's single-object encoding: `C3 01`, fingerprint, body.
//!
//! A known fingerprint takes the direct path (serde straight from the bytes). Any other is looked up in a
//! [`Registry`] and read through Avro schema resolution, so that two versions of a service can run side by side.

use std::collections::HashMap;
use std::io::Write;
use std::sync::OnceLock;

use apache_avro::Schema;
use apache_avro::rabin::Rabin;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use bytes::Bytes;
use parking_lot::RwLock;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::buffer::written;
use crate::catalogue::self_contained;

const MARKER: [u8; 2] = [0xC3, 0x01];
const HEADER: usize = 10;
/// No length inside a record may claim more than this; a broken length must not become an allocation.
const MAX_ALLOCATION: usize = 64 * 1024 * 1024;

/// CRC-64-AVRO of a schema's canonical form, as it stands in the single-object header (little endian).
pub type Fingerprint = [u8; 8];

/// A record that travels in single-object encoding.
pub trait Record: Serialize + DeserializeOwned + Clone + Send + Sync + Sized + 'static {
    /// Name of its `.avsc` type, without namespace.
    const NAME: &'static str;

    /// Its schema and the reader and writer made from it, built once.
    fn codec() -> &'static Codec;
}

/// Declares types as the records that `schemas/avsc` defines under the same names, and lists them.
macro_rules! records {
    ($($type:ident),* $(,)?) => {$(
        impl $crate::codec::Record for $crate::$type {
            const NAME: &'static str = stringify!($type);

            fn codec() -> &'static $crate::codec::Codec {
                static CODEC: std::sync::OnceLock<$crate::codec::Codec> = std::sync::OnceLock::new();
                CODEC.get_or_init(|| $crate::codec::Codec::new(stringify!($type)))
            }
        }
    )*

        /// Name and codec of every record of this build, for `relay.schemas.v1`.
        pub fn all() -> Vec<(&'static str, &'static $crate::codec::Codec)> {
            vec![$((stringify!($type), <$crate::$type as $crate::codec::Record>::codec())),*]
        }
    };
}
pub(crate) use records;

/// A schema with the reader and writer made from it.
pub struct Codec {
    json: String,
    schema: &'static Schema,
    fingerprint: Fingerprint,
    reader: GenericDatumReader<'static>,
    writer: GenericDatumWriter<'static>,
}

impl Codec {
    /// Builds the codec of the record `name`. It lives as long as the process: one per record type.
    ///
    /// # Panics
    /// If the schema is not valid Avro, which a test over all records rules out.
    pub fn new(name: &str) -> Self {
        Self::of(self_contained(name))
    }

    /// Builds the codec of a self-contained schema; for tests of what other versions write.
    ///
    /// # Panics
    /// If the schema is not valid Avro.
    pub fn of(json: String) -> Self {
        static LIMIT: OnceLock<usize> = OnceLock::new();
        LIMIT.get_or_init(|| apache_avro::util::max_allocation_bytes(MAX_ALLOCATION));
        let schema: &'static Schema = Box::leak(Box::new(
            Schema::parse_str(&json).expect("the .avsc files are compiled in and tested"),
        ));
        let fingerprint = fingerprint(schema);
        let reader = GenericDatumReader::builder(schema).human_readable(false).build();
        let writer = GenericDatumWriter::builder(schema).human_readable(false).build();
        Self {
            json,
            schema,
            fingerprint,
            reader: reader.expect("a parsed schema resolves"),
            writer: writer.expect("a parsed schema resolves"),
        }
    }

    /// The self-contained schema, as JSON text.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// Its fingerprint.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

fn fingerprint(schema: &Schema) -> Fingerprint {
    let bytes = schema.fingerprint::<Rabin>().bytes;
    bytes.try_into().expect("CRC-64-AVRO has eight bytes")
}

/// Why bytes are not the record they should be. All of it is poison, but an unknown fingerprint may be looked up first.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// A record without a value.
    #[error("a tombstone where a {0} was expected")]
    Tombstone(&'static str),
    /// Too short, or no `C3 01`.
    #[error("not in Avro single-object encoding ({0} bytes)")]
    NotSingleObject(usize),
    /// Written in a schema that this reader does not know (yet).
    #[error("written in the unknown schema {}", hex(*.0))]
    UnknownSchema(Fingerprint),
    /// The bytes do not follow the schema they name.
    #[error("not a {record}: {reason}")]
    Malformed {
        /// The record that was expected.
        record: &'static str,
        /// What the decoder says.
        reason: String,
    },
    /// A schema that is no schema, or cannot become this record.
    #[error("schema {} cannot be read as {record}: {reason}", hex(*.fingerprint))]
    Incompatible {
        /// The record that was expected.
        record: &'static str,
        /// The writer's schema.
        fingerprint: Fingerprint,
        /// What the resolver says.
        reason: String,
    },
}

/// Sixteen hexadecimal digits, the key of `relay.schemas.v1`.
pub fn hex(fingerprint: Fingerprint) -> String {
    format!("{:016x}", u64::from_le_bytes(fingerprint))
}

/// The record as bytes.
///
/// # Panics
/// If a type and its schema disagree, which the golden samples rule out.
pub fn encode<T: Record>(record: &T) -> Bytes {
    let codec = T::codec();
    written(|buffer| {
        let head = buffer
            .write_all(&MARKER)
            .and_then(|()| buffer.write_all(&codec.fingerprint));
        head.expect("memory takes what is written");
        codec
            .writer
            .write_ser(buffer, record)
            .expect("the golden samples show that type and schema agree");
    })
}

/// Other writers' schemas, by fingerprint. Filled from `relay.schemas.v1`; bounded by the schemas ever released.
#[derive(Default)]
pub struct Registry {
    foreign: RwLock<HashMap<Fingerprint, &'static Schema>>,
}

impl Registry {
    /// Most foreign schemas held; far above what releases produce, so that a flood cannot fill the memory.
    const MOST: usize = 1_024;

    /// Learns a writer's schema. A schema that does not parse, or one too many, is left out: its records stay unknown.
    pub fn learn(&self, json: &str) -> bool {
        let Ok(schema) = Schema::parse_str(json) else {
            return false;
        };
        let mut foreign = self.foreign.write();
        let fingerprint = fingerprint(&schema);
        if foreign.len() >= Self::MOST && !foreign.contains_key(&fingerprint) {
            return false;
        }
        foreign
            .entry(fingerprint)
            .or_insert_with(|| Box::leak(Box::new(schema)));
        true
    }

    /// Whether a schema of this fingerprint has been learned.
    pub fn knows(&self, fingerprint: Fingerprint) -> bool {
        self.foreign.read().contains_key(&fingerprint)
    }

    /// The bytes as a `T`, whichever known version wrote them.
    ///
    /// # Errors
    /// [`DecodeError`]; never panics, whatever the bytes.
    pub fn decode<T: Record>(&self, value: Option<&[u8]>) -> Result<T, DecodeError> {
        let value = value.ok_or(DecodeError::Tombstone(T::NAME))?;
        let Some((&[first, second, written_in @ ..], body)) = value.split_first_chunk::<HEADER>() else {
            return Err(DecodeError::NotSingleObject(value.len()));
        };
        if [first, second] != MARKER {
            return Err(DecodeError::NotSingleObject(value.len()));
        }
        if written_in == T::codec().fingerprint {
            read_direct(body)
        } else {
            self.read_resolved(body, written_in)
        }
    }

    fn read_resolved<T: Record>(&self, mut body: &[u8], written_in: Fingerprint) -> Result<T, DecodeError> {
        let schema = *self
            .foreign
            .read()
            .get(&written_in)
            .ok_or(DecodeError::UnknownSchema(written_in))?;
        let incompatible = |error: apache_avro::Error| DecodeError::Incompatible {
            record: T::NAME,
            fingerprint: written_in,
            reason: error.to_string(),
        };
        let reader = GenericDatumReader::builder(schema)
            .reader_schema(T::codec().schema)
            .human_readable(false);
        let value = reader
            .build()
            .map_err(incompatible)?
            .read_value(&mut body)
            .map_err(incompatible)?;
        no_rest::<T>(body)?;
        apache_avro::from_value(&value).map_err(incompatible)
    }
}

/// The bytes as a `T` written in this build's own schema; for what this process wrote itself.
///
/// # Errors
/// [`DecodeError`]; never panics, whatever the bytes.
pub fn decode<T: Record>(value: &[u8]) -> Result<T, DecodeError> {
    Registry::default().decode(Some(value))
}

fn read_direct<T: Record>(mut body: &[u8]) -> Result<T, DecodeError> {
    let record = T::codec().reader.read_deser(&mut body);
    let record = record.map_err(|error| DecodeError::Malformed {
        record: T::NAME,
        reason: error.to_string(),
    })?;
    no_rest::<T>(body)?;
    Ok(record)
}

fn no_rest<T: Record>(rest: &[u8]) -> Result<(), DecodeError> {
    if rest.is_empty() {
        return Ok(());
    }
    Err(DecodeError::Malformed {
        record: T::NAME,
        reason: format!("{} bytes too many", rest.len()),
    })
}
