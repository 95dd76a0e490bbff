//! Each bound lets through what is as large as it says, and nothing larger.

use super::*;

fn leb(mut value: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let more = value > 0x7f;
        bytes.push((value & 0x7f) as u8 | if more { 0x80 } else { 0 });
        value >>= 7;
        if !more {
            return bytes;
        }
    }
}

fn module(id: u8, section: &[u8]) -> Vec<u8> {
    [b"\0asm\x01\0\0\0", &[id][..], &leb(section.len() as u32), section].concat()
}

fn code(body: &[u8]) -> Vec<u8> {
    module(10, &[&[1][..], &leb(body.len() as u32), body].concat())
}

fn component(sections: &[(u8, &[u8])]) -> Vec<u8> {
    let section =
        |(id, section): &(u8, &[u8])| [&[*id][..], &leb(section.len() as u32), section].concat();
    let sections: Vec<u8> = sections.iter().flat_map(section).collect();
    [&b"\0asm\x0d\0\x01\0"[..], &sections].concat()
}

fn too_much(module: &[u8]) -> Option<String> {
    match check(&mut &module[..]) {
        Err(Early::TooMuch(words)) => Some(words),
        _ => None,
    }
}

#[track_caller]
fn assert_bounded(at_most: &[u8], one_more: &[u8], words: &str) {
    assert_eq!(too_much(at_most), None, "{words}");
    let found = too_much(one_more).expect(words);
    assert!(found.contains(words), "{found}");
}

#[test]
fn what_is_declared_is_counted_before_it_is_read() {
    for (id, most, words) in [
        (1, MOST_TYPES, "30001 types; the most that is compiled is 30000"),
        (2, MOST_IMPORTS, "imports"),
        (3, MOST_FUNCTIONS, "500001 functions"),
        (6, MOST_GLOBALS, "globals"),
        (7, MOST_EXPORTS, "exports"),
        (9, MOST_SEGMENTS, "element segments"),
        (10, MOST_FUNCTIONS, "functions"),
        (11, MOST_SEGMENTS, "data segments"),
    ] {
        assert_bounded(&module(id, &leb(most)), &module(id, &leb(most + 1)), words);
    }
}

#[test]
fn a_section_and_a_body_have_a_largest_size() {
    let sized = |id: u8, size: u64| [b"\0asm\x01\0\0\0", &[id][..], &leb(size as u32)].concat();
    for (id, most, words) in [
        (2, MOST_DECLARATION_BYTES, "bytes of imports"),
        (9, MOST_ELEMENT_BYTES, "bytes of element segments"),
    ] {
        assert_bounded(&sized(id, most), &sized(id, most + 1), words);
    }
    let body = |size: u64| [&sized(10, 100)[..], &[1], &leb(size as u32)].concat();
    assert_bounded(&body(MOST_BODY_BYTES), &body(MOST_BODY_BYTES + 1), "bytes in function 0");
}

#[test]
fn types_in_groups_are_counted_each_for_itself() {
    let one = [0x5f, 0];
    let grouped = |groups: u32, members: u32| {
        let group = [&[0x4e][..], &leb(members), &one.repeat(members as usize)].concat();
        module(1, &[leb(groups), group.repeat(groups as usize)].concat())
    };
    assert_bounded(&grouped(1, MOST_TYPES), &grouped(1, MOST_TYPES + 1), "30001 types");
    assert_bounded(&grouped(100, MOST_TYPES / 100), &grouped(101, MOST_TYPES / 100), "types");
}

