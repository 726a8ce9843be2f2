//! Holds evenkeel(8) to the command line as clap has it, and what shells are given to a shell.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use super::{COMMAND_MANUAL, has_macro, read, run_tool};

/// Returns every command with its way from the program, `config show` for one.
fn commands() -> Vec<(String, clap::Command)> {
    fn below(command: &clap::Command, path: &str, found: &mut Vec<(String, clap::Command)>) {
        for inner in command.get_subcommands() {
            let path = format!("{path} {}", inner.get_name()).trim().to_owned();
            below(inner, &path, found);
            found.push((path, inner.clone()));
        }
    }
    let mut found = Vec::new();
    below(&evenkeel::cli::definition(), "", &mut found);
    found
}

fn flags_of(command: &clap::Command) -> BTreeSet<String> {
    let flags = command.get_arguments().filter_map(|arg| arg.get_long());
    // Every command has it, once it is built.
    flags
        .filter(|flag| *flag != "help")
        .map(str::to_owned)
        .collect()
}

/// Returns the part of the synopsis that begins with this command.
fn synopsis_of(manual: &str, path: &str) -> Option<String> {
    let synopsis = manual.split(".Sh SYNOPSIS\n").nth(1)?;
    let synopsis = synopsis.split(".Sh ").next()?;
    let parts = synopsis.split(".Nm\n").filter(|part| {
        let rest = part.strip_prefix(&format!(".Cm {path}"));
        rest.is_some_and(|rest| rest.starts_with([' ', '\n']))
    });
    let parts: Vec<&str> = parts.collect();
    (!parts.is_empty()).then(|| parts.concat())
}

#[test]
fn every_command_and_flag_stands_in_the_manual() {
    let manual = read(COMMAND_MANUAL);
    let commands = commands();
    assert!(commands.len() > 9, "the commands are found: {commands:?}");
    let mut missing = Vec::new();
    for (path, command) in &commands {
        if !command.has_subcommands() {
            let Some(synopsis) = synopsis_of(&manual, path) else {
                missing.push(format!("{path} in the synopsis"));
                continue;
            };
            let flags = flags_of(command).into_iter();
            let absent = flags.filter(|flag| !has_macro(&synopsis, &format!("Fl -{flag}")));
            missing.extend(absent.map(|flag| format!("{path} --{flag} in the synopsis")));
        }
        if !manual.lines().any(|line| line == format!(".It Cm {path}"))
            && !command.has_subcommands()
        {
            missing.push(format!("{path} among the commands"));
        }
        let options = flags_of(command).into_iter();
        let absent = options.filter(|flag| {
            !manual.lines().any(|line| {
                line.strip_prefix(&format!(".It Fl -{flag}"))
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
            })
        });
        missing.extend(absent.map(|flag| format!("--{flag} among the options")));
    }
    assert!(
        missing.is_empty(),
        "missing in {COMMAND_MANUAL}: {missing:#?}"
    );
}

#[test]
fn every_flag_of_the_manual_is_one() {
    let manual = read(COMMAND_MANUAL);
    let mut known: BTreeSet<String> = ["help", "version"].map(str::to_owned).into();
    known.extend(commands().iter().flat_map(|(_, command)| flags_of(command)));
    let documented = manual.split("Fl -").skip(1).filter_map(|rest| {
        rest.split(|c: char| !(c.is_ascii_lowercase() || c == '-'))
            .next()
    });
    let unknown: BTreeSet<&str> = documented.filter(|flag| !known.contains(*flag)).collect();
    assert!(
        unknown.is_empty(),
        "flags of {COMMAND_MANUAL} that no command takes: {unknown:?}"
    );
}

#[test]
fn the_usage_of_a_command_has_all_its_flags() {
    for (path, mut command) in commands() {
        let usage = command.render_usage().to_string();
        assert_eq!(usage.lines().count(), 1, "{path}: {usage}");
        if !command.has_subcommands() {
            for flag in flags_of(&command) {
                assert!(usage.contains(&format!("[--{flag}")), "{path}: {usage}");
            }
        }
    }
}

fn script_for(shell: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_evenkeel"))
        .args(["completions", shell])
        .output()
        .unwrap();
    assert!(output.status.success(), "{shell}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn bash_completes_commands_flags_and_words() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("evenkeel.bash");
    fs::write(&script, script_for("bash")).unwrap();
    let script = script.to_str().unwrap();
    let checked = run_tool("bash", "bash", &["-n", script]);
    assert!(checked.status.success(), "{checked:?}");
    for (line, hoped) in [
        ("evenkeel sta", "status"),
        ("evenkeel status --js", "--json"),
        ("evenkeel backend api/b1 dra", "drain"),
        ("evenkeel completions f", "fish"),
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
        let last = words.len() - 1;
        // As readline calls it: the command, the word and the one before.
        let program = format!(
            "source {script}; COMP_WORDS=({}); COMP_CWORD={last}; COMP_LINE='{line}'; \
             COMP_POINT=${{#COMP_LINE}}; COMPREPLY=(); \
             f=$(complete -p evenkeel | sed 's/.*-F \\([^ ]*\\).*/\\1/'); \
             $f evenkeel '{}' '{}'; echo \"${{COMPREPLY[@]}}\"",
            quoted.join(" "),
            words[last],
            words[last - 1],
        );
        let output = run_tool("bash", "bash", &["--norc", "-c", &program]);
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said.trim(), hoped, "{line}: {output:?}");
    }
}

#[test]
fn scripts_for_zsh_and_fish_name_every_command() {
    for shell in ["zsh", "fish"] {
        let script = script_for(shell);
        for (path, _) in commands() {
            let name = path.rsplit(' ').next().unwrap_or_default();
            assert!(script.contains(name), "{shell}: {path}");
        }
    }
}

#[test]
fn every_key_of_the_configuration_is_explained() {
    let mut keys = super::keys_of(&super::uncommented(&read(super::CONFIG)));
    for file in checkers("src/config/check") {
        let text = read(&file);
        for asked in ["fields.get(\"", "fields.need(\""] {
            let found = text.split(asked).skip(1);
            keys.extend(found.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
        }
    }
    // The reader of comments takes these for keys.
    let words_of_examples = ["example", "lb1", "lb2"];
    assert!(keys.len() > 150, "the keys are found: {keys:?}");
    let unexplained: Vec<&String> = keys
        .iter()
        .filter(|key| !words_of_examples.contains(&key.as_str()))
        .filter(|key| !evenkeel::cli::is_explained(key))
        .collect();
    assert!(
        unexplained.is_empty(),
        "keys that no item of {} is about: {unexplained:?}",
        super::CONFIG_MANUAL
    );
}

/// Returns the files that check the configuration.
fn checkers(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(super::root().join(folder)).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(checkers(&path)),
            false => found.push(path),
        }
    }
    found
}
