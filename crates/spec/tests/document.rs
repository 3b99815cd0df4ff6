#![expect(clippy::unwrap_used, reason = "a test that cannot read its own input fails")]
//! What documents are read, what is refused in which words, and on which line each value stands.

use std::fs;
use std::path::Path;

use fleetwire_spec::document::{DEPTH, Dialect, Document, DocumentFault, Limits, references};
use serde_json::{Value, json};

fn value(name: &str, text: &str) -> Value {
    let document = Document::parse(name, text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"));
    (**document.value()).clone()
}

fn refused(name: &str, bytes: impl AsRef<[u8]>) -> String {
    match Document::parse(name, bytes.as_ref()) {
        Ok(document) => panic!("read as {}", document.value()),
        Err(error) => error.to_string(),
    }
}

fn line(document: &Document, pointer: &str) -> String {
    let line = document.line(pointer).unwrap_or_else(|| panic!("no line for {pointer}"));
    format!("{}:{}", line.line, line.column)
}

const READ: &str =
    "; what is read is OpenAPI 3.0 and 3.1, and JSON Schema 2020-12 and draft-07, each as JSON or YAML";

#[test]
fn dialect_is_the_one_that_the_document_names() {
    for (text, dialect) in [
        ("openapi: 3.0.0", Dialect::OpenApi30),
        ("openapi: 3.0.4", Dialect::OpenApi30),
        ("openapi: 3.1.1", Dialect::OpenApi31),
        ("openapi: '3.1'", Dialect::OpenApi31),
        ("openapi: 3.1.0-rc1", Dialect::OpenApi31),
        (
            "{openapi: 3.1.0, jsonSchemaDialect: 'https://json-schema.org/draft/2020-12/schema'}",
            Dialect::OpenApi31,
        ),
        (
            "{openapi: 3.1.0, jsonSchemaDialect: 'https://spec.openapis.org/oas/3.1/dialect/base'}",
            Dialect::OpenApi31,
        ),
        ("$schema: http://json-schema.org/draft-07/schema#", Dialect::Draft07),
        ("$schema: https://json-schema.org/draft/2020-12/schema", Dialect::Draft202012),
        ("type: object", Dialect::Draft202012),
        ("true", Dialect::Draft202012),
    ] {
        assert_eq!(Document::parse("a", text.as_bytes()).unwrap().dialect(), dialect, "{text}");
    }
}

#[test]
fn other_documents_are_refused_by_name() {
    for (text, said) in [
        ("swagger: '2.0'", "a:1:1: is Swagger 2.0"),
        ("swagger: 2.0", "a:1:1: is Swagger 2.0"),
        ("info: {}\nopenapi: 3.2.0", "a:2:1: is OpenAPI 3.2.0"),
        ("openapi: 4.0.0", "a:1:1: is OpenAPI 4.0.0"),
        ("openapi: 3.10.0", "a:1:1: is OpenAPI 3.10.0"),
        ("openapi: 3.0", "a:1:1: has `openapi: 3.0`, which is a number, not a text"),
        (
            "{openapi: 3.1.0, jsonSchemaDialect: 'http://json-schema.org/draft-07/schema#'}",
            "a:1:18: has schemas of the dialect http://json-schema.org/draft-07/schema#",
        ),
        (
            "{\"$schema\": \"http://json-schema.org/draft-04/schema#\"}",
            "a:1:13: is written in http://json-schema.org/draft-04/schema#",
        ),
        (
            "$schema: http://json-schema.org/draft-06/schema",
            "a:1:1: is written in http://json-schema.org/draft-06/schema",
        ),
        (
            "$schema: https://json-schema.org/draft/2019-09/schema",
            "a:1:1: is written in https://json-schema.org/draft/2019-09/schema",
        ),
        ("$schema: 7", "a:1:1: has a `$schema` that is a number"),
        ("asyncapi: 2.6.0", "a is AsyncAPI 2.6.0"),
        ("paths: {}", "a has `paths` or `info` like OpenAPI, but no `openapi`"),
        ("- 1", "a is a list, not an object"),
        ("hello", "a is a text, not an object"),
        ("7", "a is a number, not an object"),
        ("~", "a is null, not an object"),
    ] {
        assert_eq!(refused("a", text), format!("{said}{READ}"), "{text}");
    }
}

#[test]
fn broken_text_is_refused_with_its_line_column_and_pointer() {
    for (name, text, said) in [
        ("a.json", "", "a.json is empty"),
        ("a.yaml", " \n\t\n", "a.yaml is empty"),
        ("a.yaml", "\u{feff}", "a.yaml is empty"),
        ("a.yaml", "# nothing\n", "a.yaml is empty"),
        ("a.json", "{\"a\": {\"b\": [1, 2,]}}", "a.json:1:19: is not JSON: trailing comma, at /a/b/2"),
        ("a.json", "{\"a\":\n {\"ü\": \"ü\", b}}", "a.json:2:13: is not JSON: key must be a string, at /a"),
        ("a.json", "{\"a\": 1} x", "a.json:1:10: is not JSON: trailing characters"),
        ("a.json", "{\"a\": 1", "a.json:1:7: is not JSON: EOF while parsing an object"),
        ("a.json", "{\"a\": 1e999}", "a.json:1:11: is not JSON: number out of range, at /a"),
        ("a.json", "{\"a\": \"\\ud800\"}", "a.json:1:14: is not JSON: unexpected end of hex escape, at /a"),
        ("a.json", "a: 1", "a.json:1:1: is not JSON: expected value"),
        (
            "a.json",
            "{\"a\": 1,\n \"b\": {\"x\": 1,\n \"x\": 2}}",
            "a.json:3:4: names the key `x` twice in one object, at /b",
        ),
        ("a", "{\"a\": 1, \"\\u0061\": 2}", "a:1:17: names the key `a` twice in one object"),
        ("a.yaml", "a: 1\nb:\n  c: 1\n  c: 2\n", "a.yaml:4:3: names the key `c` twice in one object, at /b"),
        ("a.yaml", "'200': 1\n200: 2\n", "a.yaml:2:1: names the key `200` twice in one object"),
        (
            "a.yaml",
            "a: [1, 2\nb: 3\n",
            "a.yaml:2:2: is not YAML that can be read: illegal placement of ':' indicator, at /a",
        ),
        (
            "a.yaml",
            "a:\n\t- 1\n",
            "a.yaml:2:2: is not YAML that can be read: tabs disallowed within this context (block indentation), at /a",
        ),
        (
            "a.yaml",
            "a: 1\n b: 2\n",
            "a.yaml:2:3: is not YAML that can be read: mapping values are not allowed in this context",
        ),
        (
            "a.yaml",
            "a: 1\n---\nb: 1\n",
            "a.yaml:2:1: is not YAML that can be read: a second document begins here",
        ),
        ("a.yaml", "a: .nan\n", "a.yaml:1:4: is not YAML that can be read: JSON has no number `.nan`, at /a"),
        (
            "a.yaml",
            "a: -.inf\n",
            "a.yaml:1:4: is not YAML that can be read: JSON has no number `-.inf`, at /a",
        ),
        (
            "a.yaml",
            "a: 1e999\n",
            "a.yaml:1:4: is not YAML that can be read: the number `1e999` is too large, at /a",
        ),
        (
            "a.yaml",
            "a: *b\n",
            "a.yaml:1:4: is not YAML that can be read: while parsing node, found unknown anchor, at /a",
        ),
        (
            "a.yaml",
            "a: &a\n  b: *a\n",
            "a.yaml:2:6: is not YAML that can be read: an alias stands within what it is an alias of, at /a/b",
        ),
        (
            "a.yaml",
            "? [1]\n: 2\n",
            "a.yaml:1:3: is not YAML that can be read: a key is a list or an object, which JSON does not have",
        ),
        (
            "a.yaml",
            "a: !secret x\n",
            "a.yaml:1:12: is not YAML that can be read: the tag `!secret` has no meaning in JSON, at /a",
        ),
        (
            "a.yaml",
            "a: !!int x\n",
            "a.yaml:1:10: is not YAML that can be read: `x` is not what its tag says, at /a",
        ),
        (
            "a.yaml",
            "<<: 7\n",
            "a.yaml:1:5: is not YAML that can be read: `<<` refers to something that is no object",
        ),
        ("a.yaml", "<<: {a: 1}\n<<: {b: 1}\n", "a.yaml:2:1: names the key `<<` twice in one object"),
    ] {
        assert_eq!(refused(name, text), said, "{text}");
    }
}

#[test]
fn what_is_no_utf8_text_is_refused() {
    assert_eq!(refused("a", b"a: 1\nb: \xff\n"), "a:2:4: is not UTF-8");
    assert_eq!(refused("a", b"\xff\xfe{\0}\0"), "a:1:1: is not UTF-8");
    assert_eq!(refused("a", b"\x7fELF\0\0"), "a is not a text: it holds a NUL byte");
    assert_eq!(refused("a", [0; 4]), "a is not a text: it holds a NUL byte");
}

#[test]
fn file_that_is_not_there_or_is_a_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("absent.yaml");
    let error = Document::read(&absent).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{} cannot be read: No such file or directory (os error 2)", absent.display())
    );
    assert!(matches!(error.fault(), DocumentFault::Unreadable(_)));
    let error = Document::read(folder.path()).unwrap_err();
    assert_eq!(error.to_string(), format!("{} cannot be read: is a directory", folder.path().display()));
}

