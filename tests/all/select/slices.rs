//! Named subsets.

use enginora_rs::config::SelectorSpec;
use enginora_rs::data::Dataset;
use enginora_rs::select::slice_members;

use super::{dataset, no_map, run_on, selector};

/// Six examples with columns.
fn reviews() -> Dataset {
    let mut reviews = dataset(6);
    let texts = [
        ("a fine film", None),
        ("not  good,\tnot bad", None),
        ("", None),
        ("Noël", None),
        ("one", Some("two three not")),
        ("a b c d e f", None),
    ];
    for (example, (text, pair)) in reviews.examples.iter_mut().zip(texts) {
        text.clone_into(&mut example.text);
        example.text_pair = pair.map(str::to_owned);
    }
    let mut add = |name: &str, cells: [&str; 6]| {
        let cells = cells.map(|cell| (cell != "-").then(|| cell.to_owned()));
        reviews.extra.insert(name.to_owned(), cells.to_vec());
    };
    add("source", ["web", "print", " web ", "Web", "-", ""]);
    add("stars", ["1", "2.50", "-", "five", "4", "nan"]);
    add("3", ["true", "false", "true", "1", "0", "True"]);
    reviews
}

#[test]
fn a_slice_holds_the_examples_that_meet_all_its_conditions() {
    let reviews = reviews();
    for (slice, expected) in [
        ("{words: {max: 3}}", &[0, 2, 3][..]),
        ("{words: {min: 4, max: 4}}", &[1, 4]),
        ("{words: {min: 5}}", &[5]),
        ("{words: {max: 0}}", &[2]),
        // Code points, not bytes.
        ("{characters: {min: 1, max: 4}}", &[3]),
        ("{characters: {min: 16, max: 16}}", &[4]),
        ("{pattern: '\\bnot\\b'}", &[1, 4]),
        ("{pattern: '^$'}", &[2]),
        ("{pattern: '(?i)NO'}", &[1, 3, 4]),
        ("{pattern: not, words: {max: 3}}", &[]),
        ("{pattern: not, column: source, equals: print}", &[1]),
        ("{column: source, equals: web}", &[0, 2]),
        ("{column: source, in: [print, Web]}", &[1, 3]),
        ("{column: source, in: []}", &[]),
        ("{column: source, equals: ''}", &[5]),
        ("{column: stars, equals: 2.5}", &[1]),
        ("{column: stars, in: [1.0, five]}", &[0, 3]),
        ("{column: stars, min: 2}", &[1, 4]),
        ("{column: stars, max: 2.5}", &[0, 1]),
        ("{column: stars, min: 2.5, max: 2.5}", &[1]),
        ("{column: 3, equals: true}", &[0, 2]),
        ("{column: '3', equals: 1}", &[3]),
    ] {
        let slicing = selector(&format!(
            "{{name: slicing, args: {{slices: {{s: {slice}}}}}}}"
        ));
        let SelectorSpec::Slicing(slicing) = slicing else {
            panic!("{slicing:?}");
        };
        let members = slice_members(&slicing.slices[0], &reviews, &[0, 1, 2, 3, 4, 5]).unwrap();
        let members: Vec<usize> = (0..6).filter(|i| members[*i]).collect();
        assert_eq!(members, expected, "{slice}");
    }
}

#[test]
fn everything_is_taken_unless_slices_are_to_be_kept() {
    let slices = "slices: {negated: {pattern: not}, empty: {words: {max: 0}}, web: {column: source, equals: web}}";
    for (more, expected, report) in [
        (
            "",
            &[0, 1, 2, 3, 4, 5][..],
            "slicing: 6 of 6 examples; negated 2, empty 1, web 2",
        ),
        (
            ", keep: [web]",
            &[0, 2],
            "slicing: 2 of 6 examples; negated 2, empty 1, web 2",
        ),
        (
            ", keep: [negated, empty]",
            &[1, 2, 4],
            "slicing: 3 of 6 examples; negated 2, empty 1, web 2",
        ),
        (
            ", list_of_slicing_functions: [short], result_file: slices.pickle",
            &[0, 1, 2, 3, 4, 5],
            "slicing: 6 of 6 examples; short 6, negated 2, empty 1, web 2",
        ),
    ] {
        let slicing = selector(&format!("{{name: slicing, args: {{{slices}{more}}}}}"));
        let mut reviews = reviews();
        let all = reviews.all();
        let selection = run_on(&[slicing], &mut reviews, all, &mut no_map).unwrap();
        assert_eq!(selection.subset.indices(), expected, "{more}");
        assert_eq!(selection.steps[0].report, report);
        let n_out = 6 - expected.len();
        assert_eq!(selection.dropped.len(), n_out);
    }
    let keep = selector(
        "{name: slicing, args: {slices: {a: {pattern: not}, b: {pattern: z}}, keep: [b, a]}}",
    );
    let mut reviews = reviews();
    let all = reviews.all();
    let selection = run_on(&[keep], &mut reviews, all, &mut no_map).unwrap();
    assert_eq!(&*selection.dropped[0].reason, "in none of the slices b, a");
}

/// `short` has fewer than 60 words and `long` more than 100; both are there where none is named.
#[test]
fn the_python_projects_slices_have_its_lengths() {
    let mut texts = dataset(100);
    for (example, n) in texts.examples.iter_mut().zip(30..) {
        example.text = "w ".repeat(n);
    }
    let all = texts.all();
    for (args, report) in [
        ("{}", "slicing: 100 of 100 examples; short 30, long 29"),
        (
            "{list_of_slicing_functions: [long]}",
            "slicing: 100 of 100 examples; long 29",
        ),
    ] {
        let slicing = selector(&format!("{{name: slicing, args: {args}}}"));
        let selection = run_on(&[slicing], &mut texts, all.clone(), &mut no_map).unwrap();
        assert_eq!(selection.steps[0].report, report);
    }
}

#[test]
fn a_column_that_the_file_lacks_is_an_error() {
    let slicing = selector("{name: slicing, args: {slices: {w: {column: sauce, equals: web}}}}");
    let mut reviews = reviews();
    let all = reviews.all();
    let error = run_on(
        &[SelectorSpec::Dummy, slicing],
        &mut reviews,
        all,
        &mut no_map,
    )
    .unwrap_err();
    let expected = "1.slices: the slice `w` goes by the column `sauce`, which `train.csv` does not have\n  hint: ";
    assert!(error.to_string().starts_with(expected), "{error}");
}
