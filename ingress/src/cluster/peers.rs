//! What ingresses tell each other of idempotency keys. Each says which it holds, and believes nobody before it has asked; so one that
//! would be told a 409 at the other's end is told so at once. Where words are lost, the record of the one that won decides, as ever.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use relay_clock::Clock;
use relay_control::{Control, ask, send, subjects};
use relay_runner::{Chance, Identity, listen_forever, serve_forever};
use relay_schemas::{KeyAnswer, KeyClaim, KeyQuery, RequestId};

use crate::admission::claims::{Claims, gives_way};
use crate::admission::keys::Keys;

/// The other ingresses, as far as keys go.
pub struct Peers {
    /// Where they are reached.
    pub control: Arc<dyn Control>,
    /// Who this one is.
    pub identity: Identity,
    /// What is held here.
    pub keys: Arc<Keys>,
    /// What they said.
    pub claims: Mutex<Claims>,
    /// Longest wait for one's answer.
    pub timeout: Duration,
    /// How old their words are.
    pub clock: Clock,
    /// Spreads the tries to listen.
    pub chance: Chance,
}

impl Peers {
    /// Listens to them and answers them. Never returns; dropped at the end.
    pub async fn attend(&self) {
        let Identity { instance, epoch, .. } = &self.identity;
        let subject = subjects::key_of(instance, *epoch);
        let answer = |query: KeyQuery| std::future::ready(Some(self.keys.answer(&query.key)));
        let hear = |claim: KeyClaim| {
            if (&claim.ingress, claim.epoch) != (instance, *epoch) {
                self.claims.lock().hear(claim, self.clock.steady());
            }
        };
        tokio::join!(
            listen_forever(
                Arc::clone(&self.control),
                subjects::KEY_CLAIM.to_owned(),
                self.chance.clone(),
                hear
            ),
            serve_forever::<_, KeyAnswer, _, _>(
                Arc::clone(&self.control),
                subject,
                None,
                self.chance.clone(),
                answer
            ),
        );
    }

    /// Tells them that a key is held here, for at most `lasts_ms`.
    pub async fn claim(&self, key: &RequestId, request_hash: &str, lasts_ms: i64) {
        let claim = KeyClaim {
            key: key.clone(),
            request_hash: request_hash.to_owned(),
            ingress: self.identity.instance.clone(),
            epoch: self.identity.epoch,
            lasts_ms,
        };
        if let Err(error) = send(&*self.control, subjects::KEY_CLAIM, claim).await {
            tracing::debug!(%error, "other ingresses are not told of a key");
        }
    }

    /// Whether one of them holds the key for another body, which this request gives way to.
    pub async fn go_first(&self, key: &RequestId, request_hash: &str) -> bool {
        let now = self.clock.steady();
        let hint = self.claims.lock().of_another_body(key, request_hash, now);
        let Some((ingress, epoch)) = hint else {
            return false;
        };
        let subject = subjects::key_of(&ingress, epoch);
        let query = KeyQuery { key: key.clone() };
        match ask(&*self.control, &subject, &query, self.timeout).await {
            Ok(answer) => gives_way(request_hash, &answer),
            Err(error) => {
                tracing::debug!(%error, "an ingress that claimed a key does not answer");
                false
            }
        }
    }
}
