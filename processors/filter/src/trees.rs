//! Filtering traces and logs.
//! What is left without a span or record goes with them.

use steadyline_attributes::ottl::{Above, EventSource, SpanSource, item_holds};
use steadyline_attributes::tree::{Branch, Change, Item, Root};

use crate::rules::TreeRules;

/// One batch on its way through.
pub(crate) struct Pass<'a> {
    rules: &'a TreeRules,
    /// How many spans or records were dropped.
    pub(crate) dropped: u64,
}

impl TreeRules {
    pub(crate) fn pass(&self) -> Pass<'_> {
        Pass { rules: self, dropped: 0 }
    }
}

impl Change for Pass<'_> {
    fn apply<R: Root>(&mut self, roots: &mut Vec<R>) -> bool {
        let mut events = 0;
        let before = self.dropped;
        for root in roots.iter_mut() {
            let below = self.rules.keep.root(root);
            let resource = root.resource().cloned();
            for branch in root.branches_mut() {
                let below = self.rules.keep.branch(below, branch);
                let scope = branch.scope().cloned();
                let above = Above { resource: resource.as_ref(), scope: scope.as_ref() };
                let all = branch.items().len();
                if below.is_lost() || self.rules.above.iter().any(|condition| condition.holds(&above)) {
                    branch.items_mut().clear();
                } else {
                    let keep = |item: &<R::Branch as Branch>::Item| {
                        self.rules.keep.item(below, item)
                            && !self.rules.item.iter().any(|condition| item_holds(condition, above, item.kind()))
                    };
                    branch.items_mut().retain(keep);
                }
                self.dropped += (all - branch.items().len()) as u64;
                if !self.rules.event.is_empty() {
                    events += branch.items_mut().iter_mut().map(|item| self.events(above, item)).sum::<usize>();
                }
            }
        }
        if self.dropped > before {
            for root in roots.iter_mut() {
                root.branches_mut().retain(|branch| !branch.items().is_empty());
            }
            roots.retain(|root| !root.branches().is_empty());
        }
        self.dropped > before || events > 0
    }
}

impl Pass<'_> {
    /// Takes out the events of a span that are dropped; how many.
    fn events(&self, above: Above<'_>, item: &mut impl Item) -> usize {
        item.retain_events(|span, at| {
            let event = EventSource { span: SpanSource { above, span }, event: &span.events[at] };
            !self.rules.event.iter().any(|condition| condition.holds(&event))
        })
    }
}
