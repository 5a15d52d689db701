//! Credentials that are kept, and renewed ahead of their end. While the old ones are valid nobody waits for new ones,
//! and a renewal that fails costs nothing but a warning.

use std::fmt::Debug;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_smithy_async::time::SharedTimeSource;

use crate::{AwsFailure, FailureKind};

/// Where credentials come from.
#[async_trait]
pub(crate) trait Source: Debug + Send + Sync {
    /// Gets new ones; bounded in time by the cache.
    async fn load(&self) -> Result<Credentials, AwsFailure>;
}

/// Credentials of one identity, shared by everybody who acts as it.
#[derive(Debug, Clone)]
pub(crate) struct CredentialCache(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    source: Box<dyn Source>,
    time: SharedTimeSource,
    state: Mutex<State>,
    /// Held while new credentials are fetched, so that one request is made and not one per waiter.
    renewing: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Default)]
struct State {
    current: Option<Kept>,
    /// The last failure with nothing to fall back on, and until when it is not tried again.
    failed: Option<(SystemTime, AwsFailure)>,
}

#[derive(Debug, Clone)]
struct Kept {
    credentials: Credentials,
    loaded: SystemTime,
    renew_at: SystemTime,
}

/// What the cache has at a moment.
enum Look {
    /// Good, and not due.
    Fresh(Credentials),
    /// Good, and due for renewal.
    Due(Credentials),
    Failed(AwsFailure),
    Nothing,
}

/// How long all sources together may take.
const LOAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long before their end credentials are renewed; a third of their life if that is less.
const MARGIN: Duration = Duration::from_secs(300);
/// Credentials without an end are read again so often: files and variables of containers change.
const REREAD: Duration = Duration::from_secs(900);
/// The pause after a failed renewal while the old ones are still good.
const RETRY_RENEWAL: Duration = Duration::from_secs(30);
/// The pause after a failure with nothing to fall back on: keeps many waiters from asking one after the other.
const RETRY_LOAD: Duration = Duration::from_secs(1);
/// Credentials this young are not fetched again because a server calls them expired: its clock or ours is wrong then.
const TOO_YOUNG_TO_EXPIRE: Duration = Duration::from_secs(10);

impl CredentialCache {
    pub(crate) fn new(source: impl Source + 'static, time: SharedTimeSource) -> Self {
        Self(Arc::new(Shared { source: Box::new(source), time, state: Mutex::default(), renewing: Arc::default() }))
    }

    /// Credentials that are valid now.
    pub(crate) async fn get(&self) -> Result<Credentials, AwsFailure> {
        match self.0.look() {
            Look::Fresh(credentials) => Ok(credentials),
            Look::Due(credentials) => {
                self.renew_in_background();
                Ok(credentials)
            }
            Look::Failed(failure) => Err(failure),
            Look::Nothing => self.wait_for_first().await,
        }
    }

    /// A server says that these are expired: the next call fetches new ones.
    pub(crate) fn refused(&self) {
        let now = self.0.time.now();
        let mut state = self.0.state();
        let young = |kept: &Kept| now.duration_since(kept.loaded).is_ok_and(|age| age < TOO_YOUNG_TO_EXPIRE);
        if state.current.as_ref().is_some_and(|kept| !young(kept)) {
            state.current = None;
        }
    }

    fn renew_in_background(&self) {
        let Ok(guard) = Arc::clone(&self.0.renewing).try_lock_owned() else {
            return;
        };
        let shared = Arc::clone(&self.0);
        tokio::spawn(async move {
            // The result is in the state, where everybody finds it.
            let _ = shared.renew().await;
            drop(guard);
        });
    }

    /// The fetch is a task of its own: a caller that gives up does not take it along.
    async fn wait_for_first(&self) -> Result<Credentials, AwsFailure> {
        let shared = Arc::clone(&self.0);
        let fetch = tokio::spawn(async move {
            let _guard = shared.renewing.lock().await;
            match shared.look() {
                Look::Fresh(credentials) | Look::Due(credentials) => Ok(credentials),
                Look::Failed(failure) => Err(failure),
                Look::Nothing => shared.renew().await,
            }
        });
        let ended = |_| AwsFailure::new(FailureKind::NoCredentials, "the process is stopping");
        fetch.await.unwrap_or_else(|error| Err(ended(error)))
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self) -> Look {
        let now = self.time.now();
        let state = self.state();
        match (&state.current, &state.failed) {
            (Some(kept), _) if kept.valid(now) && now < kept.renew_at => Look::Fresh(kept.credentials.clone()),
            (Some(kept), _) if kept.valid(now) => Look::Due(kept.credentials.clone()),
            (_, Some((until, failure))) if now < *until => Look::Failed(failure.clone()),
            _ => Look::Nothing,
        }
    }

