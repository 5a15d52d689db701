//! "Did you mean": the candidate that is spelt most like a word, if any is near enough.

/// The candidate nearest to `word`, or `None` if none is near. Case, `-` and `_` do not count.
pub fn suggest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = normalise(word);
    let allowed = match plain.chars().count() {
        0..=1 => 0,
        2..=4 => 1,
        5..=8 => 2,
        _ => 3,
    };
    candidates
        .into_iter()
        .filter(|candidate| *candidate != word)
        .map(|candidate| (strsim::damerau_levenshtein(&plain, &normalise(candidate)), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn normalise(word: &str) -> String {
    // A word that is absurdly long is like nothing; comparing it would only take time.
    word.chars().take(80).filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let keys = ["endpoint", "timeout", "tls", "collection_interval"];
        let cases = [
            ("endpont", Some("endpoint")),
            ("TimeOut", Some("timeout")),
            ("collectionInterval", Some("collection_interval")),
            ("tsl", Some("tls")),
            ("x", None),
            ("headers", None),
            ("", None),
        ];
        for (word, expected) in cases {
            assert_eq!(suggest(word, keys), expected, "{word}");
        }
    }
}
