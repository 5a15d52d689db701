//! Where detectors look: variables, files, the kernel, the network. Tests bring a machine of their own.
//! The process's own variables are read, never set.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::fetch::Fetcher;

/// A machine.
#[derive(Debug)]
pub(crate) struct Machine {
    /// Variables that stand for those of the process.
    vars: Option<BTreeMap<String, String>>,
    /// Where the file system begins.
    root: PathBuf,
    /// A host name that stands for the kernel's.
    nodename: Option<String>,
    pub fetcher: Fetcher,
}

impl Machine {
    /// This machine.
    pub(crate) fn here() -> Machine {
        Machine { vars: None, root: PathBuf::from("/"), nodename: None, fetcher: Fetcher::new() }
    }

    /// A machine with these variables, files and name and no others.
    #[cfg(test)]
    pub(crate) fn of(vars: &[(&str, &str)], root: &std::path::Path, nodename: &str) -> Machine {
        let vars = vars.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let (vars, nodename) = (Some(vars), Some(nodename.to_owned()));
        Machine { vars, root: root.to_owned(), nodename, fetcher: Fetcher::new() }
    }

    /// A variable, unless it is unset or empty.
    pub(crate) fn var(&self, name: &str) -> Option<String> {
        let value = match &self.vars {
            Some(vars) => vars.get(name).cloned(),
            None => std::env::var(name).ok(),
        };
        value.filter(|value| !value.is_empty())
    }

    /// Where a file of this machine is, given from its root: `etc/hosts`.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// The text of a file, without what surrounds it; `None` if it is not there or empty.
    pub(crate) fn file(&self, path: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.path(path)).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// What the kernel calls the host.
    pub(crate) fn nodename(&self) -> String {
        let kernel = || rustix::system::uname().nodename().to_string_lossy().into_owned();
        self.nodename.clone().unwrap_or_else(kernel)
    }
}
