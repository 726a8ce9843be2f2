//! The key `buffer_requests`.

use evenkeel::config::RequestBuffering;
use insta::assert_snapshot;

use crate::accepts::accepted;
use crate::{errors, pool};

fn buffering(text: &str) -> Option<RequestBuffering> {
    accepted(&pool(&format!("buffer_requests: {text}"))).pools[0].buffer_requests
}

#[test]
fn sizes_have_units_defaults_and_bounds() {
    let default = RequestBuffering::default();
    let none = accepted(&pool("slow_start: 0s")).pools[0].buffer_requests;
    assert_eq!((none, buffering("false")), (None, None));
    for (text, hoped) in [
        ("true", default),
        ("{}", default),
        ("{memory: 64KiB, disk: 100MiB}", default),
        ("{memory: 65536, disk: 104857600}", default),
        (
            "{memory: 1MiB, disk: 1TiB}",
            RequestBuffering {
                memory: 1 << 20,
                disk: 1 << 40,
            },
        ),
        (
            "{memory: 100KiB, disk: 0}",
            RequestBuffering {
                memory: 102_400,
                disk: 0,
            },
        ),
    ] {
        assert_eq!(buffering(text), Some(hoped), "{text}");
    }
    assert_eq!(default.to_string(), "memory 64KiB, disk 100MiB");
}

#[test]
fn it_is_said_how_sizes_are_written() {
    for text in ["{memory: 64KB}", "{disk: 1.5GiB}", "{disk: 99999999TiB}"] {
        let said = errors(&pool(&format!("buffer_requests: {text}")));
        assert!(said.contains("not a size"), "{text}: {said}");
        assert!(said.contains("sizes are written 65536, 64KiB, 100MiB or 1GiB"));
    }
    assert_snapshot!(errors(&pool("buffer_requests: {memory: 64k}")), @r"
    error: memory cannot be `64k`: not a size
     --> lb.yaml:6:31
      |
    6 |     buffer_requests: {memory: 64k}
      |                               ^^^
    help: sizes are written 65536, 64KiB, 100MiB or 1GiB
    ");
    assert_snapshot!(errors(&pool("buffer_requests: {memory: 32KiB, disk: 1000KiB}")), @r"
    error: memory must be between 64KiB and 1MiB
     --> lb.yaml:6:31
      |
    6 |     buffer_requests: {memory: 32KiB, disk: 1000KiB}
      |                               ^^^^^

    error: disk must be between 1MiB and 1TiB or 0
     --> lb.yaml:6:44
      |
    6 |     buffer_requests: {memory: 32KiB, disk: 1000KiB}
      |                                            ^^^^^^^
    ");
    assert_snapshot!(errors(&pool("buffer_requests: {memory: 2MiB, disk: 2TiB}")), @r"
    error: memory must be between 64KiB and 1MiB
     --> lb.yaml:6:31
      |
    6 |     buffer_requests: {memory: 2MiB, disk: 2TiB}
      |                               ^^^^

    error: disk must be between 1MiB and 1TiB or 0
     --> lb.yaml:6:43
      |
    6 |     buffer_requests: {memory: 2MiB, disk: 2TiB}
      |                                           ^^^^
    ");
    assert_snapshot!(errors(&pool("buffer_requests: {memory: -1, disk: [1]}")), @r"
    error: memory must be between 64KiB and 1MiB
     --> lb.yaml:6:31
      |
    6 |     buffer_requests: {memory: -1, disk: [1]}
      |                               ^^

    error: `disk` must be a size, as `64KiB`, not a list
     --> lb.yaml:6:41
      |
    6 |     buffer_requests: {memory: -1, disk: [1]}
      |                                         ^
    ");
}

#[test]
fn it_is_one_or_not_or_a_map() {
    assert_snapshot!(errors(&pool("buffer_requests: 64KiB")), @r"
    error: buffer_requests must be true, false or a map
     --> lb.yaml:6:22
      |
    6 |     buffer_requests: 64KiB
      |                      ^^^^^
    help: write `true`, or what differs from the defaults: `{disk: 1GiB}`
    ");
    assert_snapshot!(errors(&pool("buffer_requests: {ram: 1MiB}")), @r"
    error: unknown key `ram`
     --> lb.yaml:6:23
      |
    6 |     buffer_requests: {ram: 1MiB}
      |                       ^^^
    help: known keys here: memory, disk
    ");
}
