//! Grouping spans and records.
//! Items are moved, not copied; resources and scopes are copied once for each group.

use std::collections::HashMap;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use prost::Message;
use steadyline_attributes::tree::{Branch, Change, Item, Root};

use crate::{GroupByAttrs, put};

impl Change for GroupByAttrs {
    fn apply<R: Root>(&mut self, roots: &mut Vec<R>) -> bool {
        let before = (roots.len(), roots.iter().map(|root| root.branches().len()).sum::<usize>());
        let mut groups = Groups { roots: Vec::new(), index: HashMap::new(), branches: HashMap::new(), moves: false };
        for root in std::mem::take(roots) {
            groups.add(root, &self.keys);
        }
        let after = (groups.roots.len(), groups.branches.len());
        *roots = groups.roots;
        groups.moves || before != after
    }
}

struct Groups<R> {
    roots: Vec<R>,
    index: HashMap<Vec<u8>, usize>,
    /// By root and the identity of the scope.
    branches: HashMap<(usize, Vec<u8>), usize>,
    moves: bool,
}

impl<R: Root> Groups<R> {
    fn add(&mut self, mut root: R, keys: &[String]) {
        let branches = std::mem::take(root.branches_mut());
        // What becomes of this root's items, by what moves with them.
        let mut known: HashMap<Vec<u8>, usize> = HashMap::new();
        for mut branch in branches {
            let items = std::mem::take(branch.items_mut());
            let scope = scope_identity(&branch);
            for mut item in items {
                let moved = take(item.attributes_mut(), keys);
                self.moves |= !moved.is_empty();
                let mut identity = Vec::new();
                moved.iter().for_each(|pair| put(&mut identity, &pair.encode_to_vec()));
                let to = *known.entry(identity).or_insert_with(|| self.root(&root, moved));
                let list = self.roots[to].branches_mut();
                let at = *self.branches.entry((to, scope.clone())).or_insert_with(|| {
                    list.push(branch.clone());
                    list.len() - 1
                });
                list[at].items_mut().push(item);
            }
        }
    }

    /// The group of a resource with some attributes more.
    fn root(&mut self, shell: &R, moved: Vec<KeyValue>) -> usize {
        let merged = merged(shell.attributes(), &moved);
        let mut identity = vec![u8::from(shell.resource().is_some() || !moved.is_empty())];
        put(&mut identity, shell.schema_url().as_bytes());
        put_attributes(&mut identity, merged.iter());
        let next = self.roots.len();
        let root = *self.index.entry(identity).or_insert(next);
        if root == next {
            let mut group = shell.clone();
            if !moved.is_empty() {
                group.resource_mut().get_or_insert_default().attributes = merged;
            }
            self.roots.push(group);
        }
        root
    }
}

/// Takes the attributes of these keys out of a list, in the order of the keys.
fn take(attributes: &mut Vec<KeyValue>, keys: &[String]) -> Vec<KeyValue> {
    let mut moved = Vec::new();
    for key in keys {
        if let Some(at) = attributes.iter().position(|pair| pair.key == *key) {
            moved.push(attributes.remove(at));
        }
    }
    moved
}

fn merged(attributes: &[KeyValue], moved: &[KeyValue]) -> Vec<KeyValue> {
    let mut merged = attributes.to_vec();
    for pair in moved {
        match merged.iter_mut().find(|known| known.key == pair.key) {
            Some(known) => known.value.clone_from(&pair.value),
            None => merged.push(pair.clone()),
        }
    }
    merged
}

fn scope_identity(branch: &impl Branch) -> Vec<u8> {
    let mut identity = vec![u8::from(branch.scope().is_some())];
    put(&mut identity, branch.schema_url().as_bytes());
    if let Some(scope) = branch.scope() {
        put(&mut identity, scope.name.as_bytes());
        put(&mut identity, scope.version.as_bytes());
        put_attributes(&mut identity, scope.attributes.iter());
    }
    identity
}

/// The same for the same pairs in any order.
fn put_attributes<'a>(identity: &mut Vec<u8>, pairs: impl Iterator<Item = &'a KeyValue>) {
    let mut pairs: Vec<&KeyValue> = pairs.collect();
    pairs.sort_by(|a, b| a.key.cmp(&b.key));
    put(identity, &(pairs.len() as u64).to_le_bytes());
    for pair in pairs {
        put(identity, &pair.encode_to_vec());
    }
}
