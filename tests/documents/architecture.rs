//! src/ARCHITECTURE.md names files and functions that are there.

use std::fs;
use std::path::Path;

use super::read;

#[test]
fn walks_name_functions_that_are_in_the_code() {
    let page = read("src/ARCHITECTURE.md");
    let spans = page.split('`').skip(1).step_by(2);
    let named: Vec<(&str, &str)> = spans.filter_map(|span| span.split_once(".rs::")).collect();
    assert!(
        named.len() > 40,
        "the walks are written so that they are found"
    );
    for (file, function) in named {
        let file = format!("src/{file}.rs");
        let has = |form: &str| read(&file).contains(&format!("fn {function}{form}"));
        assert!(has("(") || has("<"), "{file} has fn {function}");
    }
}

#[test]
fn every_module_of_the_crate_and_every_process_is_in_the_tree() {
    let page = read("src/ARCHITECTURE.md");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (folder, shown) in [("", ""), ("process", "process/")] {
        let entries = fs::read_dir(root.join(folder)).expect("the tree can be read");
        for entry in entries.map(|entry| entry.expect("an entry")) {
            if entry.path().is_dir()
                && (folder, entry.file_name().to_str()) != ("", Some("process"))
            {
                let name = entry.file_name();
                let row = format!("| `{shown}{}` |", name.to_string_lossy());
                assert!(page.contains(&row), "src/ARCHITECTURE.md has a row {row:?}");
            }
        }
    }
}

#[test]
fn guide_for_contributors_names_paths_that_are_there() {
    let page = read(".github/CONTRIBUTING.md");
    let spans = page.split('`').skip(1).step_by(2);
    let paths = spans.filter(|span| {
        let known = ["src/", "tests/", "netns-tests/", "man/", "config/"];
        known.iter().any(|start| span.starts_with(start)) && !span.contains(' ')
    });
    let mut count = 0;
    for path in paths {
        let exists = Path::new(env!("CARGO_MANIFEST_DIR")).join(path).exists();
        assert!(exists, ".github/CONTRIBUTING.md names {path}");
        count += 1;
    }
    assert!(count > 15, "the recipes are written so that they are found");
}
