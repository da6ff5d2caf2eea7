//! `basic_auth` of a route: only clients with a user name and password from a file may pass.
//!
//! bcrypt takes a tenth of a second of processor time by design. Results are therefore remembered for a
//! while, and only a few checks run at once: a client that sends many wrong passwords must not use up the
//! processors.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use md5::{Digest, Md5};
use parking_lot::Mutex;

use super::link::{Middleware, Next};
use crate::config::BasicAuth;
use crate::frontend::ClientRequest;
use crate::http::basic::{self, Login};
use crate::pool::Live;
use crate::proxy::{Outcome, Refusal};

/// How long a result is remembered.
const REMEMBERED: Duration = Duration::from_secs(300);
/// Limit of remembered results.
const MOST_RESULTS: usize = 4096;
/// Requests that may wait for a check in addition to those being checked.
const MOST_WAITING: usize = 8;

/// Requires a login if the route asks for one.
pub struct CheckLogin {
    results: Mutex<HashMap<u128, (bool, Instant)>>,
    /// Makes the remembered digests useless outside this process.
    salt: [u8; 16],
    checks: AtomicUsize,
    most_checks: usize,
    /// A check runs while it holds one of these locks.
    turns: Vec<Mutex<()>>,
}

impl Default for CheckLogin {
    fn default() -> CheckLogin {
        let at_once = (thread::available_parallelism().map_or(1, usize::from) / 2).max(1);
        CheckLogin {
            results: Mutex::default(),
            salt: std::array::from_fn(|_| fastrand::u8(..)),
            checks: AtomicUsize::new(0),
            most_checks: at_once + MOST_WAITING,
            turns: (0..at_once).map(|_| Mutex::default()).collect(),
        }
    }
}

impl Middleware for CheckLogin {
    fn handle(&self, request: &mut ClientRequest, live: &Live, next: Next<'_>) -> Outcome {
        let rules = live.book().get(request.rules.unwrap_or_default());
        let Some(auth) = &rules.access.basic_auth else { return next.run(request, live) };
        let login = request.head.headers.get("authorization").and_then(basic::credentials);
        match login.map_or(Ok(false), |login| self.is_known(&login, auth)) {
            Ok(true) => next.run(request, live),
            Ok(false) => {
                let challenge = format!("Basic realm=\"{}\", charset=\"UTF-8\"", auth.realm);
                // A client that has left does not get it.
                let _ = Refusal::Unauthorized.send_with(request, &[("WWW-Authenticate", &challenge)]);
                Outcome::of_refusal(Refusal::Unauthorized)
            }
            Err(TooMany) => Outcome::refused(request, Refusal::TooManyLogins),
        }
    }
}

/// Error: too many passwords are being checked already.
struct TooMany;

impl CheckLogin {
    fn is_known(&self, login: &Login, auth: &BasicAuth) -> Result<bool, TooMany> {
        let users = crate::config::htpasswd_users(&auth.users.content).unwrap_or_default();
        let found = users.iter().find(|(name, _)| name.as_bytes() == login.user);
        // A hash is checked for an unknown user name, too, so that timing does not reveal which names exist.
        let hash = found.or(users.first()).map_or("", |(_, hash)| hash);
        let key = self.key(login, hash);
        if let Some(result) = self.remembered(key) {
            return Ok(result && found.is_some());
        }
        let _place = Place::take(&self.checks, self.most_checks).ok_or(TooMany)?;
        let turn = fastrand::usize(..self.turns.len());
        let _turn = self.turns.iter().find_map(Mutex::try_lock).unwrap_or_else(|| self.turns[turn].lock());
        // Another request with the same login may have been checked in the meantime.
        if let Some(result) = self.remembered(key) {
            return Ok(result && found.is_some());
        }
        let result = bcrypt::verify(&login.password, hash).unwrap_or(false);
        self.remember(key, result);
        Ok(result && found.is_some())
    }

    fn key(&self, login: &Login, hash: &str) -> u128 {
        let mut digest = Md5::new();
        for part in [&self.salt[..], hash.as_bytes(), &login.user, &login.password] {
            digest.update(part.len().to_be_bytes());
            digest.update(part);
        }
        u128::from_be_bytes(digest.finalize().into())
    }

    fn remembered(&self, key: u128) -> Option<bool> {
        let results = self.results.lock();
        results.get(&key).filter(|(_, since)| since.elapsed() < REMEMBERED).map(|(result, _)| *result)
    }

    fn remember(&self, key: u128, result: bool) {
        let mut results = self.results.lock();
        if results.len() >= MOST_RESULTS {
            results.retain(|_, (_, since)| since.elapsed() < REMEMBERED);
        }
        if results.len() >= MOST_RESULTS {
            results.clear();
        }
        results.insert(key, (result, Instant::now()));
    }
}

/// One of a limited number of checks; released when dropped.
struct Place<'a>(&'a AtomicUsize);

impl Place<'_> {
    fn take(taken: &AtomicUsize, most: usize) -> Option<Place<'_>> {
        let more = |now: usize| (now < most).then_some(now + 1);
        taken.fetch_update(SeqCst, SeqCst, more).ok().map(|_| Place(taken))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}
