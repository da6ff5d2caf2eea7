//! `basic_auth` of a route: who knows a password of a file may pass.
//!
//! To check one with bcrypt takes a tenth of a second of processor time on purpose, so results are remembered for a
//! while, and only a few are checked at a time: whoever sends many wrong ones must not take the processors from others.

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

/// For so long a result is remembered.
const REMEMBERED: Duration = Duration::from_secs(300);
/// Results that are remembered.
const MOST_RESULTS: usize = 4096;
/// Requests that may wait for a check of their own beside those being checked.
const MOST_WAITING: usize = 8;

/// Asks for a name and a password where a route wants that.
pub struct CheckLogin {
    results: Mutex<HashMap<u128, (bool, Instant)>>,
    /// Makes what is remembered useless to others.
    salt: [u8; 16],
    checks: AtomicUsize,
    most_checks: usize,
    /// Whoever holds one of these checks.
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
                // A client that is gone does not hear it.
                let _ = Refusal::Unauthorized.send_with(request, &[("WWW-Authenticate", &challenge)]);
                Outcome::of_refusal(Refusal::Unauthorized)
            }
            Err(TooMany) => Outcome::refused(request, Refusal::TooManyLogins),
        }
    }
}

/// Too many passwords are being checked already.
struct TooMany;

impl CheckLogin {
    fn is_known(&self, login: &Login, auth: &BasicAuth) -> Result<bool, TooMany> {
        let users = crate::config::htpasswd_users(&auth.users.content).unwrap_or_default();
        let found = users.iter().find(|(name, _)| name.as_bytes() == login.user);
        // Nobody can find out which names there are by how long it takes: for an unknown one a hash is tried, too.
        let hash = found.or(users.first()).map_or("", |(_, hash)| hash);
        let key = self.key(login, hash);
        if let Some(result) = self.remembered(key) {
            return Ok(result && found.is_some());
        }
        let _place = Place::take(&self.checks, self.most_checks).ok_or(TooMany)?;
        let turn = fastrand::usize(..self.turns.len());
        let _turn = self.turns.iter().find_map(Mutex::try_lock).unwrap_or_else(|| self.turns[turn].lock());
        // Another request with the same may have been checked meanwhile.
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

/// One of a bounded number.
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