#[test]
fn limits_are_named_when_they_are_exceeded() {
    let gather = |text: &str, bytes, nodes| {
        let mut limits = Limits::default();
        (limits.bytes, limits.nodes) = (bytes, nodes);
        let none = &mut |_: &str| Err(String::new());
        Document::gather("a", text.as_bytes(), &limits, none).map(drop).map_err(|error| error.to_string())
    };
    for text in ["{\"a\": [1, 2]}", "a: [1, 2]    "] {
        assert_eq!(gather(text, 13, 4), Ok(()));
        assert_eq!(gather(text, 12, 4), Err("a is longer than 12 bytes, which is the limit".to_owned()));
        let error = gather(text, 13, 3).unwrap_err();
        assert!(error.ends_with("holds more than 3 values, which is the limit, at /a/1"), "{error}");
    }
}

#[test]
fn nesting_is_read_to_its_limit_and_refused_beyond() {
    let lists = |depth: usize| format!("{{\"a\": {}{}}}", "[".repeat(depth), "]".repeat(depth));
    let flow = |depth: usize| format!("a: {}{}", "[".repeat(depth), "]".repeat(depth));
    let block =
        |depth: usize| (0..=depth).map(|level| format!("{}a:\n", " ".repeat(level))).collect::<String>();
    for text in [lists(DEPTH - 1), flow(DEPTH - 1), block(DEPTH - 1)] {
        value("a", &text);
    }
    let said = "is nested deeper than 127 levels, which is the limit";
    for text in [lists(DEPTH), flow(DEPTH), block(DEPTH), lists(200_000), flow(200_000), block(3000)] {
        let error = refused("a", &text);
        assert!(error.contains(said), "{error}");
    }
    for text in ["? ".repeat(100_000), "- ".repeat(100_000)] {
        let error = refused("a", &text);
        assert!(error.contains(said) || error.contains("a key is a list or an object"), "{error}");
    }
}

