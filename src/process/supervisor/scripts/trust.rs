//! Whether a program that operators bring may be run: root alone can change what its path leads to.
//!
//! Every directory above it and every symbolic link on the way belongs to root and can be written
//! to by nobody else. So what was looked at is what is run, if it is run by the path that is
//! returned: between the two only root could put something else in its place. A directory with the
//! sticky bit is not enough; everybody can make files there.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// Returns where the path of a program leads without symbolic links, or what is wrong with a part
/// of it.
pub(super) fn trusted_path(program: &Path) -> Result<PathBuf, String> {
    Rule::ROOT.resolve(program)
}

/// Who may own what is above a program, and where to begin.
#[derive(Clone, Copy, Debug)]
struct Rule<'a> {
    owner: u32,
    /// What is above this is not looked at.
    below: &'a str,
}

impl Rule<'_> {
    const ROOT: Self = Self {
        owner: 0,
        below: "/",
    };

    fn resolve(&self, program: &Path) -> Result<PathBuf, String> {
        if !program.is_absolute() {
            return Err("it is not an absolute path".into());
        }
        let mut ahead: VecDeque<OsString> = parts(program);
        let mut reached = PathBuf::from("/");
        let mut links = 0;
        self.check_directory(&reached)?;
        while let Some(part) = ahead.pop_front() {
            if part == ".." {
                // Everything above has been looked at already.
                reached.pop();
                continue;
            }
            let next = reached.join(part);
            let metadata = next.symlink_metadata().map_err(|error| {
                if error.kind() == io::ErrorKind::NotFound && next == program {
                    return "it does not exist".to_owned();
                }
                format!("{} cannot be looked at: {error}", next.display())
            })?;
            if metadata.is_symlink() {
                self.check_owner(&metadata, &next, "the symbolic link")?;
                links += 1;
                if links > LINKS_MAX {
                    return Err("too many symbolic links".into());
                }
                let target = next.read_link().map_err(|error| error.to_string())?;
                if target.is_absolute() {
                    reached = PathBuf::from("/");
                }
                for part in parts(&target).into_iter().rev() {
                    ahead.push_front(part);
                }
            } else if ahead.is_empty() {
                self.check_file(&metadata)?;
                return Ok(next);
            } else {
                reached = next;
                self.check_directory(&reached)?;
            }
        }
        Err("it is not a file".into())
    }

    fn check_directory(&self, directory: &Path) -> Result<(), String> {
        if !directory.starts_with(self.below) {
            return Ok(());
        }
        let shown = directory.display();
        let metadata = directory
            .symlink_metadata()
            .map_err(|error| format!("{shown} cannot be looked at: {error}"))?;
        if !metadata.is_dir() {
            return Err(format!("{shown} is not a directory"));
        }
        self.check_owner(&metadata, directory, "the directory")?;
        if metadata.mode() & WRITABLE_BY_OTHERS != 0 {
            let mode = metadata.mode() & 0o7777;
            return Err(format!(
                "the directory {shown} may be written to by others than root (mode {mode:04o})"
            ));
        }
        Ok(())
    }

    fn check_owner(&self, metadata: &Metadata, path: &Path, what: &str) -> Result<(), String> {
        if metadata.uid() == self.owner {
            return Ok(());
        }
        let (path, uid) = (path.display(), metadata.uid());
        Err(format!(
            "{what} {path} belongs to user id {uid}, not to root"
        ))
    }

    fn check_file(&self, metadata: &Metadata) -> Result<(), String> {
        if !metadata.is_file() {
            Err("it is not a file".into())
        } else if metadata.mode() & 0o111 == 0 {
            Err("it is not executable".into())
        } else if metadata.mode() & WRITABLE_BY_OTHERS != 0 {
            Err("its group or everybody may write to it".into())
        } else if metadata.uid() != self.owner {
            let uid = metadata.uid();
            Err(format!("it belongs to user id {uid}, not to root"))
        } else {
            Ok(())
        }
    }
}

/// Returns the names in a path, in order.
fn parts(path: &Path) -> VecDeque<OsString> {
    let parts = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    parts.collect()
}

