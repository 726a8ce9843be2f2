//! That no text makes the check panic, and that whatever it accepts keeps the invariants of its
//! types.

use evenkeel::cli::check::describe;
use evenkeel::config::{NodeName, parse};
use proptest::prelude::*;

use super::accepts::{KEYS, SHIPPED, uncommented};
use super::invariants::check_text;

/// What could stand for any value.
fn odd_value() -> impl Strategy<Value = String> {
    let known = proptest::sample::select(vec![
        "true",
        "false",
        "~",
        "0",
        "1",
        "-1",
        "255",
        "256",
        "4294967296",
        "1.5",
        ".nan",
        "1ms",
        "1s",
        "40.95s",
        "41s",
        "24h",
        "99999999999999999h",
        "192.0.2.1",
        "192.0.2.1/24",
        "\"::1\"",
        "\"[::1]:80\"",
        "\"fe80::1/64\"",
        "[]",
        "{}",
        "[1, [2]]",
        "{lb1: 1}",
        "{lb1: 1, lb2: 300}",
        "{delay: 1s}",
        "{password: s3cret}",
        "&a [*a]",
        "!!str 1",
        "web",
        "\"\"",
    ]);
    prop_oneof![
        3 => known.prop_map(ToOwned::to_owned),
        1 => any::<u32>().prop_map(|number| number.to_string()),
        1 => "[a-z0-9./:-]{0,8}",
    ]
}

/// Changes the file as somebody would by mistake: a value, an indentation, a line lost, doubled or
/// moved.
fn change_line(lines: &mut Vec<String>, at: usize, kind: u8, value: &str) {
    let Some(line) = lines.get_mut(at) else {
        return;
    };
    match kind {
        0..=2 => {
            let key = line.split_once(": ").map_or(line.as_str(), |(key, _)| key);
            *line = format!("{}: {value}", key.trim_end_matches(':'));
        }
        3 => line.insert_str(0, "  "),
        4 => {
            lines.remove(at);
        }
        _ => {
            let line = line.clone();
            lines.insert(at / 2, line);
        }
    }
}

/// Letters that matter in YAML and in our values, more often than others.
fn odd_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        proptest::sample::select(KEYS).prop_map(|key| format!("{key}: ")),
        proptest::sample::select(vec![
            "\n",
            "\n  ",
            "\n    ",
            "\n- ",
            "{",
            "}",
            "[",
            "]",
            ", ",
            ": ",
            "&a ",
            "*a",
            "!t ",
            "? ",
            "\"",
            "'",
            "|\n",
            ">\n",
            "#",
            "---\n",
            "...\n",
            "<<: ",
            "~",
            "\t",
            "\r",
            "\u{85}",
            "\u{2028}",
            "\u{feff}",
            "%YAML 1.2\n",
            "192.0.2.1/24",
            "\"[::1]:80\"",
            "fe80::1/64",
            "0x7",
            "1e9",
            ".nan",
            ".inf",
            "10ms",
            "99999999999999999999999999999999999999999",
            "-1",
        ])
        .prop_map(ToOwned::to_owned),
        ".{0,6}",
        "\\PC{0,6}",
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics_and_the_answer_is_always_the_same(text in odd_text()) {
        check_text(&text);
    }

    #[test]
    fn no_other_value_or_order_of_a_shipped_file_panics(
        file in 0..SHIPPED.len(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), 0..6_u8, odd_value()), 1..4),
    ) {
        let text = if file == 0 { uncommented() } else { SHIPPED[file].1.to_owned() };
        let mut lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
        for (index, kind, value) in changes {
            change_line(&mut lines, index.index(text.lines().count()), kind, &value);
        }
        check_text(&lines.join("\n"));
    }

    #[test]
    fn no_mutation_of_a_shipped_file_panics(
        file in 0..SHIPPED.len(),
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), 0usize..12, odd_text()), 1..4),
    ) {
        let mut chars: Vec<char> =
            if file == 0 { uncommented().chars().collect() } else { SHIPPED[file].1.chars().collect() };
        for (index, len, insert) in cuts {
            let at = index.index(chars.len() + 1);
            let end = (at + len).min(chars.len());
            chars.splice(at..end, insert.chars());
        }
        let text: String = chars.into_iter().collect();
        check_text(&text);
        if let Ok(config) = parse("lb.yaml", &text, NodeName::Given("lb2")) {
            prop_assert!(!describe(&config).is_empty());
        }
    }
}
