//! The word that somebody probably meant.

/// The candidate that is the fewest typing slips away from `word`, if it is close enough to
/// be what was meant: at most one slip in three letters. Case, and `-` for `_`, do not count.
///
/// A slip is a letter too many, too few, wrong, or two neighbours swapped. Among candidates
/// at the same distance the first wins.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let fold = |text: &str| text.to_lowercase().replace('-', "_");
    let word = fold(word);
    let allowed = word.chars().count().max(3) / 3;
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&word, &fold(candidate)), candidate))
        .filter(|&(distance, _)| distance <= allowed)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// The candidates by how few slips they are away from `word`; of equally near ones in their order.
pub fn by_nearness<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let fold = |text: &str| text.to_lowercase().replace('-', "_");
    let word = fold(word);
    let mut sorted: Vec<&str> = candidates.into_iter().collect();
    sorted.sort_by_key(|candidate| strsim::osa_distance(&word, &fold(candidate)));
    sorted
}

/// `a`, `b` or `c`, each in backticks.
pub(super) fn alternatives<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    listed(words, "or")
}

/// Words in backticks, with `conjunction` before the last.
pub(super) fn listed<'a>(words: impl IntoIterator<Item = &'a str>, conjunction: &str) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} {conjunction} {last}", others.join(", ")),
    }
}