#[test]
fn nesting_of_aliases_counts_where_they_are_written_out() {
    let mut text = "a0: &a0 [1]\n".to_owned();
    for level in 1..200 {
        text.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
    }
    assert!(refused("a", &text).contains("is nested deeper than 127 levels"));
}

#[test]
fn aliases_of_aliases_are_bounded() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..20 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    let error = refused("bomb.yaml", &text);
    assert!(error.contains("holds more than 4000000 values, which is the limit, at /a"), "{error}");
}

#[test]
fn yaml_is_read_by_the_core_schema_of_version_1_2() {
    let text = "
no: no
on: on
y: Yes
date: 2026-11-22
time: 12:30:45
version: 1.2.3
null: [~, null, Null, NULL, '']
empty:
bool: [true, True, FALSE, 'true']
int: [0, -1, +12, 0123, 0o17, 0xFf, 18446744073709551615, 1_000]
float: [1.5, -.5, 1., 1e3, 1.5E-3, 1e, '1.5', 20000000000000000000]
tagged: [!!str 1, !!int '1', ! 1, !!float 1]
200: &status {1.0: a, ~: b, true: c}
again: *status
folded: >-
  one
  two
literal: |
  one
  two
";
    let expected = json!({
        "no": "no", "on": "on", "y": "Yes", "date": "2026-11-22", "time": "12:30:45", "version": "1.2.3",
        "null": [null, null, null, null, ""], "empty": null, "bool": [true, true, false, "true"],
        "int": [0, -1, 12, 123, 15, 255, 18_446_744_073_709_551_615_u64, "1_000"],
        "float": [1.5, -0.5, 1.0, 1000.0, 0.0015, "1e", "1.5", 2e19],
        "tagged": ["1", 1, "1", 1],
        "200": {"1.0": "a", "~": "b", "true": "c"}, "again": {"1.0": "a", "~": "b", "true": "c"},
        "folded": "one two", "literal": "one\ntwo\n",
    });
    assert_eq!(value("a", text), expected);
}

