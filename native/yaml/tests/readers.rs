//! The reader of block style by line and the full one agree; budgets hold; an error costs one document.

use roadstead_yaml::{Document, Limits, load, positions};

const LIMITS: Limits = Limits { max_depth: 10, max_aliases: 20, max_scalar: 40, max_bytes: 200 };

fn jsons(text: &str) -> Vec<Result<String, String>> {
    let json = |document: Document| match document.json {
        Ok(json) => Ok(String::from_utf8(json).expect("JSON is UTF-8")),
        Err(problem) => Err(format!("{}:{}: {}", problem.line, problem.column, problem.message)),
    };
    load(text.as_bytes(), &LIMITS).into_iter().map(json).collect()
}

fn only(text: &str) -> String {
    match jsons(text).as_slice() {
        [Ok(json)] => json.clone(),
        other => panic!("{text:?}: {other:?}"),
    }
}

fn refused(text: &str) -> String {
    match jsons(text).as_slice() {
        [Err(message)] => message.clone(),
        other => panic!("{text:?}: {other:?}"),
    }
}

/// Texts in the style that is read by line. A tag in front of the first node sends the same text through the full parser.
#[test]
fn reading_by_line_agrees_with_the_full_parser() {
    let texts = [
        "a: 1\nb: x y # c\nc: 'q' # c\nd: \"e\"\n",
        "a:\n- 1\n-\n- - 2\n  - 3\n- b: 4\n  c:\nd: 5",
        "a:\n    b:\n      - c: 1\n        d:\n        - e\n    f: g\nh:\n",
        "- a\n- b: c\n  d: e\n-   f: g\n    h: i\n-\n  j: k\n",
        "a: b#c\nd: e:f\ng: -1\nh: --\ni: http://x/y\nj: a'b\"c\n",
        "\n# c\na:\n\n  # c\n  b: 1\n# c\n\nc: 2",
        "on: y\n1: 0x10\n1.5: 08\nn/a: 1_000\n",
        "a: ''\nb: \"\"\nc: '#'\nd: \": \"\n",
        "a: é\nb: 'é'\n",
    ];
    for text in texts {
        let by_line = only(text);
        let in_full = only(&format!("--- !!any\n{text}"));
        assert_eq!(by_line, in_full, "{text:?}");
    }
}

