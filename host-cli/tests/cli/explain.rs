//! `sandtrap explain`: a page for every verdict there is.

use sandtrap::Label;

use crate::kit::{finish, sandtrap};

#[test]
fn every_label_has_a_page_that_begins_with_it() {
    for label in Label::ALL {
        let ran = finish(sandtrap(["explain", label.as_str()]));
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{label}");
        assert!(ran.text().starts_with(&format!("{label} (exit code: ")), "{}", ran.text());
        for heading in ["How it is seen", "What usually causes it", "What to try"] {
            assert!(ran.text().contains(heading), "{label}: {}", ran.text());
        }
    }
}

#[test]
fn without_a_label_all_of_them_are_listed() {
    let ran = finish(sandtrap(["explain"]));
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    for label in Label::ALL {
        let rows = ran.text().lines().filter(|row| row.split(' ').next() == Some(label.as_str()));
        assert_eq!(rows.count(), 1, "{label}");
    }
}

#[test]
fn the_list_and_the_pages_agree_about_exit_codes() {
    let list = finish(sandtrap(["explain"]));
    for (label, code) in [
        ("completed", "0"),
        ("crashed.out-of-memory", "137"),
        ("crashed.stack-overflow", "139"),
        ("stopped.wall-time", "124"),
        ("unstarted.not-found", "127"),
    ] {
        let row = list.text().lines().find(|row| row.starts_with(&format!("{label} ")));
        let found = row.and_then(|row| row.split_whitespace().nth(1));
        assert_eq!(found, Some(code), "{label}");
        let page = finish(sandtrap(["explain", label]));
        assert!(page.text().starts_with(&format!("{label} (exit code: {code})\n")));
    }
}

#[test]
fn what_is_no_label_is_refused_and_near_misses_are_named() {
    for (text, words) in [
        ("crashed.stak-overflow", "crashed.stack-overflow"),
        ("wall-time", "stopped.wall-time"),
        ("zzzzzz", "`sandtrap explain` lists them all"),
    ] {
        let ran = finish(sandtrap(["explain", text]));
        ran.assert_refused(2);
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
    }
}