#[test]
fn merge_keys_are_followed_and_what_is_written_out_wins() {
    let text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {<<: *a, x: 0}\nd: {<<: [*b, *a]}\ne: {'<<': 1}\n";
    let read = value("a", text);
    assert_eq!(read["c"], json!({"x": 0, "y": 1}));
    assert_eq!(read["d"], json!({"x": 1, "y": 2, "z": 2}));
    assert_eq!(read["e"], json!({"<<": 1}));
}

#[test]
fn content_decides_what_is_json_and_what_is_yaml() {
    for (name, text) in [
        ("a.yaml", "{\"a\": \"\\ud83d\\ude00\\/\"}"),
        ("a", "\u{feff}{\"a\": \"\\ud83d\\ude00/\"}"),
        ("a.yml", "\u{feff}a: \u{1f600}/\r\n"),
        ("a.txt", "{a: \u{1f600}/,}"),
        ("a.yaml", "%YAML 1.2\n---\na: \"\\U0001F600/\"\n...\n"),
        ("a.yaml", "{\"a\":\t\"\u{1f600}/\", # said\n}"),
    ] {
        assert_eq!(value(name, text), json!({"a": "\u{1f600}/"}), "{text}");
    }
    // A comma too many is no JSON, and what is called so must be.
    assert!(refused("a.json", "{\"a\": 1,}").starts_with("a.json:1:9: is not JSON: trailing comma"));
    assert!(refused("a", "{\"a\": [1, 2}").starts_with("a:1:12: is not JSON: expected `,` or `]`"));
}

#[test]
fn lines_of_json_are_those_of_its_values() {
    let text = "\u{feff}\n{\n  \"b\": [1,\n    {\"x/y\": \"}\\\"{\", \"m~n\":\n      true}],\n  \"a\": {\"\\u00fc\": 1, \"z\":  2}\n}\n";
    let document = Document::parse("a.json", text.as_bytes()).unwrap();
    for (pointer, at) in [
        ("", "2:1"),
        ("/b", "3:8"),
        ("/b/0", "3:9"),
        ("/b/1", "4:5"),
        ("/b/1/x~1y", "4:13"),
        ("/b/1/m~0n", "5:7"),
        ("/a", "6:8"),
        ("/a/\u{fc}", "6:19"),
        ("/a/z", "6:28"),
        // The innermost that is there.
        ("/a/absent/deeper", "6:8"),
        ("/b/7", "3:8"),
        ("/absent", "2:1"),
    ] {
        assert_eq!(line(&document, pointer), at, "{pointer}");
    }
    assert_eq!(document.text(), text.strip_prefix('\u{feff}').unwrap());
}

#[test]
fn lines_of_yaml_are_those_of_its_keys() {
    let text = "# first\nb: &anchor\n  - one\n  - x/y: >\n      long\n      text\n    m~n: 'quoted\n      over lines'\na:\n  flow: {k: [1,\n    2], 200: ü, z: 3}\n  alias: *anchor\n  <<: {merged: {deep: 1}}\n";
    let document = Document::parse("a.yaml", text.as_bytes()).unwrap();
    for (pointer, at) in [
        ("", "2:1"),
        ("/b", "2:1"),
        ("/b/0", "3:5"),
        ("/b/1", "4:5"),
        ("/b/1/x~1y", "4:5"),
        ("/b/1/m~0n", "7:5"),
        ("/a", "9:1"),
        ("/a/flow", "10:3"),
        ("/a/flow/k", "10:10"),
        ("/a/flow/k/0", "10:14"),
        ("/a/flow/k/1", "11:5"),
        ("/a/flow/200", "11:9"),
        ("/a/flow/z", "11:17"),
        ("/a/alias", "12:3"),
        // What an alias stands for is where it is written.
        ("/a/alias/1/m~0n", "7:5"),
        ("/a/merged", "13:7"),
        ("/a/merged/deep", "13:7"),
    ] {
        assert_eq!(line(&document, pointer), at, "{pointer}");
    }
}

