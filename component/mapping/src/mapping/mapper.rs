//! Runs a plan over the items of a pass, page by page. Keeps nothing of an item once it has been mapped.

use std::borrow::Cow;
use std::sync::Arc;

use super::aggregate::Groups;
use super::duplicates::{Decision, Duplicates, Rank, Verdict};
use super::key::TableKey;
use super::label::{LabelPlan, LabelValue, truncate};
use super::plan::{MetricPlan, Plan};
use super::sink::{Duplicate, Sink, Skip, SkipReason};
use crate::config::OnNull;
use crate::expr::{EvalError, Val};
use crate::item::{Item, Row};
use crate::number::Number;

/// Maps the items of one source, pass after pass.
#[derive(Debug)]
pub struct Mapper {
    plan: Arc<Plan>,
    key: TableKey,
    /// The key attributes that the identity does not repeat.
    rank_key: TableKey,
    checks_duplicates: bool,
    now: i64,
    duplicates: Duplicates,
    groups: Vec<Groups>,
    stats: PassStats,
}

/// What became of the items of a pass.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PassStats {
    /// Items that were read.
    pub items: u64,
    /// Items that the filter left out.
    pub filtered: u64,
    /// Points that went out, those of aggregates included.
    pub emitted: u64,
    /// Series that were confirmed without a value.
    pub held: u64,
    /// Label values that were cut.
    pub truncated: u64,
    /// Numbers that lost digits.
    pub lossy: u64,
    /// Items and points that were skipped, by [`SkipReason::index`].
    pub skipped: [u64; SkipReason::COUNT],
    /// Items whose identity was not compared with others, for lack of room.
    pub unchecked: u64,
    /// Whether aggregates were left out although the pass was complete, because an item was overridden that they had counted.
    pub aggregates_withheld: bool,
}

impl PassStats {
    /// How often something was skipped for this reason.
    pub fn skipped_for(&self, reason: SkipReason) -> u64 {
        self.skipped[reason.index()]
    }

    /// The reasons that occurred, with their counts.
    pub fn skips(&self) -> impl Iterator<Item = (SkipReason, u64)> {
        SkipReason::all().zip(self.skipped).filter(|(_, count)| *count > 0)
    }
}

impl Mapper {
    /// A mapper without history.
    pub fn new(plan: Arc<Plan>) -> Self {
        let groups = plan.aggregates.iter().map(|_| Groups::default()).collect();
        let key = TableKey::default();
        let checks_duplicates = plan.may_collide(&key);
        Self {
            plan,
            rank_key: key.clone(),
            key,
            checks_duplicates,
            now: 0,
            duplicates: Duplicates::new(),
            groups,
            stats: PassStats::default(),
        }
    }

    /// Says what the table's key is, between passes.
    pub fn set_key(&mut self, key: TableKey) {
        self.checks_duplicates = self.plan.may_collide(&key);
        let repeats = |name: &String| self.plan.identity.iter().any(|label| label.attribute() == Some(name));
        self.rank_key = TableKey(key.0.iter().filter(|name| !repeats(name)).cloned().collect());
        self.key = key;
    }

