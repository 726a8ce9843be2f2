//! `evenkeel config show`: the configuration that runs, as the daemon shows it, without secrets.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::outcome::{Output, print_answer};
use crate::cli::status::{self, StatusError};
use crate::ipc::control::{OverrideStatus, Request, Response, ShownConfiguration};

/// Shows it; returns the exit code.
pub(crate) fn run(runtime_dir: &Path, output: Output) -> i32 {
    print_answer(ask(runtime_dir).and_then(|shown| render(&shown, output)))
}

fn ask(runtime_dir: &Path) -> Result<ShownConfiguration, StatusError> {
    status::ask_for(
        runtime_dir,
        &Request::Configuration,
        ANSWER_TIMEOUT,
        |answer| {
            let Response::Configuration(shown) = answer else {
                return None;
            };
            Some(*shown)
        },
    )
}

fn render(shown: &ShownConfiguration, output: Output) -> Result<String, StatusError> {
    let ShownConfiguration {
        file,
        generation,
        yaml,
        overrides,
    } = shown;
    match output {
        Output::Text => {
            let mut text =
                format!("# {file}, generation {generation}, without comments and secrets\n");
            for OverrideStatus {
                subject, change, ..
            } in overrides
            {
                text.push_str(&format!("# by command: {subject}: {change}\n"));
            }
            Ok(text + yaml)
        }
        Output::Json => {
            let wrong = |error: serde_yaml::Error| {
                StatusError::Refused(format!("its answer is no configuration: {error}"))
            };
            let configuration: Value = serde_yaml::from_str(yaml).map_err(wrong)?;
            let all = json!({
                "file": file,
                "generation": generation,
                "configuration": configuration,
                "overrides": overrides,
            });
            Ok(serde_json::to_string_pretty(&all).unwrap_or_default() + "\n")
        }
    }
}

/// From the question to the answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(7);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_changed_by_command_stands_before_the_configuration() {
        let shown = ShownConfiguration {
            file: "/etc/evenkeel/evenkeel.yaml".into(),
            generation: 5,
            yaml: "pools:\n  api:\n    backends:\n      b1: 192.0.2.1:80\n".into(),
            overrides: vec![OverrideStatus {
                subject: "backend api/b1".into(),
                change: "drained".into(),
                at_ms: 951_782_400_000,
            }],
        };
        let text = render(&shown, Output::Text).expect("a text");
        assert_eq!(
            text,
            "# /etc/evenkeel/evenkeel.yaml, generation 5, without comments and secrets\n\
             # by command: backend api/b1: drained\n\
             pools:\n  api:\n    backends:\n      b1: 192.0.2.1:80\n"
        );
        let json = render(&shown, Output::Json).expect("a text");
        let json: Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(
            json["configuration"]["pools"]["api"]["backends"]["b1"],
            "192.0.2.1:80"
        );
        assert_eq!(json["overrides"][0]["change"], "drained");
    }
}
