//! Examples in groups of one colour and marker each: by a category, by how often they were
//! forgotten or learnt, or the mislabelled ones against the rest.

use std::collections::BTreeMap;

use super::classes::Marker;
use crate::map::Forgetfulness;

/// A group's name and look.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// What the legend says.
    pub name: String,
    pub(super) colour: &'static str,
    pub(super) marker: Marker,
    pub(super) is_raised: bool,
}

/// Groups, and the one that each example belongs to.
#[derive(Debug, Clone, PartialEq)]
pub struct Groups {
    /// In the legend's order.
    pub groups: Vec<Group>,
    /// For each example a position in `groups`.
    pub of: Vec<usize>,
}

/// The palette of Okabe and Ito (2008, "Color universal design") without its yellow, which is
/// hard to see on white; a wine of Tol's muted palette takes its place.
const CATEGORIES: [&str; MOST_CATEGORIES] = [
    "#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#882255", "#cc79a7", "#333333",
];

/// More categories than these are the largest ones and the rest.
const MOST_CATEGORIES: usize = 8;

const OTHER: &str = "#a5acb5";

/// The colour and marker of the category at this place of a list; 24 differ.
pub(super) fn look(place: usize) -> (&'static str, Marker) {
    let colour = CATEGORIES[place % CATEGORIES.len()];
    (colour, MARKERS[place % MARKERS.len()])
}

const MARKERS: [Marker; 6] = [
    Marker::Circle,
    Marker::TriangleUp,
    Marker::Square,
    Marker::Diamond,
    Marker::TriangleDown,
    Marker::Cross,
];

/// A group for each category in the order of their names, numbers by their size. Of more than
/// eight the seven with the most examples have groups, and all others one; of equally large
/// categories the first in the order.
pub fn categories(values: &[String]) -> Groups {
    let mut sizes: BTreeMap<&str, usize> = BTreeMap::new();
    for value in values {
        *sizes.entry(value).or_default() += 1;
    }
    let mut names: Vec<&str> = sizes.keys().copied().collect();
    // NaN is written like a number and has no order; it goes where its text would.
    let number = |name: &str| name.parse::<f64>().ok().filter(|x| !x.is_nan());
    if names
        .iter()
        .all(|name| name.is_empty() || number(name).is_some())
    {
        names.sort_by(|a, b| {
            let order = number(a).partial_cmp(&number(b));
            order.unwrap_or(std::cmp::Ordering::Equal)
        });
    }
    let n_categories = names.len();
    if n_categories > MOST_CATEGORIES {
        let mut by_size = names.clone();
        by_size.sort_by_key(|name| std::cmp::Reverse(sizes[name]));
        by_size.truncate(MOST_CATEGORIES - 1);
        names.retain(|name| by_size.contains(name));
    }
    let mut groups: Vec<Group> = (names.iter().enumerate())
        .map(|(i, name)| Group {
            name: match *name {
                "" => "(none)".to_owned(),
                name => name.to_owned(),
            },
            colour: CATEGORIES[i],
            marker: MARKERS[i % MARKERS.len()],
            is_raised: false,
        })
        .collect();
    if n_categories > names.len() {
        groups.push(Group {
            name: format!("{} others", n_categories - names.len()),
            colour: OTHER,
            marker: Marker::Circle,
            is_raised: false,
        });
    }
    let places: BTreeMap<&str, usize> = names.into_iter().zip(0..).collect();
    let of = values.iter().map(|value| {
        let place = places.get(value.as_str());
        place.copied().unwrap_or(places.len())
    });
    Groups {
        of: of.collect(),
        groups,
    }
}

/// Groups by how often an example was forgotten, or learnt: 1, 2, and more; those that never
/// were, by whether they were never, sometimes or always right. `correct_ratio` is the fraction of
/// the epochs in which an example was right; without it the last two are one group. The number
/// that our maps have for an example that was never learnt counts as never right. Means of
/// several runs go to the nearest whole number.
pub fn times(times: &[f64], correct_ratio: Option<&[f64]>) -> Groups {
    let looks: [(&str, &'static str, Marker); 7] = [
        ("never right", "#2b2b2b", Marker::Cross),
        ("0, sometimes right", "#2f7fbf", Marker::Square),
        ("0, always right", "#9dbfdc", Marker::Circle),
        ("0", "#9dbfdc", Marker::Circle),
        ("1", "#f0b32e", Marker::TriangleUp),
        ("2", "#dd6b17", Marker::Diamond),
        ("3 or more", "#a3123a", Marker::TriangleDown),
    ];
    let never_learnt = f64::from(Forgetfulness::NeverLearnt.exported());
    let of = times.iter().enumerate().map(|(i, times)| {
        let ratio = correct_ratio.map(|ratio| ratio[i]);
        match (times.round(), ratio) {
            (_, Some(0.0)) => 0,
            (times, _) if times >= never_learnt => 0,
            (times, _) if times >= 3.0 => 6,
            (times, _) if times >= 2.0 => 5,
            (times, _) if times >= 1.0 => 4,
            (_, Some(ratio)) if ratio >= 1.0 => 2,
            (_, Some(_)) => 1,
            (_, None) => 3,
        }
    });
    let groups = looks.into_iter().map(|(name, colour, marker)| Group {
        name: name.to_owned(),
        colour,
        marker,
        is_raised: false,
    });
    Groups {
        of: of.collect(),
        groups: groups.collect(),
    }
}

/// The examples to be seen, large and above all others, and the rest.
pub fn highlighted(is_highlighted: &[bool], name: &str, rest: &str) -> Groups {
    let group = |name: &str, colour, marker, is_raised| Group {
        name: name.to_owned(),
        colour,
        marker,
        is_raised,
    };
    Groups {
        groups: vec![
            group(name, "#d55e00", Marker::Diamond, true),
            group(rest, "#8fb3d1", Marker::Circle, false),
        ],
        of: is_highlighted.iter().map(|yes| usize::from(!yes)).collect(),
    }
}
