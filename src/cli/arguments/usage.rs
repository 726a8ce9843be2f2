//! What the definition of the command line does not give by itself: a usage line with every flag,
//! mistakes that end with that line, and words that shells complete although others are taken.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{Arg, Command};

/// Takes any text, and has shells complete these words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hinted(pub(super) &'static [&'static str]);

impl TypedValueParser for Hinted {
    type Value = String;

    fn parse_ref(
        &self,
        command: &Command,
        arg: Option<&Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.0.iter().map(PossibleValue::new)))
    }
}

/// Returns the command with usage lines that show all its flags, and so for those below it.
pub(super) fn with_usage(command: Command, path: &str) -> Command {
    let usage = usage(&command, path);
    let command = command.override_usage(usage);
    command.mut_subcommands(|inner| {
        let path = format!("{path} {}", inner.get_name());
        with_usage(inner, &path)
    })
}

/// Returns what is said of a mistake: what it is, and the usage line of the command.
pub(crate) fn complaint(definition: &Command, arguments: &[String], what: &str) -> String {
    let (mut command, mut path) = (definition, definition.get_name().to_owned());
    for word in arguments {
        let Some(inner) = command.find_subcommand(word) else {
            break;
        };
        command = inner;
        path = format!("{path} {}", inner.get_name());
    }
    let ends = ["\n\nUsage:", "\n\nFor more information"];
    let end = ends.iter().filter_map(|end| what.find(end)).min();
    let what = &what[..end.unwrap_or(what.len())];
    let what = what.trim_end().replace("\n\n", "\n");
    let what = what.replace("\n  tip: ", "\nhelp: ");
    format!("{what}\nusage: {}\n", usage(command, &path))
}

/// Returns a command with its words and flags.
fn usage(command: &Command, path: &str) -> String {
    let mut line = path.to_owned();
    if command.has_subcommands() {
        let inner = command.get_subcommands().map(Command::get_name);
        let inner: Vec<&str> = inner.filter(|name| *name != "help").collect();
        line.push(' ');
        line.push_str(&match inner.len() {
            0..=3 => inner.join("|"),
            _ => "COMMAND".to_owned(),
        });
        line.push_str(" ...");
        return line;
    }
    for arg in command.get_positionals() {
        let name = value_name(arg);
        match arg.is_required_set() {
            true => line.push_str(&format!(" {name}")),
            false => line.push_str(&format!(" [{name}]")),
        }
    }
    for arg in command.get_arguments() {
        let Some(long) = arg.get_long().filter(|long| *long != "help") else {
            continue;
        };
        line.push_str(&match arg.get_action().takes_values() {
            true => format!(" [--{long} {}]", value_name(arg)),
            false => format!(" [--{long}]"),
        });
    }
    line
}

fn value_name(arg: &Arg) -> String {
    let names = arg.get_value_names().unwrap_or_default();
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    names.join(" ")
}