#[test]
fn every_line_of_a_document_is_right_in_json_and_in_yaml() {
    // Each number says on which line it stands.
    let mut json = "{\n".to_owned();
    let mut yaml = String::new();
    for member in 0..300 {
        let line = member * 3 + 2;
        json.push_str(&format!("\"k{member}\": {{\"a\": {line},\n \"b\": [{}]\n}},\n", line + 1));
        yaml.push_str(&format!("k{member}:\n  a: {}\n  b: [{}]\n", line, line + 1));
    }
    json.push_str("\"last\": 902}");
    for (name, text) in [("a.json", &json), ("a.yaml", &yaml)] {
        let document = Document::parse(name, text.as_bytes()).unwrap();
        for member in 0..300 {
            for pointer in [format!("/k{member}/a"), format!("/k{member}/b/0")] {
                let said = document.value().pointer(&pointer).unwrap().as_u64();
                let line = document.line(&pointer).unwrap().line as u64;
                assert_eq!(Some(line), said, "{name} {pointer}");
            }
        }
    }
}

#[test]
fn references_are_followed_from_place_to_place() {
    let text = "
openapi: 3.1.0
components:
  schemas:
    'a b/c': {properties: {$ref: {$ref: '#/components/schemas/Agent'}}, example: {$ref: '#/no'}}
    Agent: {$ref: '#/components/schemas/a%20b~1c'}
    One: {$ref: '#/components/schemas/Two'}
    Two: {$ref: '#/components/schemas/One'}
    Self: {$ref: '#'}
    Anchored: {$anchor: here, type: string}
    ToAnchor: {$ref: '#here'}
    Identified: {$id: 'https://example.com/agent', $defs: {x: {type: 'null'}, y: {$ref: '#/$defs/x'}}}
    ToIdentified: {$ref: 'https://example.com/agent#/$defs/x'}
";
    let document = Document::parse("a.yaml", text.as_bytes()).unwrap();
    let resolved = |name: &str| {
        let place = document.at(&format!("/components/schemas/{name}")).unwrap();
        place.resolved().map(|place| place.pointer().to_owned()).map_err(|error| error.to_string())
    };
    assert_eq!(resolved("Agent").as_deref(), Ok("/components/schemas/a b~1c"));
    assert_eq!(resolved("Self").as_deref(), Ok(""));
    assert_eq!(resolved("ToAnchor").as_deref(), Ok("/components/schemas/Anchored"));
    assert_eq!(resolved("ToIdentified").as_deref(), Ok("/components/schemas/Identified/$defs/x"));
    assert_eq!(resolved("Identified/$defs/y").as_deref(), Ok("/components/schemas/Identified/$defs/x"));
    assert_eq!(
        resolved("One").unwrap_err(),
        "a.yaml:8: the reference `#/components/schemas/One` leads in a circle, at /components/schemas/Two"
    );
    let found = references(document.value());
    assert!(
        found.contains(&(
            "/components/schemas/a b~1c/properties/$ref".to_owned(),
            "#/components/schemas/Agent"
        ))
    );
    assert!(!found.iter().any(|(_, target)| *target == "#/no"), "an example refers to nothing");
}

#[test]
fn reference_that_leads_nowhere_names_what_comes_nearest() {
    let text = "
openapi: 3.0.0
paths:
  /a: {$ref: TARGET}
components: {schemas: {Agent: {}, Order: {}}}
";
    for (target, why) in [
        ("'#/components/schemas/Agnet'", "leads nowhere; the nearest is `#/components/schemas/Agent`"),
        ("'#/components/schema/Agent'", "leads nowhere; the nearest is `#/components/schemas`"),
        ("'#/components/schemas/Zebra'", "leads nowhere: there is no `Zebra` in `#/components/schemas`"),
        ("'#/definitions/Agent'", "leads nowhere: there is no `definitions`"),
        ("'#Agent'", "leads nowhere: no schema has that `$anchor`"),
        ("https://example.com/a.yaml#/X", "leads onto a network, and nothing is fetched from there"),
        ("other.yaml#/X", "leads nowhere: references to other files are not followed here"),
        ("'urn:x:y'", "leads nowhere: no schema has that `$id`"),
        ("'#/%ff'", "is no reference: its percent signs are no UTF-8"),
    ] {
        let text = text.replace("TARGET", target);
        let document = Document::parse("a.yaml", text.as_bytes()).unwrap();
        let error = document.at("/paths/~1a").unwrap().resolved().unwrap_err();
        let target = target.trim_matches('\'');
        assert_eq!(error.to_string(), format!("a.yaml:4: the reference `{target}` {why}, at /paths/~1a"));
    }
}

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

