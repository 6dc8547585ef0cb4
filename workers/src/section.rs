//! The section `workers` of a process: one worker, or a list of them, each of a pool of its own.

use std::fmt;
use std::ops::{Deref, DerefMut};

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::config::Config;

/// See the module. There is at least one, and no two take the work of one pool.
#[derive(Debug, Clone)]
pub struct Workers(Vec<Config>);

impl Default for Workers {
    fn default() -> Self {
        Config::default().into()
    }
}

impl From<Config> for Workers {
    fn from(one: Config) -> Self {
        Self(vec![one])
    }
}

impl Deref for Workers {
    type Target = [Config];

    fn deref(&self) -> &[Config] {
        &self.0
    }
}

impl DerefMut for Workers {
    fn deref_mut(&mut self) -> &mut [Config] {
        &mut self.0
    }
}

impl Workers {
    /// The pools whose work they take, in their order.
    pub fn pools(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|worker| worker.pool.as_str())
    }

    fn checked<E: Error>(workers: Vec<Config>) -> Result<Self, E> {
        if workers.is_empty() {
            return Err(E::custom(
                "names no worker; leave it out for one of the pool `default`",
            ));
        }
        let workers = Self(workers);
        for (index, pool) in workers.pools().enumerate() {
            if workers.pools().take(index).any(|earlier| earlier == pool) {
                let problem = format!("two workers take the pool `{pool}`; give each a `pool` of its own");
                return Err(E::custom(problem));
            }
        }
        Ok(workers)
    }
}

impl<'de> Deserialize<'de> for Workers {
    /// By hand, because serde's untagged enums lose the place of an error.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct OneOrMany;

        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Workers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping, or a list of one for each pool")
            }

            /// Everything below it is commented out.
            fn visit_unit<E: Error>(self) -> Result<Workers, E> {
                Ok(Workers::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, one: A) -> Result<Workers, A::Error> {
                Config::deserialize(MapAccessDeserializer::new(one)).map(Workers::from)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut many: A) -> Result<Workers, A::Error> {
                let mut workers = Vec::new();
                while let Some(worker) = many.next_element()? {
                    workers.push(worker);
                }
                Workers::checked(workers)
            }
        }

        from.deserialize_any(OneOrMany)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Workers, String> {
        relay_settings::from_str(text).map_err(|mistake| mistake.to_string())
    }

    #[test]
    fn a_section_is_one_worker_or_a_list_of_them_each_with_what_is_its_own() {
        let one = read("pool: gpu\nshort_slots: 3").expect("one");
        assert_eq!(one.pools().collect::<Vec<_>>(), ["gpu"]);
        let two = read("- models: a.yaml\n- { pool: remote, models: b.yaml, long_slots: 9 }").expect("two");
        assert_eq!(two.pools().collect::<Vec<_>>(), ["default", "remote"]);
        let own = two
            .iter()
            .map(|worker| (worker.models.clone(), worker.long_slots));
        assert_eq!(
            own.collect::<Vec<_>>(),
            [(Some("a.yaml".into()), 32), (Some("b.yaml".into()), 9)]
        );
    }

    #[test]
    fn what_is_no_section_is_refused_with_its_place() {
        for (text, said) in [
            ("[]", "1:1: names no worker"),
            (
                "- { pool: a }\n- { pool: b }\n- { pool: a }",
                "1:1: two workers take the pool `a`",
            ),
            (
                "- { pool: a }\n- { slots: 3 }",
                "2:5: [1].slots: is not a key here",
            ),
            ("pol: a", "1:1: pol: is not a key here; did you mean `pool`?"),
            (
                "text",
                "where a mapping, or a list of one for each pool is needed",
            ),
        ] {
            let refused = read(text).expect_err(text);
            assert!(refused.contains(said), "{refused}");
        }
    }
}