    async fn renew(&self) -> Result<Credentials, AwsFailure> {
        let loaded = tokio::time::timeout(LOAD_TIMEOUT, self.source.load()).await.unwrap_or_else(|_| {
            let text = format!("no credentials within {} s", LOAD_TIMEOUT.as_secs());
            Err(AwsFailure::new(FailureKind::Timeout, text))
        });
        let now = self.time.now();
        let mut state = self.state();
        match loaded {
            Ok(credentials) => {
                let renew_at = renew_at(now, credentials.expiry(), random_fraction());
                state.current = Some(Kept { credentials: credentials.clone(), loaded: now, renew_at });
                state.failed = None;
                Ok(credentials)
            }
            Err(failure) => {
                match &mut state.current {
                    Some(kept) if kept.valid(now) => {
                        kept.renew_at = now + RETRY_RENEWAL;
                        let left = kept.left(now).map(|left| left.as_secs());
                        tracing::warn!(error = %failure, seconds_left = left, "cannot renew AWS credentials; the old ones are used on");
                    }
                    _ => state.failed = Some((now + RETRY_LOAD, failure.clone())),
                }
                Err(failure)
            }
        }
    }
}

impl Kept {
    fn valid(&self, now: SystemTime) -> bool {
        self.credentials.expiry().is_none_or(|end| now < end)
    }

    fn left(&self, now: SystemTime) -> Option<Duration> {
        self.credentials.expiry()?.duration_since(now).ok()
    }
}

/// When to renew: the margin before the end, and up to half a margin earlier by `fraction`, so that the processes of a
/// fleet that started together do not ask together.
fn renew_at(now: SystemTime, expiry: Option<SystemTime>, fraction: f64) -> SystemTime {
    let Some(expiry) = expiry else {
        return now + REREAD;
    };
    let life = expiry.duration_since(now).unwrap_or_default();
    let margin = MARGIN.min(life / 3).mul_f64(1.0 + fraction / 2.0);
    now + life.saturating_sub(margin)
}

/// Between 0 and 1; the standard library's own random keys are enough to spread renewals.
fn random_fraction() -> f64 {
    let random = RandomState::new().build_hasher().finish();
    (random >> 11) as f64 / (1u64 << 53) as f64
}

