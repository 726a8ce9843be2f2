//! No two files need each other, on whatever way: a circle of imports can only be read, moved and
//! split as a whole.
//!
//! Re-exports are followed to the file that has the item, and are no import themselves. Tests are
//! free.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Source, module_of, paths, resolve, sources, test_files, tokens};

type Module = Vec<String>;

#[test]
fn no_files_import_each_other_in_a_circle() {
    let files = sources(&["src"]);
    let circles = circles(&imports(&files));
    assert!(
        circles.is_empty(),
        "{} circles of imports: move what is shared into a file that imports none of them:\n{}",
        circles.len(),
        circles.join("\n")
    );
}

#[test]
fn planted_circles_are_found() {
    let file = |path: &str, text: &str| Source {
        path: path.to_owned(),
        text: text.to_owned(),
    };
    let parent = file("src/a/mod.rs", "mod b; mod c; pub use c::Thing;");
    let b = file("src/a/b.rs", "use super::Thing; pub struct B;");
    for (c, is_circle) in [
        ("pub struct Thing;", false),
        ("pub struct Thing(super::b::B);", true),
        ("use super::b::B; pub struct Thing(B);", true),
        (
            "#[cfg(test)] mod tests { use crate::a::b::B; } pub struct Thing;",
            false,
        ),
    ] {
        let again = |source: &Source| file(&source.path, &source.text);
        let files = [again(&parent), again(&b), file("src/a/c.rs", c)];
        let found = circles(&imports(&files));
        assert_eq!(!found.is_empty(), is_circle, "{c}: {found:?}");
    }
}

/// Returns for every module the modules whose items it names.
fn imports(files: &[Source]) -> BTreeMap<Module, BTreeSet<Module>> {
    let tests = test_files(files);
    let files: Vec<&Source> = files
        .iter()
        .filter(|file| !tests.contains(&file.path))
        .collect();
    let modules: BTreeSet<Module> = files.iter().map(|file| module_of(&file.path)).collect();
    let mut exports = BTreeMap::new();
    let mut named: Vec<(Module, Module)> = Vec::new();
    for file in files {
        let module = module_of(&file.path);
        let exporting = exporting_lines(&file.text);
        for used in paths(&file.text).into_iter().filter(|used| !used.in_test) {
            let mut here = module.clone();
            here.extend(used.inline_modules.iter().cloned());
            let target =
                resolve(&here, &used.segments).or_else(|| child(&modules, &here, &used.segments));
            let Some(target) = target else { continue };
            match target.last().filter(|_| exporting.contains(&used.line)) {
                Some(name) => drop(exports.insert((module.clone(), name.clone()), target)),
                None => named.push((module.clone(), target)),
            }
        }
    }
    let mut imports: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
    for (module, target) in named {
        let home = home(&modules, &exports, target);
        if home != module && !home.is_empty() {
            imports.entry(module).or_default().insert(home);
        }
    }
    imports
}

/// Returns a path that begins with a module of this one, as absolute.
fn child(modules: &BTreeSet<Module>, here: &Module, segments: &[String]) -> Option<Module> {
    let mut absolute = here.clone();
    absolute.push(segments.first()?.clone());
    let is_module = segments.len() > 1 && modules.contains(&absolute);
    absolute.extend(segments[1..].iter().cloned());
    is_module.then_some(absolute)
}

/// Returns the module whose file has the item.
fn home(
    modules: &BTreeSet<Module>,
    exports: &BTreeMap<(Module, String), Module>,
    mut item: Module,
) -> Module {
    // A re-export of a re-export, and so on, but no circle of them.
    for _ in 0..8 {
        let len = (0..=item.len())
            .rev()
            .find(|len| modules.contains(&item[..*len].to_vec()));
        let (module, rest) = item.split_at(len.unwrap_or(0));
        let export = rest
            .first()
            .and_then(|name| exports.get(&(module.to_vec(), name.clone())));
        match export {
            Some(target) => item = [target.as_slice(), &rest[1..]].concat(),
            None => return module.to_vec(),
        }
    }
    item
}

/// Returns the lines of `pub use` items.
fn exporting_lines(text: &str) -> BTreeSet<usize> {
    let tokens = tokens(text);
    let at = |index: usize| tokens.get(index).map_or("", |token| token.text.as_str());
    let mut lines = BTreeSet::new();
    for index in (0..tokens.len()).filter(|index| at(*index) == "use") {
        let public = match at(index.wrapping_sub(1)) {
            "pub" => true,
            ")" => (1..8).any(|back| at(index.wrapping_sub(back)) == "pub"),
            _ => false,
        };
        if public {
            let item = (index..tokens.len()).take_while(|at_index| at(*at_index) != ";");
            lines.extend(item.map(|at_index| tokens[at_index].line));
        }
    }
    lines
}

/// Returns what each set of modules that reach each other is made of.
fn circles(imports: &BTreeMap<Module, BTreeSet<Module>>) -> Vec<String> {
    let reach: BTreeMap<&Module, BTreeSet<&Module>> = imports
        .keys()
        .map(|module| (module, reachable(imports, module)))
        .collect();
    let mut found = BTreeSet::new();
    for (module, reached) in &reach {
        let mates: BTreeSet<&Module> = reached
            .iter()
            .filter(|other| reach.get(*other).is_some_and(|back| back.contains(module)))
            .copied()
            .collect();
        if !mates.is_empty() {
            found.insert(mates);
        }
    }
    let shown = |module: &Module| module.join("::");
    found
        .into_iter()
        .map(|circle| {
            let arrows = circle.iter().map(|module| {
                let within = imports[*module].iter().filter(|to| circle.contains(to));
                let within: Vec<String> = within.map(shown).collect();
                format!("  {} -> {}", shown(module), within.join(", "))
            });
            arrows.collect::<Vec<String>>().join("\n")
        })
        .collect()
}

fn reachable<'a>(
    imports: &'a BTreeMap<Module, BTreeSet<Module>>,
    from: &Module,
) -> BTreeSet<&'a Module> {
    let mut reached = BTreeSet::new();
    let mut waiting: Vec<&Module> = imports.get(from).into_iter().flatten().collect();
    while let Some(module) = waiting.pop() {
        if reached.insert(module) {
            waiting.extend(imports.get(module).into_iter().flatten());
        }
    }
    reached
}
