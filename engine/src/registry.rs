//! What a distribution contains: an explicit list of factories, looked up by kind and type.

use steadyline_component::{Factory, Kind};
use steadyline_config::ComponentId;

/// The factories of a distribution.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    factories: Vec<Factory>,
    elsewhere: &'static [Elsewhere],
}

/// Types that other collectors have and this one has not: (kind, types, what to do instead).
pub type Elsewhere = (Kind, &'static [&'static str], &'static str);

impl Registry {
    /// A registry of these factories.
    pub fn new(factories: impl IntoIterator<Item = Factory>) -> Registry {
        Registry { factories: factories.into_iter().collect(), elsewhere: &[] }
    }

    /// Adds what to say of types that are known from elsewhere.
    pub fn with_elsewhere(self, elsewhere: &'static [Elsewhere]) -> Registry {
        Registry { elsewhere, ..self }
    }

    /// What to do instead of a component of this type, which is known from elsewhere.
    pub fn instead_of(&self, kind: Kind, type_name: &str) -> Option<&'static str> {
        let known = self.elsewhere.iter().find(|(of, types, _)| *of == kind && types.contains(&type_name));
        known.map(|(_, _, advice)| *advice)
    }

    /// All factories, in the order of the list.
    pub fn iter(&self) -> impl Iterator<Item = &Factory> {
        self.factories.iter()
    }

    /// The factory of a type or one of its aliases.
    pub fn find(&self, kind: Kind, type_name: &str) -> Option<&Factory> {
        self.of(kind).find(|f| f.spec.name == type_name || f.spec.aliases.contains(&type_name))
    }

    /// The factories of one kind.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &Factory> {
        self.factories.iter().filter(move |factory| factory.kind == kind)
    }

    /// Every spelling of every type of one kind.
    pub fn names(&self, kind: Kind) -> impl Iterator<Item = &'static str> {
        self.of(kind).flat_map(|f| std::iter::once(f.spec.name).chain(f.spec.aliases.iter().copied()))
    }

    /// The factory that makes the component of this id.
    pub fn of_id(&self, kind: Kind, id: &ComponentId) -> Option<&Factory> {
        self.find(kind, id.type_name())
    }
}