impl ProvideCredentials for CredentialCache {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async { self.get().await.map_err(CredentialsError::provider_error) })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::UNIX_EPOCH;

    use aws_smithy_async::time::TimeSource;

    use super::*;

    #[derive(Debug, Clone, Default)]
    struct HandClock(Arc<Mutex<Duration>>);

    impl HandClock {
        fn pass(&self, seconds: u64) {
            *self.0.lock().unwrap() += Duration::from_secs(seconds);
        }
    }

    impl TimeSource for HandClock {
        fn now(&self) -> SystemTime {
            UNIX_EPOCH + *self.0.lock().unwrap()
        }
    }

    /// Answers in the order given; `None` is a failure.
    #[derive(Debug, Default)]
    struct Script {
        answers: Mutex<VecDeque<Option<Credentials>>>,
        asked: Arc<AtomicUsize>,
    }

    #[async_trait]
    impl Source for Script {
        async fn load(&self) -> Result<Credentials, AwsFailure> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let answer = self.answers.lock().unwrap().pop_front().expect("no more answers in the script");
            answer.ok_or_else(|| AwsFailure::new(FailureKind::NoCredentials, "the source is down"))
        }
    }

    fn until(id: &str, end: u64) -> Option<Credentials> {
        Some(Credentials::new(id, "secret", None, Some(UNIX_EPOCH + Duration::from_secs(end)), "test"))
    }

    struct Bench {
        cache: CredentialCache,
        clock: HandClock,
        asked: Arc<AtomicUsize>,
    }

    fn bench(answers: Vec<Option<Credentials>>) -> Bench {
        let clock = HandClock::default();
        let script = Script { answers: Mutex::new(answers.into()), ..Script::default() };
        let asked = Arc::clone(&script.asked);
        Bench { cache: CredentialCache::new(script, SharedTimeSource::new(clock.clone())), clock, asked }
    }

    impl Bench {
        async fn get(&self) -> Result<String, String> {
            let got = self.cache.get().await;
            // A renewal that this call began runs while nobody holds its lock but itself.
            drop(self.cache.0.renewing.lock().await);
            got.map(|c| c.access_key_id().to_owned()).map_err(|failure| failure.to_string())
        }

        fn asked(&self) -> usize {
            self.asked.load(Ordering::SeqCst)
        }
    }

    #[tokio::test]
    async fn credentials_are_fetched_once_and_renewed_before_they_end() {
        let bench = bench(vec![until("first", 3600), until("second", 7200)]);
        assert_eq!(bench.get().await.as_deref(), Ok("first"));
        bench.clock.pass(3600 - 451);
        assert_eq!(bench.get().await.as_deref(), Ok("first"));
        assert_eq!(bench.asked(), 1, "not due");
        bench.clock.pass(152);
        assert_eq!(bench.get().await.as_deref(), Ok("first"), "nobody waits for a renewal");
        assert_eq!(bench.asked(), 2);
        assert_eq!(bench.get().await.as_deref(), Ok("second"));
        assert_eq!(bench.asked(), 2);
    }

    #[tokio::test]
    async fn a_failing_renewal_keeps_what_is_still_valid_and_tries_again() {
        let bench = bench(vec![until("first", 3600), None, None, until("second", 9000)]);
        bench.get().await.unwrap();
        bench.clock.pass(3400);
        assert_eq!(bench.get().await.as_deref(), Ok("first"));
        assert_eq!(bench.get().await.as_deref(), Ok("first"));
        assert_eq!(bench.asked(), 2, "not at every call");
        bench.clock.pass(30);
        assert_eq!(bench.get().await.as_deref(), Ok("first"));
        assert_eq!(bench.asked(), 3);
        bench.clock.pass(170);
        assert_eq!(bench.get().await.as_deref(), Ok("second"), "expired: this call waits");
    }

    #[tokio::test]
    async fn with_nothing_to_fall_back_on_the_failure_is_told_and_not_asked_for_by_everybody() {
        let bench = bench(vec![None, until("late", 3600)]);
        assert_eq!(bench.get().await.unwrap_err(), "the source is down");
        assert_eq!(bench.get().await.unwrap_err(), "the source is down");
        assert_eq!(bench.asked(), 1);
        bench.clock.pass(1);
        assert_eq!(bench.get().await.as_deref(), Ok("late"));
    }

    #[tokio::test]
    async fn many_waiters_make_one_request() {
        let bench = bench(vec![until("one", 3600)]);
        let waiters: Vec<_> = (0..20)
            .map(|_| {
                tokio::spawn({
                    let cache = bench.cache.clone();
                    async move { cache.get().await }
                })
            })
            .collect();
        for waiter in waiters {
            assert_eq!(waiter.await.unwrap().unwrap().access_key_id(), "one");
        }
        assert_eq!(bench.asked(), 1);
    }

    #[tokio::test]
    async fn refused_credentials_are_fetched_anew_unless_they_are_brand_new() {
        let bench = bench(vec![until("first", 3600), until("second", 3600)]);
        bench.get().await.unwrap();
        bench.cache.refused();
        assert_eq!(bench.get().await.as_deref(), Ok("first"), "brand new: something else is wrong");
        bench.clock.pass(10);
        bench.cache.refused();
        assert_eq!(bench.get().await.as_deref(), Ok("second"));
    }

    #[test]
    fn renewal_comes_ahead_of_the_end_and_is_spread() {
        let at = |end: Option<u64>, fraction| {
            let end = end.map(|s| UNIX_EPOCH + Duration::from_secs(s));
            renew_at(UNIX_EPOCH, end, fraction).duration_since(UNIX_EPOCH).unwrap().as_secs()
        };
        assert_eq!(at(Some(3600), 0.0), 3300);
        assert_eq!(at(Some(3600), 1.0), 3150);
        assert_eq!(at(Some(600), 0.0), 400, "short-lived: a third of their life");
        assert_eq!(at(Some(0), 1.0), 0);
        assert_eq!(at(None, 1.0), 900);
        for _ in 0..100 {
            assert!((0.0..1.0).contains(&random_fraction()));
        }
    }
}
