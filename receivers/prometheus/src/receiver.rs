//! The receiver as it runs: providers tell lists of targets, each target has a scraper of its own. A new list starts and
//! ends scrapers and leaves alone those whose targets it still has.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use steadyline_component::telemetry::Signal;
use steadyline_component::{Clock, Host, Outputs, Receiver, Shutdown, StartError, async_trait};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::discovery::{Context, Found, Place, Update};
use crate::job::{Job, Plan, seed};
use crate::scraper::{Scraper, Surroundings, Wish};
use crate::target::Target;

/// The receiver before it runs.
pub(crate) struct PrometheusReceiver {
    id: Arc<str>,
    plans: Vec<Plan>,
    clock: Clock,
}

impl PrometheusReceiver {
    /// A receiver of these jobs.
    pub(crate) fn new(id: &str, plans: Vec<Plan>, clock: &Clock) -> Self {
        PrometheusReceiver { id: Arc::from(id), plans, clock: clock.clone() }
    }
}

#[async_trait]
impl Receiver for PrometheusReceiver {
    async fn start(&mut self, host: &Host) -> Result<(), StartError> {
        self.clock = host.clock.clone();
        for plan in &self.plans {
            if plan.job.defaults.scheme == "https" {
                let job = &plan.job.defaults.job;
                plan.job.client.load_tls().map_err(|error| StartError(format!("job `{job}`: {error}")))?;
            }
        }
        Ok(())
    }

    async fn run(self: Box<Self>, outputs: Outputs, shutdown: Shutdown) -> Result<(), StartError> {
        let Some(output) = outputs.of(Signal::Metrics).cloned() else { return Ok(()) };
        let PrometheusReceiver { id, plans, clock } = *self;
        let seed = seed(&clock);
        let around = Surroundings { output, source: id, clock, shutdown: shutdown.clone(), seed };
        let (updates, inbox) = mpsc::unbounded_channel();
        let mut providers = JoinSet::new();
        let mut jobs = Vec::new();
        for (job, plan) in plans.into_iter().enumerate() {
            let mut lists = Vec::new();
            for (provider, finder) in plan.providers.into_iter().enumerate() {
                let place = Place { job, provider };
                let (clock, updates) = (around.clock.clone(), updates.clone());
                let failures = Arc::clone(&plan.discovery_failures);
                providers.spawn(finder.run(Context { clock, updates, place, failures }));
                lists.push(Vec::new());
            }
            jobs.push(Pool { job: plan.job, lists, running: HashMap::new(), complaints: BTreeMap::new() });
        }
        drop(updates);
        Keeper { jobs, around, scrapers: JoinSet::new() }.run(inbox, shutdown).await;
        Ok(())
    }
}

/// The targets of one job.
struct Pool {
    job: Arc<Job>,
    /// What each provider told last.
    lists: Vec<Vec<Found>>,
    /// Scrapers by the keys of their targets.
    running: HashMap<String, Running>,
    /// What could not be a target, and why; told once.
    complaints: BTreeMap<String, String>,
}

/// A target that is scraped.
struct Running {
    wish: watch::Sender<Wish>,
    target: Arc<Target>,
}

impl Running {
    fn wish(&self, wish: Wish) {
        self.wish.send_if_modified(|now| std::mem::replace(now, wish) != wish);
    }
}

struct Keeper {
    jobs: Vec<Pool>,
    around: Surroundings,
    /// Each gives the job and key of its target when it has ended.
    scrapers: JoinSet<(usize, String)>,
}

impl Keeper {
    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Update>, shutdown: Shutdown) {
        let mut is_open = true;
        loop {
            tokio::select! {
                biased;
                () = shutdown.wait() => break,
                update = inbox.recv(), if is_open => match update {
                    Some(update) => {
                        let job = update.place.job;
                        self.jobs[job].lists[update.place.provider] = update.found;
                        self.apply(job);
                    }
                    None => is_open = false,
                },
                Some(ended) = self.scrapers.join_next(), if !self.scrapers.is_empty() => self.ended(ended),
            }
        }
        // Scrapers look at the same signal: each ends after what it has in hand.
        while self.scrapers.join_next().await.is_some() {}
    }

    /// Brings the scrapers of a job into line with its lists.
    fn apply(&mut self, job: usize) {
        let pool = &mut self.jobs[job];
        let targets = pool.targets();
        let limit = pool.job.target_limit;
        let wish = if limit > 0 && targets.len() as u64 > limit { Wish::Refuse } else { Wish::Scrape };
        pool.job.meters.targets.set(targets.len() as f64);
        let labels: HashSet<&[(String, String)]> = targets.values().map(|target| target.labels.as_slice()).collect();
        for (_, running) in pool.running.iter().filter(|(key, _)| !targets.contains_key(*key)) {
            let is_replaced = labels.contains(running.target.labels.as_slice());
            running.wish(if is_replaced { Wish::Replaced } else { Wish::End });
        }
        for (key, target) in targets {
            if let Some(running) = pool.running.get(&key) {
                running.wish(wish);
                continue;
            }
            let (sender, receiver) = watch::channel(wish);
            let target = Arc::new(target);
            let scraper = Scraper::new(Arc::clone(&pool.job), Arc::clone(&target), receiver, self.around.clone());
            pool.running.insert(key.clone(), Running { wish: sender, target });
            self.scrapers.spawn(async move {
                scraper.run().await;
                (job, key)
            });
        }
    }

    fn ended(&mut self, ended: Result<(usize, String), tokio::task::JoinError>) {
        match ended {
            Ok((job, key)) => {
                let wish = self.jobs[job].running.remove(&key).map(|running| *running.wish.borrow());
                // It was wanted again when it had just given up.
                if matches!(wish, Some(Wish::Scrape | Wish::Refuse)) {
                    self.apply(job);
                }
            }
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => {}
        }
    }
}

impl Pool {
    /// The targets of all lists by their keys: what is listed twice is scraped once.
    fn targets(&mut self) -> BTreeMap<String, Target> {
        let mut targets = BTreeMap::new();
        let mut complaints = BTreeMap::new();
        for found in self.lists.iter().flatten() {
            match self.job.defaults.target(found) {
                Ok(Some(target)) => drop(targets.insert(target.key.clone(), target)),
                Ok(None) => {}
                Err(error) => drop(complaints.insert(format!("{found:?}"), error)),
            }
        }
        for (found, error) in &complaints {
            if !self.complaints.contains_key(found) {
                let job = &self.job.defaults.job;
                tracing::warn!(job, found, error, "not a target that can be scraped");
            }
        }
        self.complaints = complaints;
        targets
    }
}