#[test]
fn other_files_of_the_folder_are_part_of_the_document() {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        &[
            (
                "api/main.yaml",
                "openapi: 3.1.0\npaths:\n  /a: {$ref: 'paths/a%20b.yaml'}\ncomponents:\n  schemas:\n    Own: {type: 'null'}\n",
            ),
            (
                "api/paths/a b.yaml",
                "get:\n  responses:\n    200:\n      content:\n        a/b: {schema: {$ref: '../common.json#/Agent'}}\n  x: {$ref: './../main.yaml#/components/schemas/Own'}\n  y: {$ref: '../../secret.yaml'}\n  z: {$ref: '#/get/responses'}\n",
            ),
            (
                "api/common.json",
                "{\"Agent\": {\"$ref\": \"#agent\"},\n \"x\": {\"$anchor\": \"agent\",\n \"type\": \"string\"}}",
            ),
            ("secret.yaml", "a: 1\n"),
        ],
    );
    let document = Document::read(&folder.path().join("api/main.yaml")).unwrap();
    let item = document.at("/paths/~1a").unwrap().resolved().unwrap();
    let get = item.get("get").unwrap();
    let schema = get.get("responses").unwrap().get("200").unwrap().get("content").unwrap();
    let schema = schema.get("a/b").unwrap().get("schema").unwrap().resolved().unwrap();
    assert_eq!(schema.value()["type"], "string");
    let (file, pointer) = document.origin(schema.pointer());
    assert!(file.ends_with("api/common.json"), "{file}");
    assert_eq!(pointer, "/x");
    assert_eq!(document.line(&format!("{}/type", schema.pointer())).unwrap().line, 3);
    assert!(document.line("/paths/~1a").unwrap().to_string().ends_with("main.yaml:3"));
    assert_eq!(document.line("/components/schemas/Own").unwrap().line, 6);
    assert_eq!(get.get("x").unwrap().resolved().unwrap().pointer(), "/components/schemas/Own");
    assert!(get.get("z").unwrap().resolved().unwrap().get("200").is_some());
    let out = get.get("y").unwrap().resolved().unwrap_err();
    assert_eq!(out.why, "leads nowhere: ../../secret.yaml leads out of the folder of the document");
    assert_eq!(out.line.unwrap().line, 7);
}

#[test]
fn other_file_that_is_broken_is_refused_by_its_own_name_and_line() {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        &[
            ("main.yaml", "openapi: 3.1.0\npaths: {/a: {$ref: other.yaml}}\n"),
            ("other.yaml", "get:\n  a: 1\n  a: 2\n"),
        ],
    );
    let error = Document::read(&folder.path().join("main.yaml")).unwrap_err();
    assert!(
        error.to_string().ends_with("other.yaml:3:3: names the key `a` twice in one object, at /get"),
        "{error}"
    );
}

#[cfg(unix)]
#[test]
fn link_out_of_the_folder_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        &[
            ("api/main.yaml", "openapi: 3.1.0\npaths: {/a: {$ref: link.yaml}}\n"),
            ("secret.yaml", "get: {}\n"),
        ],
    );
    std::os::unix::fs::symlink("../secret.yaml", folder.path().join("api/link.yaml")).unwrap();
    let document = Document::read(&folder.path().join("api/main.yaml")).unwrap();
    let error = document.at("/paths/~1a").unwrap().resolved().unwrap_err();
    assert_eq!(error.why, "leads nowhere: link.yaml leads out of the folder of the document");
}

