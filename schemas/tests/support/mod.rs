//! What the tests of this crate share: every record type by name, and sample values made from its schema.

use apache_avro::Schema;
use apache_avro::schema::{RecordSchema, UnionSchema};
use apache_avro::types::Value;
use relay_schemas::{DecodeError, Fingerprint, Record, Registry, encode};
use serde_json::Value as Json;

/// A record type, seen through functions only.
pub struct Kind {
    pub name: &'static str,
    pub schema: fn() -> &'static str,
    pub fingerprint: fn() -> Fingerprint,
    /// What the bytes say, as JSON.
    pub read: fn(&Registry, &[u8]) -> Result<Json, DecodeError>,
    /// Reads and writes again.
    pub rewrite: fn(&Registry, &[u8]) -> Result<Vec<u8>, DecodeError>,
}

fn kind<T: Record>() -> Kind {
    Kind {
        name: T::NAME,
        schema: || T::codec().json(),
        fingerprint: || T::codec().fingerprint(),
        read: |registry, bytes| {
            let record: T = registry.decode(Some(bytes))?;
            Ok(serde_json::to_value(record).expect("records have text keys only"))
        },
        rewrite: |registry, bytes| {
            registry
                .decode::<T>(Some(bytes))
                .map(|record| encode(&record).to_vec())
        },
    }
}

/// Every record type.
pub fn kinds() -> Vec<Kind> {
    macro_rules! kinds { ($($type:ident),* $(,)?) => { vec![$(kind::<relay_schemas::$type>()),*] } }
    relay_schemas::every_record!(kinds)
}

/// A value of `kind`, encoded. With `full`, every optional field is there and every array holds one item.
pub fn sample(kind: &Kind, full: bool) -> Vec<u8> {
    let schema = Schema::parse_str((kind.schema)()).expect("a schema");
    let mut maker = Maker {
        names: Vec::new(),
        full,
        counter: 0,
    };
    maker.collect(&schema);
    let value = maker.value(&schema, kind.name);
    let mut bytes = vec![0xC3, 0x01];
    bytes.extend((kind.fingerprint)());
    let writer = apache_avro::writer::datum::GenericDatumWriter::builder(&schema)
        .build()
        .expect("a writer");
    writer
        .write_value(&mut bytes, value)
        .expect("the value follows the schema");
    bytes
}

struct Maker {
    /// Named types, for the places that only name them.
    names: Vec<(String, Schema)>,
    full: bool,
    counter: i64,
}

impl Maker {
    fn collect(&mut self, schema: &Schema) {
        if let Some(name) = schema.name() {
            self.names.push((name.to_string(), schema.clone()));
        }
        match schema {
            Schema::Record(record) => record.fields.iter().for_each(|field| self.collect(&field.schema)),
            Schema::Union(union) => union.variants().iter().for_each(|variant| self.collect(variant)),
            Schema::Array(array) => self.collect(&array.items),
            _ => {}
        }
    }

    fn value(&mut self, schema: &Schema, field: &str) -> Value {
        self.counter += 1;
        match schema {
            Schema::Null => Value::Null,
            Schema::Boolean => Value::Boolean(self.counter % 2 == 0),
            Schema::Int => Value::Int(self.counter as i32),
            Schema::Long => Value::Long(self.counter),
            Schema::Float => Value::Float(self.counter as f32 / 4.0),
            Schema::Double => Value::Double(self.counter as f64 / 4.0),
            Schema::Bytes => Value::Bytes(vec![0, 255, self.counter as u8]),
            Schema::String => Value::String(format!("{field} {} äß漢", self.counter)),
            Schema::Enum(symbols) => {
                let at = self.counter as usize % symbols.symbols.len();
                Value::Enum(at as u32, symbols.symbols[at].clone())
            }
            Schema::Array(array) if self.full => Value::Array(vec![self.value(&array.items, field)]),
            Schema::Array(_) => Value::Array(Vec::new()),
            Schema::Union(union) => self.branch(union, field),
            Schema::Record(record) => self.record(record),
            Schema::Ref { name } => {
                let named = self.names.iter().find(|(known, _)| *known == name.to_string());
                let schema = named.expect("a schema names only what it defines").1.clone();
                self.value(&schema, field)
            }
            other => panic!("no record uses {other:?} yet; teach the samples about it"),
        }
    }

    fn branch(&mut self, union: &UnionSchema, field: &str) -> Value {
        let wanted = |schema: &Schema| matches!(schema, Schema::Null) != self.full;
        let at = union.variants().iter().position(wanted).unwrap_or(0);
        let value = self.value(&union.variants()[at].clone(), field);
        Value::Union(at as u32, Box::new(value))
    }

    fn record(&mut self, record: &RecordSchema) -> Value {
        let fields = record.fields.iter();
        Value::Record(
            fields
                .map(|field| (field.name.clone(), self.value(&field.schema, &field.name)))
                .collect(),
        )
    }
}
