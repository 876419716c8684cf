//! The files of a data set: a path, a glob, or several of either.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};

use crate::error::{Error, ErrorKind, Problem, Result};

/// The files of one data set in the order in which they are read, and what the set is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFiles {
    name: PathBuf,
    paths: Vec<PathBuf>,
}

impl DataFiles {
    /// Finds what `names` name, with `data_dir` before every relative one.
    ///
    /// A name that exists is that file, whatever characters it has. Otherwise one with `*`,
    /// `?` or `[` is a glob (`**` goes down into folders, hidden files are left out) and stands
    /// for its files sorted by path. A file that is not there is found out when it is read.
    ///
    /// # Errors
    /// [`ErrorKind::MissingInput`] for a glob that matches no file, [`ErrorKind::Data`] for a
    /// file that is named twice.
    pub fn find(data_dir: &Path, names: &[PathBuf]) -> Result<Self> {
        let mut paths = Vec::new();
        for name in names {
            let path = data_dir.join(name);
            let is_glob = name.to_string_lossy().contains(['*', '?', '[']);
            if is_glob && !path.exists() {
                paths.extend(matches(data_dir, name)?);
            } else {
                paths.push(path);
            }
        }
        check_distinct(&paths)?;
        Ok(Self {
            name: match names {
                [one] => data_dir.join(one),
                _ => set_name(&paths),
            },
            paths,
        })
    }

    /// The one file as it was named, the glob, or `FIRST and N more`.
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// The files in their order.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }
}

/// One file.
impl From<&Path> for DataFiles {
    fn from(path: &Path) -> Self {
        Self {
            name: path.to_owned(),
            paths: vec![path.to_owned()],
        }
    }
}

/// One file.
impl From<&PathBuf> for DataFiles {
    fn from(path: &PathBuf) -> Self {
        path.as_path().into()
    }
}

fn set_name(paths: &[PathBuf]) -> PathBuf {
    match paths {
        [] => PathBuf::new(),
        [one] => one.clone(),
        [first, rest @ ..] => format!("{} and {} more", first.display(), rest.len()).into(),
    }
}

/// The files that a glob matches, sorted.
fn matches(data_dir: &Path, name: &Path) -> Result<Vec<PathBuf>> {
    let shown = data_dir.join(name);
    let wrong = |message: &str, hint: &str| {
        let problem = Problem::new(message).in_file(&shown).hint(hint);
        Error::new(ErrorKind::MissingInput, problem)
    };
    // The folder is no part of the glob: what is special in a glob is plain there.
    let folder = Pattern::escape(&data_dir.to_string_lossy());
    let pattern = Path::new(&folder).join(name);
    let options = MatchOptions {
        require_literal_separator: true,
        require_literal_leading_dot: true,
        ..MatchOptions::default()
    };
    let found = glob::glob_with(&pattern.to_string_lossy(), options).map_err(|e| {
        let message = format!("no file of this name, and not a glob: {}", e.msg);
        wrong(&message, "write `[[]` for a bracket of a name")
    })?;
    let mut paths: Vec<PathBuf> = found
        .collect::<std::result::Result<_, _>>()
        .map_err(|e| Error::reading(e.path(), e.error()))?;
    paths.retain(|path| !path.is_dir());
    paths.sort();
    if paths.is_empty() {
        return Err(wrong(
            "no file matches",
            "a relative glob starts at the working directory, or at `data.data_dir` where that is set",
        ));
    }
    Ok(paths)
}

/// The same rows twice would be counted twice, which is hardly meant.
fn check_distinct(paths: &[PathBuf]) -> Result<()> {
    let mut seen: BTreeMap<PathBuf, &Path> = BTreeMap::new();
    for path in paths {
        let file = path.canonicalize().unwrap_or_else(|_| path.clone());
        if let Some(other) = seen.insert(file, path) {
            let message = if other.as_os_str() == path.as_os_str() {
                "the data set names this file twice".to_owned()
            } else {
                format!("the data set has this file as `{}` too", other.display())
            };
            return Err(Error::data(Problem::new(message).in_file(path)));
        }
    }
    Ok(())
}
