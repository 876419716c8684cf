//! Which column is the id, the text, the second text and the label.

use crate::config::{DataConfig, HasHeader};
use crate::error::Problem;

use super::problems::{listed, quoted};

/// The names that are looked for, best first, upper or lower case, where no key says which.
const TEXT_NAMES: &[&str] = &["text", "sentence", "sentence1"];
const TEXT_PAIR_NAMES: &[&str] = &["sentence2"];
const LABEL_NAMES: &[&str] = &["label"];
const ID_NAMES: &[&str] = &["id", "guid"];

/// The positions of the columns, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Columns {
    pub id: Option<usize>,
    pub text: usize,
    pub text_pair: Option<usize>,
    /// None only where labels are not needed.
    pub label: Option<usize>,
    pub true_label: Option<usize>,
}

/// Where a file's columns get their names from.
#[derive(Clone, Copy)]
pub(super) enum Names<'a> {
    /// The cells of the header.
    Header(&'a [String]),
    /// The keys of a JSON object: these have names but no positions.
    Keys(&'a [String]),
    /// Nowhere; the cells are the first example's.
    Unnamed(&'a [String]),
}

/// Whether the first row, `cells`, names the columns.
///
/// When the config leaves it to the file, it does when one of its cells is `label` or a
/// column name that the config gives, or, where labels are not needed, a text column's name.
pub(super) fn is_header(cells: &[String], config: &DataConfig) -> bool {
    match config.has_header {
        HasHeader::Yes => true,
        HasHeader::No => false,
        HasHeader::Auto => cells.iter().any(|cell| {
            LABEL_NAMES
                .iter()
                .chain(TEXT_NAMES.iter().filter(|_| config.without_labels))
                .any(|name| cell.eq_ignore_ascii_case(name))
                || given_names(config).any(|name| cell == name)
        }),
    }
}

/// Whether the columns of `text`, separated by commas, are known from its first line or from
/// the config.
pub(super) fn has_named_columns(text: &str, config: &DataConfig) -> bool {
    let cells = text.lines().next().unwrap_or_default().split(',');
    let cells: Vec<String> = cells.map(|cell| cell.trim().to_owned()).collect();
    config.text_column_id.is_some() || is_header(&cells, config)
}

fn given_names(config: &DataConfig) -> impl Iterator<Item = &String> {
    [
        &config.label_column,
        &config.text_column,
        &config.text_pair_column,
        &config.id_column,
        &config.true_label_column,
    ]
    .into_iter()
    .flatten()
    .chain(&config.option_columns)
}

/// Finds the columns: by the config's keys, else by their names, else, without a header,
/// by their number: three are id, text and label, two are text and label.
///
/// The column of true labels may be missing: only a training set needs it.
///
/// # Errors
/// All columns that cannot be found, as problems without a place.
pub(super) fn resolve(names: Names, config: &DataConfig) -> Result<Columns, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut keep = |found: Result<Option<usize>, Problem>| {
        found.unwrap_or_else(|problem| {
            problems.push(problem);
            None
        })
    };
    let text_key = ("text_column", config.text_column.as_deref());
    let text_position = ("text_column_id", config.text_column_id);
    let text_given = keep(given(names, text_position, text_key));
    let text = text_given.or_else(|| keep(by_name(names, TEXT_NAMES)));
    let label_key = ("label_column", config.label_column.as_deref());
    let label_position = ("label_column_id", config.label_column_id);
    let label_given = keep(given(names, label_position, label_key));
    let label = label_given.or_else(|| keep(by_name(names, LABEL_NAMES)));
    let pair_key = ("text_pair_column", config.text_pair_column.as_deref());
    let pair_given = keep(given(names, ("", None), pair_key));
    let pair = pair_given.or_else(|| {
        // Who names the text column alone wants that text alone.
        let is_half = text_given.is_none()
            && text.is_some_and(|text| cells_of(names)[text].eq_ignore_ascii_case("sentence1"));
        is_half
            .then(|| keep(by_name(names, TEXT_PAIR_NAMES)))
            .flatten()
    });
    let id_key = ("id_column", config.id_column.as_deref());
    let id_given = keep(given(names, ("", None), id_key));
    let id = id_given.or_else(|| keep(by_name(names, ID_NAMES)));
    let true_label = config.true_label_column.as_ref();
    let true_label = true_label.and_then(|true_label| {
        let has_names = !matches!(names, Names::Unnamed(_));
        let found = only(cells_of(names), true_label, |cell| cell == true_label);
        has_names.then(|| keep(found)).flatten()
    });
    if !problems.is_empty() {
        return Err(problems);
    }

    let (text_by_number, label_by_number) = match names {
        Names::Unnamed(cells) if cells.len() == 3 => (Some(1), Some(2)),
        Names::Unnamed(cells) if cells.len() == 2 => (Some(0), Some(1)),
        Names::Unnamed(cells) if cells.len() == 1 => (Some(0), None),
        _ => (None, None),
    };
    let label = label.or(label_by_number);
    let Some(text) = text.or(text_by_number) else {
        return Err(not_found(names, false, label.is_some()));
    };
    if label.is_none() && !config.without_labels {
        return Err(not_found(names, true, false));
    }
    let first_is_id =
        matches!(names, Names::Unnamed(cells) if cells.len() == 3) && (text, label) == (1, Some(2));
    // A text or label column that happens to be called `id` holds no ids.
    let id = id
        .filter(|&id| id_given.is_some() || (id != text && Some(id) != label))
        .or(first_is_id.then_some(0));
    let columns = Columns {
        id,
        text,
        text_pair: pair,
        // What is in a column that is not needed must not stop anybody.
        label: label.filter(|_| !config.without_labels),
        true_label,
    };
    check_distinct(columns)?;
    Ok(columns)
}

/// The position of the ids: as [`resolve`] finds it, or by its name alone where a text cannot be
/// found, which is of no matter here.
///
/// # Errors
/// An id column that the config names and that is not there.
pub(super) fn id(names: Names, config: &DataConfig) -> Result<Option<usize>, Problem> {
    if let Ok(columns) = resolve(names, config) {
        return Ok(columns.id);
    }
    let key = ("id_column", config.id_column.as_deref());
    match given(names, ("", None), key)? {
        Some(id) => Ok(Some(id)),
        None => by_name(names, ID_NAMES),
    }
}

/// Whether the first row, `cells`, names the columns, for somebody who needs the ids alone: a
/// cell that is an id column's name says so, too.
pub(super) fn is_header_with_ids(cells: &[String], config: &DataConfig) -> bool {
    let has_id = || {
        let mut names = ID_NAMES.iter();
        names.any(|name| cells.iter().any(|cell| cell.eq_ignore_ascii_case(name)))
    };
    is_header(cells, config) || (config.has_header == HasHeader::Auto && has_id())
}

/// The positions of the columns that are to be kept, in the config's order; none for those
/// that the file lacks.
pub(super) fn extra(names: Names, config: &DataConfig) -> Vec<Option<usize>> {
    let find = |name: &String| match names {
        Names::Unnamed(cells) => name.parse().ok().filter(|position| *position < cells.len()),
        Names::Header(cells) | Names::Keys(cells) => cells.iter().position(|cell| cell == name),
    };
    config.extra_columns.iter().map(find).collect()
}

/// The column that the config gives by position or, if it does not, by name.
fn given(
    names: Names,
    (position_key, position): (&str, Option<usize>),
    (name_key, name): (&str, Option<&str>),
) -> Result<Option<usize>, Problem> {
    let has_positions = !matches!(names, Names::Keys(_));
    if let Some(position) = position.filter(|_| has_positions) {
        let width = cells_of(names).len();
        if position < width {
            return Ok(Some(position));
        }
        let message = format!(
            "`data.{position_key}: {position}` is not a column: the file has {width} columns, counted from 0"
        );
        return Err(Problem::new(message));
    }
    let Some(name) = name else { return Ok(None) };
    let is_named = !matches!(names, Names::Unnamed(_));
    if is_named && let Some(position) = only(cells_of(names), name, |cell| cell == name)? {
        return Ok(Some(position));
    }
    let name = quoted(name);
    Err(match names {
        Names::Header(cells) => Problem::new(format!(
            "no column {name} for `data.{name_key}`; the columns are {}",
            listed(cells)
        )),
        Names::Keys(keys) => Problem::new(format!(
            "no key {name} for `data.{name_key}`; the keys are {}",
            listed(keys)
        )),
        Names::Unnamed(cells) => Problem::new(format!(
            "no column {name} for `data.{name_key}`; the first row is {}",
            listed(cells)
        ))
        .hint("a column has a name only if the first row is a header (`data.has_header`); else give `data.text_column_id` and `data.label_column_id`"),
    })
}

/// The column that has the first of `names_to_try` that any has.
fn by_name(names: Names, names_to_try: &[&str]) -> Result<Option<usize>, Problem> {
    if matches!(names, Names::Unnamed(_)) {
        return Ok(None);
    }
    for name in names_to_try {
        let found = only(cells_of(names), name, |cell| {
            cell.eq_ignore_ascii_case(name)
        })?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The one cell that `is_it`.
fn only(
    cells: &[String],
    name: &str,
    is_it: impl Fn(&str) -> bool,
) -> Result<Option<usize>, Problem> {
    let mut positions = (0..cells.len()).filter(|&i| is_it(&cells[i]));
    let first = positions.next();
    if positions.next().is_some() {
        let message = format!("two columns are called {}", quoted(name));
        return Err(Problem::new(message));
    }
    Ok(first)
}

fn cells_of(names: Names<'_>) -> &[String] {
    let (Names::Header(cells) | Names::Keys(cells) | Names::Unnamed(cells)) = names;
    cells
}

fn not_found(names: Names, has_text: bool, has_label: bool) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Names::Unnamed(cells) = names {
        let (what, hint) = match (has_text, has_label) {
            (false, false) => (
                "which is the text and which the label",
                "`data.text_column_id` and `data.label_column_id`",
            ),
            (false, true) => ("which is the text", "`data.text_column_id`"),
            _ => ("which is the label", "`data.label_column_id`"),
        };
        let message = format!(
            "{} columns without a header: {what} is not known",
            cells.len()
        );
        let hint = format!("set {hint} (counted from 0), or give the file a header");
        return vec![Problem::new(message).hint(hint)];
    }
    for (has, what, names_to_try) in [
        (has_text, "text", TEXT_NAMES),
        (has_label, "label", LABEL_NAMES),
    ] {
        if has {
            continue;
        }
        let (column, columns) = match names {
            Names::Keys(_) => ("key", "keys"),
            _ => ("column", "columns"),
        };
        let tried: Vec<String> = names_to_try
            .iter()
            .map(|name| format!("`{name}`"))
            .collect();
        let message = format!(
            "no {what} {column} ({}); the {columns} are {}",
            tried.join(" or "),
            listed(cells_of(names)),
        );
        problems.push(Problem::new(message).hint(format!("set `data.{what}_column` to its name")));
    }
    problems
}

/// Whether no column is two things at once.
fn check_distinct(columns: Columns) -> Result<(), Vec<Problem>> {
    let roles = [
        ("id", columns.id),
        ("text", Some(columns.text)),
        ("label", columns.label),
        ("second text", columns.text_pair),
        ("true label", columns.true_label),
    ];
    for (i, (one, position)) in roles.iter().enumerate() {
        let same = |(_, other): &&(&str, Option<usize>)| position.is_some() && other == position;
        if let Some((other, _)) = roles[i + 1..].iter().find(same) {
            let message = format!("the {one} and the {other} cannot be the same column");
            return Err(vec![Problem::new(message)]);
        }
    }
    Ok(())
}
