//! A large commit as parts that fit into items, and back.

use bytes::{Buf, BufMut, Bytes};
use steadyline_component::Change;

/// The bytes of a part beyond which another one is begun; with the longest value still well below an item's 400 KB.
const PART: usize = 100 * 1024;
const PUT: u8 = 1;
const DELETE: u8 = 2;

/// Changes as parts.
pub(crate) fn parts(changes: &[Change]) -> Vec<Vec<u8>> {
    let mut parts = Vec::new();
    let mut part = Vec::new();
    for change in changes {
        if part.len() >= PART {
            parts.push(std::mem::take(&mut part));
        }
        let (tag, key, value) = match change {
            Change::Put(key, value) => (PUT, key, Some(value)),
            Change::Delete(key) => (DELETE, key, None),
        };
        part.put_u8(tag);
        for bytes in std::iter::once(key).chain(value) {
            part.put_u32_le(bytes.len() as u32);
            part.extend_from_slice(bytes);
        }
    }
    parts.push(part);
    parts
}

/// The changes of a part; `None` if it is damaged.
pub(crate) fn changes(part: Vec<u8>) -> Option<Vec<Change>> {
    let mut rest = Bytes::from(part);
    let mut changes = Vec::new();
    while rest.has_remaining() {
        let tag = rest.get_u8();
        let key = take(&mut rest)?;
        changes.push(match tag {
            PUT => Change::Put(key, take(&mut rest)?),
            DELETE => Change::Delete(key),
            _ => return None,
        });
    }
    Some(changes)
}

fn take(rest: &mut Bytes) -> Option<Bytes> {
    let len = rest.try_get_u32_le().ok()? as usize;
    (rest.len() >= len).then(|| rest.split_to(len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_read_back_and_what_is_cut_off_is_seen() {
        let put = |n: usize| Change::Put(format!("key{n}").into(), vec![n as u8; 50_000 + n].into());
        let all: Vec<Change> = (0..20).map(put).chain([Change::Delete("gone".into())]).collect();
        let parts = parts(&all);
        assert!(parts.len() > 5 && parts.iter().all(|part| part.len() < 200 * 1024));
        let back: Vec<Change> = parts.iter().flat_map(|part| changes(part.clone()).unwrap()).collect();
        assert_eq!(back, all);
        let part = &parts[0];
        assert!((1..part.len()).filter(|len| changes(part[..*len].to_vec()).is_some()).count() < 3);
        assert_eq!(changes(vec![9, 0, 0, 0, 0]), None);
    }
}