/// What a module declares is kept in the host's memory: types, their fields, names, lists of functions.
#[test]
fn what_the_host_would_keep_is_bounded_whatever_it_is() {
    const WORDS: &str = "declarations (types, names, lists of functions)";
    let types = |count: u32| {
        let one = [&[0x5f][..], &leb(16), &[0x7f, 0].repeat(16)].concat();
        module(1, &[leb(count), one.repeat(count as usize)].concat())
    };
    assert_bounded(&types(15_000), &types(16_000), WORDS);
    let named = |id: u8, bytes: usize| module(id, &[leb(1), vec![0; bytes]].concat());
    assert_bounded(&named(2, 7 << 20), &named(2, 8 << 20), "imports");
    assert_bounded(&named(9, 800_000), &named(9, 900_000), WORDS);
    let wide = |bytes: usize| component(&[(11, &vec![0; bytes])]);
    assert_bounded(&wide(400_000), &wide(500_000), WORDS);
}

#[test]
fn modules_of_a_component_count_together_and_may_be_as_large_as_any() {
    let (half, large) = (leb(MOST_GLOBALS / 2), vec![0; 40 << 20]);
    let (half, large) = (module(6, &half), module(0, &large));
    let imports = (10, &[0][..]);
    let two = component(&[imports, (1, &half), (1, &large), (1, &half)]);
    let three = component(&[imports, (1, &half), (4, &component(&[(1, &half)])), (1, &half)]);
    assert_bounded(&two, &three, "150000 globals");
}

#[test]
fn components_are_nested_only_so_deep() {
    let nested = |depth: u32| (0..depth).fold(component(&[]), |inner, _| component(&[(4, &inner)]));
    assert_bounded(&nested(MOST_DEPTH), &nested(MOST_DEPTH + 1), "components within each other");
}

#[test]
fn locals_are_summed_over_their_groups_and_over_all_functions() {
    let locals = |groups: &[u32]| {
        let groups_of = groups.iter().flat_map(|count| [&leb(*count)[..], &[0x7f]].concat());
        code(
            &leb(groups.len() as u32)
                .into_iter()
                .chain(groups_of)
                .chain([0x0b])
                .collect::<Vec<_>>(),
        )
    };
    assert_bounded(&locals(&[1, MOST_LOCALS - 1]), &locals(&[1, MOST_LOCALS]), "locals in");
    assert_bounded(&locals(&[1]), &locals(&[u32::MAX, u32::MAX]), "locals in");
    let body = [&[1][..], &leb(MOST_LOCALS), &[0x7f, 0x0b]].concat();
    let many = |count: u32| {
        let one = [&leb(body.len() as u32)[..], &body].concat();
        module(10, &[leb(count), one.repeat(count as usize)].concat())
    };
    assert_bounded(&many(500), &many(501), "locals in all functions together");
}

#[test]
fn blocks_and_switches_are_counted() {
    let nested = |depth: u32| {
        code(
            &[&[0][..], &[0x02, 0x40].repeat(depth as usize), &[0x0b].repeat(depth as usize + 1)]
                .concat(),
        )
    };
    assert_bounded(&nested(MOST_NESTING), &nested(MOST_NESTING + 1), "nested blocks");
    let flat = code(&[&[0][..], &[0x02, 0x40, 0x0b].repeat(60_000), &[0x0b]].concat());
    assert_eq!(too_much(&flat), None, "blocks beside each other are not nested");
    let switch = |targets: u32| {
        code(
            &[&[0, 0x41, 0, 0x0e][..], &leb(targets), &vec![0; targets as usize + 1], &[0x0b]]
                .concat(),
        )
    };
    assert_bounded(&switch(MOST_TARGETS), &switch(MOST_TARGETS + 1), "targets of one switch");
}

#[test]
fn what_is_broken_is_left_to_the_compiler() {
    for bytes in [
        &b"\0asm"[..],
        b"\0asm\x01\0\0\0\x01\x05",
        b"\0asm\x01\0\0\0\x0a\x04\x01\x02\x00\xff",
        b"\0asm\x01\0\0\0\x01\xff\xff\xff\xff\xff",
        b"\0asm\x01\0\0\0\x03\xff\xff\xff\xff\x1f",
        b"\0asm\x0d\0\x01\0\x01\x09\0asm\x01\0\0\0",
    ] {
        assert!(matches!(check(&mut &bytes[..]), Err(Early::Broken)), "{bytes:?}");
    }
}