#[test]
fn what_goes_on_in_the_next_line_is_not_cut() {
    assert_eq!(only("a: b\n  c\nd: e\n"), r#"{"a":"b c","d":"e"}"#);
    assert_eq!(only("- a\n  b\n- c\n"), r#"["a b","c"]"#);
    assert_eq!(only("- a\n  - b\n"), r#"["a - b"]"#);
    assert_eq!(only("a:\n  b\n  c\n"), r#"{"a":"b c"}"#);
    assert_eq!(only("a: 'b\n  c'\n"), r#"{"a":"b c"}"#);
    assert_eq!(only("a: |\n  b: c\n"), r#"{"a":"b: c\n"}"#);
    assert_eq!(only("a: {b: 1,\n c: 2}\n"), r#"{"a":{"b":1,"c":2}}"#);
    assert!(refused("a: b\n  c: d\n").starts_with("2:"));
    assert!(refused("a: b\n c\nd\n").starts_with("3:") || refused("a: b\n c\nd\n").starts_with("4:"));
}

#[test]
fn an_error_costs_one_document() {
    assert_eq!(
        jsons("a: 1\n---\nb: 1\nb: 2\n---\n\n---\nc: [\n--- \nd: 2"),
        [
            Ok(r#"{"a":1}"#.to_owned()),
            Err(r#"4:1: key "b" already set in map"#.to_owned()),
            jsons("\n\n\n\n\n\n\nc: [\n").remove(0),
            Ok(r#"{"d":2}"#.to_owned()),
        ]
    );
    let lines: Vec<_> = load(b"a: 1\n---\n---\n\nb: 1\n", &LIMITS).iter().map(|one| (one.index, one.line)).collect();
    assert_eq!(lines, [(0, 1), (2, 5)]);
}

#[test]
fn limits_are_exact_and_said() {
    assert_eq!(only(&format!("{}{}", "[".repeat(10), "]".repeat(10))).len(), 20);
    assert_eq!(refused(&format!("{}{}", "[".repeat(11), "]".repeat(11))), "1:11: nested deeper than 10 levels");
    assert_eq!(refused(&"- ".repeat(11)), "1:21: nested deeper than 10 levels");
    assert_eq!(only(&"x".repeat(40)).len(), 42);
    assert_eq!(refused(&format!("a: {}", "x".repeat(41))), "1:4: a scalar of more than 40 bytes");
    let aliases = |count: usize| format!("a: &a [1]\nb: [{}]", vec!["*a"; count].join(","));
    assert!(only(&aliases(10)).ends_with(",[1]]}"));
    assert_eq!(refused(&aliases(11)), "2:35: aliases add more than 20 nodes");
    let scalars = |count: usize| format!("[{}]", vec!["x".repeat(16); count].join(", "));
    assert_eq!(only(&scalars(10)).len(), 191);
    assert!(refused(&scalars(11)).ends_with("a document of more than 200 bytes of JSON"));
    let chain: String = (1..12).map(|n| format!("a{n}: &a{n} [*a{}]\n", n - 1)).collect();
    let wide = Limits { max_aliases: 1000, max_bytes: 10_000, ..LIMITS };
    let json = &load(format!("a0: &a0 []\n{chain}").as_bytes(), &wide)[0].json;
    assert!(json.as_ref().is_err_and(|problem| problem.message == "nested deeper than 10 levels"), "{json:?}");
}

#[test]
fn anchors_inside_a_merged_value_keep_their_value() {
    assert_eq!(only("<<: &x {a: &y [1], b: 2}\nc: *y\nd: *x\n"), r#"{"c":[1],"d":{"a":[1],"b":2},"a":[1],"b":2}"#);
    assert_eq!(
        only("- &x {a: 1}\n- <<: [*x, {a: \"}\\\"]\", c: '{'}]\n  b: 2\n"),
        r#"[{"a":1},{"b":2,"a":1,"c":"{"}]"#
    );
    assert_eq!(only("a: &x {<<: {b: 1}, c: 2}\nd: {<<: *x, b: 3}\n"), r#"{"a":{"c":2,"b":1},"d":{"b":3,"c":2}}"#);
}

#[test]
fn every_prefix_of_a_text_ends_in_json_or_an_error() {
    let text = "a: &x {b: [1, 'é'], \"c\\n\": !!str 1}\n<<: *x\nd: |\n  e\nf: >-\n g\n? h\n: i\n--- # j\n- - k\n-\n...\n%YAML 1.1\n---\nl";
    for end in 0..=text.len() {
        for document in load(&text.as_bytes()[..end], &LIMITS) {
            if let Err(problem) = document.json {
                assert!(!problem.message.is_empty() && problem.line >= 1 && problem.column >= 1, "{problem:?}");
            }
        }
        for index in 0..4 {
            positions(&text.as_bytes()[..end], index, 10);
        }
    }
}

#[test]
fn places_count_characters_of_the_whole_text() {
    let places = positions("x\r\n---\r\né: {b/~: |\r\n".as_bytes(), 1, 10);
    let found: Vec<_> = places.iter().map(|place| (place.pointer.as_str(), place.key, place.value)).collect();
    assert_eq!(found[..2], [("", (3, 1), (3, 1)), ("/é", (3, 1), (3, 4))]);
    let places = positions("a:\n- b: >\n    c\n-\n".as_bytes(), 0, 10);
    let found: Vec<_> = places.iter().map(|place| (place.pointer.as_str(), place.key, place.value)).collect();
    assert_eq!(
        found,
        [
            ("", (1, 1), (1, 1)),
            ("/a", (1, 1), (2, 1)),
            ("/a/0", (2, 3), (2, 3)),
            ("/a/0/b", (2, 3), (2, 6)),
            ("/a/1", (4, 2), (4, 2)),
        ]
    );
    let places = positions("b:\n-\n- # c\n- a\n".as_bytes(), 0, 10);
    let found: Vec<_> = places.iter().map(|place| (place.pointer.as_str(), place.value)).collect();
    assert_eq!(found, [("", (1, 1)), ("/b", (2, 1)), ("/b/0", (2, 2)), ("/b/1", (3, 2)), ("/b/2", (4, 3))]);
}
