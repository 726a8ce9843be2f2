//! `evenkeel config show`: the configuration that runs, as the daemon shows it, without secrets.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::outcome::{EXIT_DONE, EXIT_FAILED, Output, print_error};
use crate::cli::status::StatusError;
use crate::ipc::control::{self, OverrideStatus, Request, Response, ShownConfiguration};

/// Shows it; returns the exit code.
pub(crate) fn run(runtime_dir: &Path, output: Output) -> i32 {
    match ask(runtime_dir).and_then(|shown| render(&shown, output)) {
        Ok(text) => match std::io::stdout().write_all(text.as_bytes()) {
            Ok(()) => EXIT_DONE,
            Err(_) => EXIT_FAILED,
        },
        Err(error) => {
            print_error(&error);
            EXIT_FAILED
        }
    }
}

fn ask(runtime_dir: &Path) -> Result<ShownConfiguration, StatusError> {
    match control::ask(runtime_dir, &Request::Configuration, ANSWER_TIMEOUT) {
        Ok(Response::Configuration(shown)) => Ok(*shown),
        Ok(
            Response::Status(_)
            | Response::Events(_)
            | Response::OverSocket
            | Response::Changed(_)
            | Response::Refused(_),
        ) => Err(StatusError::Refused("it answered something else".into())),
        Ok(Response::Error(why)) => Err(StatusError::Refused(why)),
        Err(source) => Err(StatusError::Ask {
            path: runtime_dir.join(control::SOCKET),
            source,
        }),
    }
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
