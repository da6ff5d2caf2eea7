//! A token bucket for each client, an IPv6 /64 counting as one. The table is bounded: a flood of addresses
//! evicts old buckets.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::link::{Middleware, Next};
use crate::config::RateLimit;
use crate::frontend::ClientRequest;
use crate::http::address::network_of;
use crate::pool::Live;
use crate::proxy::{Outcome, Refusal};

/// Number of locks; each client belongs to one of them.
const SHARDS: usize = 16;
/// Buckets behind each lock; 65,536 in all, about 5 MB.
const MAX_BUCKETS: usize = 4096;
/// Buckets examined when one must be evicted.
const SAMPLE: usize = 16;

/// Upper limit of `Retry-After`.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

/// The owner of the limit, and the client.
type Key = (u64, IpAddr);

/// Takes a token for each request.
pub struct RateLimiter {
    shards: [Mutex<HashMap<Key, Bucket>>; SHARDS],
    hasher: RandomState,
}

impl Default for RateLimiter {
    fn default() -> Self {
        RateLimiter { shards: std::array::from_fn(|_| Mutex::default()), hasher: RandomState::new() }
    }
}

impl RateLimiter {
    /// Takes a token from this client's bucket. Takes a lock.
    ///
    /// # Errors
    /// The bucket is empty; the error is the time until it has a token.
    pub fn take(
        &self,
        (owner, client): (u64, IpAddr),
        limit: &RateLimit,
        now: Instant,
    ) -> Result<(), Duration> {
        let key = (owner, network_of(client));
        let shard = self.hasher.hash_one(key) as usize % SHARDS;
        let mut buckets = self.shards[shard].lock();
        if buckets.len() >= MAX_BUCKETS && !buckets.contains_key(&key) {
            make_room(&mut buckets, limit, now);
        }
        let full = f64::from(limit.burst);
        let bucket = buckets.entry(key).or_insert(Bucket { tokens: full, at: now });
        bucket.tokens = refilled(bucket, limit, now);
        bucket.at = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            Ok(())
        } else {
            let seconds = (1.0 - bucket.tokens) / limit.requests_per_second;
            Err(Duration::try_from_secs_f64(seconds).map_or(LONGEST_WAIT, |wait| wait.min(LONGEST_WAIT)))
        }
    }
}

fn refilled(bucket: &Bucket, limit: &RateLimit, now: Instant) -> f64 {
    let since = now.saturating_duration_since(bucket.at).as_secs_f64();
    (bucket.tokens + since * limit.requests_per_second).min(f64::from(limit.burst))
}

/// Evicts a bucket: a full one, which holds no information, or else the least recently used of a small
/// sample.
fn make_room(buckets: &mut HashMap<Key, Bucket>, limit: &RateLimit, now: Instant) {
    let sampled = || buckets.iter().take(SAMPLE);
    let full = sampled().find(|(_, bucket)| refilled(bucket, limit, now) >= f64::from(limit.burst));
    let victim = full.or_else(|| sampled().min_by_key(|(_, bucket)| bucket.at)).map(|(key, _)| *key);
    if let Some(victim) = victim {
        buckets.remove(&victim);
    }
}

impl Middleware for RateLimiter {
    fn handle(&self, request: &mut ClientRequest, live: &Live, next: Next<'_>) -> Outcome {
        let rules = live.book().get(request.rules.unwrap_or_default());
        let Some((limit, owner)) = &rules.rate_limit else { return next.run(request, live) };
        match self.take((*owner, request.client), limit, Instant::now()) {
            Ok(()) => next.run(request, live),
            Err(retry_after) => Outcome::refused(request, Refusal::RateLimited { retry_after }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const LIMIT: RateLimit = RateLimit { requests_per_second: 2.0, burst: 3 };

    fn client(number: u32) -> Key {
        (0, IpAddr::V4(Ipv4Addr::from_bits(number)))
    }

    #[test]
    fn a_burst_then_the_steady_rate() {
        let (limiter, start) = (RateLimiter::default(), Instant::now());
        for _ in 0..3 {
            assert!(limiter.take(client(1), &LIMIT, start).is_ok());
        }
        assert_eq!(limiter.take(client(1), &LIMIT, start), Err(Duration::from_millis(500)));
        assert!(limiter.take(client(2), &LIMIT, start).is_ok(), "another client has its own bucket");
        assert!(limiter.take(client(1), &LIMIT, start + Duration::from_millis(500)).is_ok());
        assert!(limiter.take(client(1), &LIMIT, start + Duration::from_millis(510)).is_err());
    }

    #[test]
    fn a_rate_of_next_to_nothing_has_a_wait_that_can_be_said() {
        for requests_per_second in [1e-5, 1e-20, f64::MIN_POSITIVE, 0.0] {
            let (limiter, limit) = (RateLimiter::default(), RateLimit { requests_per_second, burst: 1 });
            let now = Instant::now();
            assert!(limiter.take(client(1), &limit, now).is_ok());
            assert_eq!(limiter.take(client(1), &limit, now), Err(LONGEST_WAIT), "{requests_per_second}");
        }
    }

    #[test]
    fn an_ipv6_64_shares_a_bucket() {
        let (limiter, now) = (RateLimiter::default(), Instant::now());
        let of = |text: &str| limiter.take((0, text.parse().unwrap()), &LIMIT, now).is_ok();
        assert!(of("2001:db8::1") && of("2001:db8::2") && of("2001:db8::3"));
        assert!(!of("2001:db8::4"));
        assert!(of("2001:db8:0:1::4"));
    }

    #[test]
    fn a_million_addresses_do_not_grow_the_table() {
        let (limiter, now) = (RateLimiter::default(), Instant::now());
        for number in 0..1_000_000 {
            let _ = limiter.take(client(number), &LIMIT, now);
        }
        let buckets: usize = limiter.shards.iter().map(|shard| shard.lock().len()).sum();
        assert!(buckets <= SHARDS * MAX_BUCKETS);
    }
}