/// Group and others.
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// As many as the kernel follows (path_resolution(7)).
const LINKS_MAX: u32 = 40;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use nix::unistd::Uid;

    use super::*;

    /// A directory that is looked at from its own level on, as if this user were root.
    struct Bench(tempfile::TempDir);

    impl Bench {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            set_mode(directory.path(), 0o755);
            Self(directory)
        }

        fn path(&self, name: &str) -> PathBuf {
            // Where temporary directories are reached by a link, the rule begins behind it.
            self.0.path().canonicalize().unwrap().join(name)
        }

        fn directory(&self, name: &str, mode: u32) -> PathBuf {
            fs::create_dir(self.path(name)).unwrap();
            set_mode(&self.path(name), mode);
            self.path(name)
        }

        fn program(&self, name: &str, mode: u32) -> PathBuf {
            fs::write(self.path(name), "#!/bin/sh\n").unwrap();
            set_mode(&self.path(name), mode);
            self.path(name)
        }

        fn resolve(&self, program: &Path) -> Result<PathBuf, String> {
            let below = self.path("");
            let rule = Rule {
                owner: Uid::effective().as_raw(),
                below: below.to_str().unwrap(),
            };
            rule.resolve(program)
        }
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn program_that_others_may_change_or_nobody_may_run_is_refused() {
        let bench = Bench::new();
        let sound = bench.program("sound", 0o755);
        assert_eq!(bench.resolve(&sound), Ok(sound));
        for (name, mode, hoped) in [
            ("a", 0o644, "it is not executable"),
            ("b", 0o775, "its group or everybody may write to it"),
            ("c", 0o757, "its group or everybody may write to it"),
        ] {
            let refused = bench.resolve(&bench.program(name, mode)).unwrap_err();
            assert_eq!(refused, hoped);
        }
        let refused = |path: &Path| bench.resolve(path).unwrap_err();
        assert_eq!(refused(&bench.path("none")), "it does not exist");
        assert_eq!(refused(&bench.path("")), "it is not a file");
        assert_eq!(refused(Path::new("sound")), "it is not an absolute path");
    }

    #[test]
    fn directory_that_others_may_write_to_is_refused_by_name_wherever_it_stands() {
        for mode in [0o777, 0o775, 0o757, 0o1777] {
            let bench = Bench::new();
            let open = bench.directory("open", mode);
            bench.directory("open/inner", 0o755);
            let program = bench.program("open/inner/notify", 0o755);
            let refused = bench.resolve(&program).unwrap_err();
            let hoped = format!("the directory {} may be written", open.display());
            assert!(refused.starts_with(&hoped), "{mode:o}: {refused}");
            // A way around by a link or by `..` leads past it as well.
            symlink(&program, bench.path("link")).unwrap();
            assert_eq!(bench.resolve(&bench.path("link")).unwrap_err(), refused);
            bench.program("sound", 0o755);
            let around = bench.path("open/../sound");
            assert_eq!(bench.resolve(&around).unwrap_err(), refused);
        }
    }

    #[test]
    fn link_leads_to_what_is_run_and_is_looked_at_itself() {
        let bench = Bench::new();
        bench.directory("bin", 0o755);
        let program = bench.program("bin/notify", 0o755);
        symlink("bin", bench.path("sbin")).unwrap();
        symlink("../sbin/notify", bench.path("bin/alias")).unwrap();
        assert_eq!(bench.resolve(&bench.path("sbin/alias")), Ok(program));
        symlink("loop", bench.path("loop")).unwrap();
        let refused = bench.resolve(&bench.path("loop")).unwrap_err();
        assert_eq!(refused, "too many symbolic links");
    }

    #[test]
    fn what_belongs_to_somebody_else_is_refused_by_name() {
        let bench = Bench::new();
        let program = bench.program("notify", 0o755);
        symlink("notify", bench.path("link")).unwrap();
        let stranger = Rule {
            owner: Uid::effective().as_raw() + 1,
            below: "/nowhere",
        };
        let refused = stranger.resolve(&program).unwrap_err();
        assert!(refused.starts_with("it belongs to user id "), "{refused}");
        let link = bench.path("link");
        let refused = stranger.resolve(&link).unwrap_err();
        let hoped = format!("the symbolic link {} belongs to", link.display());
        assert!(refused.starts_with(&hoped), "{refused}");
        let directory = stranger.check_owner(
            &bench.path("").symlink_metadata().unwrap(),
            Path::new("/x"),
            "the directory",
        );
        assert!(
            directory
                .unwrap_err()
                .starts_with("the directory /x belongs to")
        );
    }

    #[test]
    fn temporary_directory_of_everybody_is_no_place_for_a_program() {
        let bench = Bench::new();
        let program = bench.program("notify", 0o755);
        let refused = trusted_path(&program).unwrap_err();
        assert!(refused.starts_with("the directory "), "{refused}");
    }
}
