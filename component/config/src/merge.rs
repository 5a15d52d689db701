//! Several configs become one: maps deeply, in order; lists and scalars are replaced; `null` takes the place of what was there.

use crate::node::{Kind, Node};

/// Lays `over` on top of `base`.
pub fn merge(base: Node, over: Node) -> Node {
    match (base.kind, over.kind) {
        (Kind::Map(mut entries), Kind::Map(later)) => {
            for entry in later {
                match entries.iter_mut().find(|earlier| earlier.key.text == entry.key.text) {
                    Some(earlier) => {
                        let below = std::mem::replace(&mut earlier.value, placeholder(&entry.value));
                        earlier.value = merge(below, entry.value);
                        earlier.key = entry.key;
                    }
                    None => entries.push(entry),
                }
            }
            Node {
                kind: Kind::Map(entries),
                text: None,
                place: base.place,
                origin: base.origin,
                key_place: over.key_place,
            }
        }
        (_, kind) => Node { kind, ..over },
    }
}

fn placeholder(like: &Node) -> Node {
    Node { kind: Kind::Null, text: None, place: like.place.clone(), origin: like.origin.clone(), key_place: None }
}