#[test]
fn files_that_refer_to_one_another_in_a_circle_are_read_once_each() {
    let mut asked = Vec::new();
    let main = "openapi: 3.0.0\npaths: {/a: {$ref: b.yaml}}\n";
    let document = Document::gather("dir/a.yaml", main.as_bytes(), &Limits::default(), &mut |name| {
        asked.push(name.to_owned());
        match name {
            "b.yaml" => Ok(b"{$ref: 'c.yaml#/x'}".to_vec()),
            "c.yaml" => Ok(b"x: {$ref: b.yaml}".to_vec()),
            _ => Err(format!("{name} is not there")),
        }
    });
    let error = document.unwrap().at("/paths/~1a").unwrap().resolved().unwrap_err();
    assert!(error.to_string().starts_with("dir/c.yaml:1: the reference"), "{error}");
    assert!(error.why.ends_with("leads in a circle"), "{error}");
    assert_eq!(asked, ["b.yaml", "c.yaml"]);
}

#[test]
fn mapping_of_a_discriminator_is_followed_into_other_files() {
    let main = "openapi: 3.0.0\ncomponents: {schemas: {X: {discriminator: {propertyName: t, mapping: {a: 'b.yaml#/A', b: X}}}}}\n";
    let document =
        Document::gather("a.yaml", main.as_bytes(), &Limits::default(), &mut |_| Ok(b"A: {}".to_vec()));
    let mapping = document.unwrap().value()["components"]["schemas"]["X"]["discriminator"]["mapping"].clone();
    assert_eq!(mapping, json!({"a": "#/x-fleetwire-files/b.yaml/A", "b": "X"}));
}

#[test]
fn every_cut_and_every_changed_byte_of_a_document_is_read_or_refused() {
    let yaml = "openapi: 3.1.0\npaths:\n  /a/{id}: &p\n    get: {responses: {200: {description: \"ü\\n\"}}}\n  /b: *p\n  /c: {<<: *p, x: >-\n    t}\n";
    let json =
        "{\"openapi\": \"3.0.1\", \"paths\": {\"/a\": {\"get\": [1, -2.5e3, null, true, \"\\u00e9\"]}}}";
    for text in [yaml, json] {
        for cut in 0..=text.len() {
            let _ = Document::parse("a", &text.as_bytes()[..cut]);
        }
        for at in 0..text.len() {
            for byte in *b"\0\t\n\"'{}[]:,&*!|>%@#-?\\ \xff\xc3a0" {
                let mut bytes = text.as_bytes().to_vec();
                bytes[at] = byte;
                if let Ok(document) = Document::parse("a", &bytes) {
                    for (pointer, _) in references(document.value()) {
                        assert!(document.line(&pointer).is_some());
                    }
                    assert!(document.line("/paths").is_some());
                }
            }
        }
    }
}

/// Every pointer of a value.
fn pointers(value: &Value, pointer: String, all: &mut Vec<String>) {
    match value {
        Value::Array(items) => {
            for (place, item) in items.iter().enumerate() {
                pointers(item, format!("{pointer}/{place}"), all);
            }
        }
        Value::Object(members) => {
            for (key, member) in members {
                pointers(member, format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1")), all);
            }
        }
        _ => {}
    }
    all.push(pointer);
}

#[test]
fn our_own_documents_are_read_as_by_another_reader_and_each_key_stands_on_its_line() {
    let schemas = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas");
    let mut read = 0;
    for folder in ["source", "openapi"] {
        for entry in fs::read_dir(schemas.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let document = Document::read(&path).unwrap();
            let other: Value = if folder == "source" {
                fleetwire_spec::source::parse(document.text()).unwrap()
            } else {
                serde_json::from_str(document.text()).unwrap()
            };
            assert_eq!(**document.value(), other, "{}", path.display());
            let lines: Vec<&str> = document.text().lines().collect();
            let mut all = Vec::new();
            pointers(&other, String::new(), &mut all);
            for pointer in all {
                let line = document.line(&pointer).unwrap();
                let key = pointer.rsplit('/').next().unwrap().replace("~1", "/").replace("~0", "~");
                let is_item = pointer
                    .rsplit_once('/')
                    .is_none_or(|(parent, _)| other.pointer(parent).is_some_and(Value::is_array));
                assert!(
                    is_item || lines[line.line - 1].contains(&key),
                    "{}: {pointer} on {}",
                    path.display(),
                    line.line
                );
            }
            read += 1;
        }
    }
    assert!(read > 8, "{read}");
}
