//! What the command takes, and how it ends.

use std::fs;
use std::process::{Command, Output};

use evenkeel::cli::import::import;

use super::{InMemory, imported};

const KEEPALIVED: &str = "vrrp_instance A {\n interface eth0\n virtual_router_id 5\n \
                          virtual_ipaddress {\n 192.0.2.1/24\n }\n}\n";

fn refused(files: &[(&str, &str)], named: &[&str], nodes: &[&str]) -> String {
    let texts = files
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    let owned = |words: &[&str]| -> Vec<String> { words.iter().map(|w| (*w).to_owned()).collect() };
    let files = InMemory(texts.collect());
    import(&files, &owned(named), &owned(nodes))
        .unwrap_err()
        .to_string()
}

#[test]
fn files_that_do_not_go_together_are_refused() {
    let files = [
        ("a.conf", KEEPALIVED),
        ("b.conf", KEEPALIVED),
        ("h.cfg", "listen a\n bind *:80\n server b 192.0.2.2:80\n"),
        ("ha.cf", "node a\nkeepalive 1\n"),
        ("text", "hello\n"),
        ("empty", ""),
    ];
    for (named, nodes, hoped) in [
        (&[][..], &[][..], "name the files to import"),
        (&["a.conf", "b.conf"], &[], "--node NAME=FILE for each"),
        (&["a.conf"], &["lb1=b.conf"], "--node NAME=FILE for each"),
        (&[], &["lb1=a.conf", "lb1=b.conf"], "names one twice"),
        (&[], &["a.conf"], "is not of the form NAME=FILE"),
        (&[], &["lb1=h.cfg"], "--node is for files of keepalived"),
        (&["a.conf", "ha.cf"], &[], "not by both"),
        (&["ha.cf", "ha.cf"], &[], "name each once"),
        (&["text"], &[], "text is no configuration of keepalived"),
        (&["empty"], &[], "empty is no configuration of keepalived"),
        (&["missing"], &[], "failed to read missing"),
    ] {
        let said = refused(&files, named, nodes);
        assert!(said.contains(hoped), "{named:?} {nodes:?}: {said}");
    }
}

#[test]
fn a_file_is_known_by_what_stands_in_it() {
    for (name, text) in [
        ("x", KEEPALIVED),
        (
            "x",
            "defaults\n mode http\nlisten a\n bind *:80\n server b 192.0.2.2:80\n",
        ),
        (
            "x",
            "create pool p\npool p add 192.0.2.2\ncreate service s\nset role = reverse_proxy\n",
        ),
        ("x", "keepalive 1\ndeadtime 5\nnode a b\n"),
        ("haresources", "lb1 192.0.2.1\n"),
        ("keepalived.conf", "include conf.d/*.conf\n"),
    ] {
        imported(&[(name, text)]);
    }
}

fn run(arguments: &[&str], folder: &std::path::Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_evenkeel"))
        .arg("import")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

/// 0: nothing is lost; 1: something is; 2: called wrongly. The configuration alone is on standard
/// output.
#[test]
fn the_exit_code_says_whether_anything_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("whole.conf", KEEPALIVED);
    write(
        "part.conf",
        &KEEPALIVED.replace(" interface eth0", " interface eth0\n virtual_routes {\n }"),
    );
    for (arguments, code) in [
        (&["whole.conf"][..], 0),
        (&["--node", "lb1=whole.conf", "--node=lb2=whole.conf"], 0),
        (&["part.conf"], 1),
        (&["missing.conf"], 1),
        (&[], 2),
        (&["--json", "whole.conf"], 2),
        (&["--node"], 2),
    ] {
        let output = run(arguments, folder.path());
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {output:?}"
        );
    }
    let output = run(&["part.conf"], folder.path());
    let (yaml, said) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert!(yaml.contains("\nvirtual_routers:\n") && !said.contains("virtual_routers:"));
    assert!(
        said.contains("1 line lost") && said.contains("part.conf:3: virtual_routes"),
        "{said}"
    );
}
