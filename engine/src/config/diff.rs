//! Whether two configs of one component say the same, after all expansion: what decides if it goes on through a reload.

use steadyline_config::{Kind, Node};

/// Whether two values read the same, wherever they stand. Scalars are compared as written too: `0123` and `123` are one
/// number and two texts.
pub fn same(a: &Node, b: &Node) -> bool {
    match (a.kind(), b.kind()) {
        (Kind::Null, Kind::Null) => true,
        (Kind::Seq(a), Kind::Seq(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Kind::Map(a), Kind::Map(other)) => {
            let same_in_b = |key: &str, value: &Node| b.get(key).is_some_and(|other| same(value, other));
            a.len() == other.len() && a.iter().all(|entry| same_in_b(&entry.key.text, &entry.value))
        }
        _ => a == b && a.text() == b.text(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is the failure it reports")]

    use steadyline_config::{Source, load};

    use super::*;

    fn node(text: &str, secret: &str) -> Node {
        let env = |name: &str| (name == "SECRET").then(|| secret.to_string());
        load(&[Source::inline("x.yaml", format!("x: {text}"))], &[], &env).0.unwrap().root.get("x").unwrap().clone()
    }

    #[test]
    fn what_is_said_counts_and_not_how_it_is_laid_out() {
        for (a, b, expected) in [
            ("{a: 1, b: [x, y]}", "\n  b:\n  - x\n  - 'y'\n  a: 1", true),
            ("{a: 1}", "{a: 1, b: }", false),
            ("[1, 2]", "[2, 1]", false),
            ("0123", "123", false),
            ("'123'", "123", false),
            ("{a: {b: 1.5}}", "{a: {b: 1.50}}", false),
            ("null", "", true),
        ] {
            assert_eq!(same(&node(a, ""), &node(b, "")), expected, "{a} and {b}");
        }
    }

    #[test]
    fn a_variable_that_changed_is_a_change_and_the_same_text_written_out_is_none() {
        let secret = "{token: '${env:SECRET}'}";
        assert!(same(&node(secret, "one"), &node(secret, "one")));
        assert!(!same(&node(secret, "one"), &node(secret, "two")));
        assert!(same(&node(secret, "one"), &node("{token: one}", "")));
    }
}