    /// The table's key, as far as known.
    pub fn key(&self) -> &TableKey {
        &self.key
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Begins a pass at `now`, in Unix seconds.
    pub fn begin(&mut self, now: i64) {
        self.now = now;
        self.stats = PassStats::default();
        self.duplicates.begin();
        self.groups.iter_mut().for_each(Groups::begin);
    }

    /// Maps one page.
    pub fn page(&mut self, items: &[Item], sink: &mut dyn Sink) {
        let mut slots = Vec::with_capacity(self.plan.names.as_slice().len());
        let plan = Arc::clone(&self.plan);
        for item in items {
            self.stats.items += 1;
            plan.names.bind(item, &mut slots);
            self.item(&plan, &Row { slots: &slots, item, now: self.now }, sink);
        }
    }

    /// Maps one event, which belongs to no pass: nothing is compared or aggregated. `now` in Unix seconds; what became of events adds up in
    /// [`Mapper::stats`] until [`Mapper::begin`].
    pub fn event(&mut self, item: &Item, now: i64, sink: &mut dyn Sink) {
        let plan = Arc::clone(&self.plan);
        let mut slots = Vec::with_capacity(plan.names.as_slice().len());
        plan.names.bind(item, &mut slots);
        self.stats.items += 1;
        self.item(&plan, &Row { slots: &slots, item, now }, sink);
    }

    /// Ends the pass. Only a complete one gives aggregates and the items that were kept back; an incomplete one says nothing about either.
    pub fn end(&mut self, is_complete: bool, sink: &mut dyn Sink) -> &PassStats {
        self.stats.unchecked = self.duplicates.unchecked();
        if is_complete {
            let plan = Arc::clone(&self.plan);
            self.settle(&plan, sink);
            self.stats.aggregates_withheld = self.duplicates.is_unsettled() && !plan.aggregates.is_empty();
            if !self.stats.aggregates_withheld {
                for (aggregate, groups) in plan.aggregates.iter().zip(&mut self.groups) {
                    self.stats.emitted += aggregate.emit(groups, sink);
                }
            }
        }
        &self.stats
    }

    /// What became of the items so far.
    pub fn stats(&self) -> &PassStats {
        &self.stats
    }

    fn settle(&mut self, plan: &Plan, sink: &mut dyn Sink) {
        let winners = self.duplicates.settle();
        let mut slots = Vec::new();
        for item in &winners {
            plan.names.bind(item, &mut slots);
            let row = Row { slots: &slots, item, now: self.now };
            // It passed filter and identity when it was kept back.
            if let Ok(labels) = self.identity(plan, &row) {
                self.points(plan, &row, labels, true, sink);
            }
        }
    }

    fn item(&mut self, plan: &Plan, row: &Row<'_>, sink: &mut dyn Sink) {
        let passes = match &plan.filter {
            Some(filter) => filter.test(row),
            None => Ok(true),
        };
        if passes == Ok(false) {
            self.stats.filtered += 1;
            return;
        }
        let identity = self.identity(plan, row);
        match (passes, identity) {
            (Err(error), Ok(labels)) => {
                self.skip_failed(None, row, &error, sink);
                self.hold_all(plan, row, labels, sink);
            }
            (Err(error), Err(_)) => self.skip_failed(None, row, &error, sink),
            (Ok(_), Err((reason, detail))) => self.skip(reason, None, row, &detail, sink),
            (Ok(_), Ok(labels)) => match self.judge(plan, row, &labels, sink) {
                Judgement::Counts => self.points(plan, row, labels, true, sink),
                Judgement::CountsOutsideAggregates => self.points(plan, row, labels, false, sink),
                Judgement::DoesNotCount => {}
            },
        }
    }

    /// The identity's labels, or why there are none.
    fn identity<'a>(&self, plan: &'a Plan, row: &Row<'a>) -> Result<Vec<LabelValue<'a>>, (SkipReason, String)> {
        let mut labels = Vec::with_capacity(plan.identity.len() + plan.attributes.len() + 4);
        for label in &plan.identity {
            match label.value(row) {
                Ok(Some(text)) if text.len() > plan.max_label_bytes => {
                    let detail = format!(
                        "{} has {} bytes, more than the {} of max_label_bytes",
                        label.name,
                        text.len(),
                        plan.max_label_bytes
                    );
                    return Err((SkipReason::IdentityTooLong, detail));
                }
                Ok(Some(text)) if !text.is_empty() => labels.push(Some(text)),
                Ok(_) => return Err((SkipReason::MissingIdentity, format!("{} has no value", label.name))),
                Err(error) => return Err((SkipReason::Failed(error.reason), error.detail)),
            }
        }
        Ok(labels)
    }

    fn judge(&mut self, plan: &Plan, row: &Row<'_>, identity: &[LabelValue<'_>], sink: &mut dyn Sink) -> Judgement {
        if !self.checks_duplicates {
            return Judgement::Counts;
        }
        let preference = match &plan.prefer {
            None => Val::Null,
            Some(prefer) => prefer.eval(row).unwrap_or_else(|error| {
                self.skip_failed(Some("prefer"), row, &error, sink);
                Val::Null
            }),
        };
        let rank = Rank::new(&preference, &self.rank_key, row.item);
        match self.duplicates.judge(identity, rank, row.item) {
            Verdict::Counts => Judgement::Counts,
            Verdict::Again => Judgement::CountsOutsideAggregates,
            Verdict::Overrides(decision) => {
                self.report_duplicate(identity, &decision, row, sink);
                Judgement::CountsOutsideAggregates
            }
            Verdict::Loses(decision) | Verdict::Kept(Some(decision)) => {
                self.report_duplicate(identity, &decision, row, sink);
                Judgement::DoesNotCount
            }
            Verdict::Kept(None) => Judgement::DoesNotCount,
        }
    }

    fn report_duplicate(
        &mut self,
        identity: &[LabelValue<'_>],
        decision: &Decision,
        row: &Row<'_>,
        sink: &mut dyn Sink,
    ) {
        self.stats.skipped[SkipReason::DuplicateIdentity.index()] += 1;
        let names = if self.rank_key.is_known() { format!("{}: ", self.rank_key.0.join(", ")) } else { String::new() };
        let (winner, loser) =
            (format!("{names}{}", decision.winner.describe()), format!("{names}{}", decision.loser.describe()));
        let detail = format!("{winner} counts, {loser} does not");
        sink.skipped(&Skip { reason: SkipReason::DuplicateIdentity, metric: None, item: row.item, detail: &detail });
        sink.duplicate(&Duplicate { identity, winner, loser, preferred: decision.is_preferred() });
    }

    /// Gives the points of an item that counts.
    fn points<'a>(
        &mut self,
        plan: &'a Plan,
        row: &Row<'a>,
        mut labels: Vec<LabelValue<'a>>,
        in_aggregates: bool,
        sink: &mut dyn Sink,
    ) {
        if let Err(error) = self.add_labels(&plan.attributes, row, plan, &mut labels) {
            self.skip_failed(None, row, &error, sink);
            labels.truncate(plan.identity.len());
            self.hold_all(plan, row, labels, sink);
            return;
        }
        let common = labels.len();
        for (output, metric) in plan.metrics.iter().enumerate() {
            if let Err(error) = self.point(plan, output, metric, row, &mut labels, sink) {
                self.skip_failed(Some(&plan.outputs()[output].name), row, &error, sink);
                labels.truncate(common);
                add_what_is_known(plan, &metric.labels, row, &mut labels);
                self.hold(plan, output, &mut labels, sink);
            }
            labels.truncate(common);
        }
        if in_aggregates {
            self.aggregate(plan, row, sink);
        }
    }

