//! Every row that was asked for has a test that names it, and the page says which.

use std::collections::BTreeSet;

use sandtrap_tests::acceptance::{ids, names, page, place, rows, tests};

#[test]
fn every_row_has_a_test() {
    let tests = tests();
    let bare: Vec<&str> =
        rows().iter().filter(|row| !tests.contains_key(row.id)).map(|row| row.id).collect();
    assert_eq!(bare, Vec::<&str>::new(), "rows without a test");
}

#[test]
fn every_test_that_names_a_row_names_one_that_is_there() {
    let known: BTreeSet<&str> = rows().iter().map(|row| row.id).collect();
    assert_eq!(known.len(), rows().len(), "an id is there twice");
    let tests = tests();
    let unknown: Vec<_> = tests.iter().filter(|(id, _)| !known.contains(&***id)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn the_page_is_what_the_tests_say() {
    let written = std::fs::read_to_string(place()).unwrap_or_default();
    assert!(written == page(), "write it anew: cargo run -p sandtrap-tests --bin acceptance");
}

#[test]
fn a_test_is_found_by_its_name_and_its_rows_by_their_ids() {
    let text = "#[test]\nfn b4_i19_x() {}\nfn b5_y() {}\n#[test]\n#[ignore = \"z\"]\nfn s1_z() {}";
    assert_eq!(names(text), ["b4_i19_x", "s1_z"]);
    for (name, expected) in [
        ("b4_i19_codes_are_b7", &["b4", "i19"][..]),
        ("b_4", &[]),
        ("a_test_of_s1", &[]),
        ("p10_s01", &["p10", "s1"]),
        ("b_s1", &[]),
        ("stops_s1", &[]),
    ] {
        assert_eq!(ids(name).collect::<Vec<_>>(), expected, "{name}");
    }
}
