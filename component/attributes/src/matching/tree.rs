//! Which spans and records of a tree are meant.

use opentelemetry_proto::tonic::trace::v1::Span;

use super::test::AttributeTest;
use super::{Match, Selection, Verdict};
use crate::tree::{Branch, Item, ItemRef, Root};
use crate::value::Read;

impl Selection {
    /// What is known of what is below a resource.
    pub fn root(&self, root: &impl Root) -> Verdict {
        self.narrow(self.start(), |m| m.resource(root.attributes()))
    }

    /// What is known of what is below a scope.
    pub fn branch(&self, so_far: Verdict, branch: &impl Branch) -> Verdict {
        let (name, version) = branch.scope().map_or(("", ""), |scope| (scope.name.as_str(), scope.version.as_str()));
        self.narrow(so_far, |m| m.scope(name, version))
    }

    /// Whether a span or record is meant.
    pub fn item(&self, so_far: Verdict, item: &impl Item) -> bool {
        self.narrow(so_far, |m| m.item(item)).is_meant()
    }
}

impl Match {
    /// Whether a span or record fits.
    pub fn item(&self, item: &impl Item) -> bool {
        let fits = match item.kind() {
            ItemRef::Span(span) => self.span(span),
            ItemRef::Log(record) => {
                let body = Read::any(record.body.as_ref());
                let body = body.value();
                self.bodies.as_ref().is_none_or(|bodies| body.as_str().is_some_and(|body| bodies.fits(body)))
                    && self.severity_texts.as_ref().is_none_or(|texts| texts.fits(&record.severity_text))
                    && self.severity_number.is_none_or(|severity| severity.fits(record.severity_number))
            }
        };
        fits && AttributeTest::all(&self.attributes, item.attributes())
    }

    fn span(&self, span: &Span) -> bool {
        self.name(&span.name) && self.kinds.as_ref().is_none_or(|kinds| kinds.fits(span.kind().as_str_name()))
    }
}