    fn point<'a>(
        &mut self,
        plan: &'a Plan,
        output: usize,
        metric: &'a MetricPlan,
        row: &Row<'a>,
        labels: &mut Vec<LabelValue<'a>>,
        sink: &mut dyn Sink,
    ) -> Result<(), EvalError> {
        if let Some(filter) = &metric.filter
            && !filter.test(row)?
        {
            return Ok(());
        }
        self.add_labels(&metric.labels, row, plan, labels)?;
        let number = match (metric.value.measure(row), metric.on_null) {
            (Ok(Some(measured)), _) => {
                self.stats.lossy += u64::from(measured.lossy);
                measured.number
            }
            (Ok(None), OnNull::Zero) => Number::Int(0),
            (Ok(None), on_null) => {
                self.skip(SkipReason::NullValue, Some(&plan.outputs()[output].name), row, "its value is null", sink);
                if on_null == OnNull::Hold {
                    self.hold(plan, output, labels, sink);
                }
                return Ok(());
            }
            (Err(error), _) => {
                self.skip_failed(Some(&plan.outputs()[output].name), row, &error, sink);
                self.hold(plan, output, labels, sink);
                return Ok(());
            }
        };
        self.stats.emitted += 1;
        sink.number(output, labels, number);
        Ok(())
    }

    fn add_labels<'a>(
        &mut self,
        sources: &'a [LabelPlan],
        row: &Row<'a>,
        plan: &Plan,
        labels: &mut Vec<LabelValue<'a>>,
    ) -> Result<(), EvalError> {
        for source in sources {
            let mut value = source.value(row)?;
            self.stats.truncated += u64::from(truncate(&mut value, plan.max_label_bytes));
            labels.push(value);
        }
        Ok(())
    }

    fn aggregate(&mut self, plan: &Plan, row: &Row<'_>, sink: &mut dyn Sink) {
        for (index, aggregate) in plan.aggregates.iter().enumerate() {
            if let Err((reason, detail)) = aggregate.add(&mut self.groups[index], row, plan.max_label_bytes) {
                self.skip(reason, Some(&aggregate.name), row, &detail, sink);
            }
        }
    }

    /// Confirms every series of an item that is there and cannot be judged.
    fn hold_all<'a>(&mut self, plan: &'a Plan, row: &Row<'a>, mut labels: Vec<LabelValue<'a>>, sink: &mut dyn Sink) {
        add_what_is_known(plan, &plan.attributes, row, &mut labels);
        let common = labels.len();
        for (output, metric) in plan.metrics.iter().enumerate() {
            add_what_is_known(plan, &metric.labels, row, &mut labels);
            self.hold(plan, output, &mut labels, sink);
            labels.truncate(common);
        }
    }

    /// Confirms one series; labels that are not known count as absent.
    fn hold<'a>(&mut self, plan: &Plan, output: usize, labels: &mut Vec<Option<Cow<'a, str>>>, sink: &mut dyn Sink) {
        labels.resize(plan.outputs()[output].labels.len(), None);
        self.stats.held += 1;
        sink.held(output, labels);
    }

    fn skip_failed(&mut self, metric: Option<&str>, row: &Row<'_>, error: &EvalError, sink: &mut dyn Sink) {
        self.skip(SkipReason::Failed(error.reason), metric, row, &error.detail, sink);
    }

    fn skip(&mut self, reason: SkipReason, metric: Option<&str>, row: &Row<'_>, detail: &str, sink: &mut dyn Sink) {
        self.stats.skipped[reason.index()] += 1;
        sink.skipped(&Skip { reason, metric, item: row.item, detail });
    }
}

/// Adds labels for a confirmation: those that fail are left out, the others name the series as its values did.
fn add_what_is_known<'a>(plan: &Plan, sources: &'a [LabelPlan], row: &Row<'a>, labels: &mut Vec<LabelValue<'a>>) {
    for source in sources {
        let mut value = source.value(row).unwrap_or(None);
        truncate(&mut value, plan.max_label_bytes);
        labels.push(value);
    }
}

/// What becomes of an item among others of its identity.
enum Judgement {
    Counts,
    CountsOutsideAggregates,
    DoesNotCount,
}
