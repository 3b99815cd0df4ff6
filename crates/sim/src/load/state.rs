//! What is kept between runs: who has been taken in, and with which key.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use fleetwire_server_core::domain::Vendor;
use serde::{Deserialize, Serialize};

use super::fleet::{Agent, is_usable};

/// The number of the form that is written.
const FORMAT: u32 = 1;

/// Agents that were taken in, by vendor. Its file holds keys: on Unix nobody but its owner can read it.
///
/// Where a server takes agents in by ways of its own, such a file can be written by hand.
///
/// ```
/// use fleetwire_server_core::domain::Vendor;
/// use fleetwire_sim::load::{Agent, State};
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("agents.json");
/// let mut state = State::read(&path).unwrap();
/// assert!(state.agents(Vendor::Acusight).is_empty());
/// let camera = Agent::new("camera-1", "camera-1", "adk_0000");
/// state.set(Vendor::Acusight, "http://127.0.0.1:8787/acusight/api", vec![camera]);
/// state.write(&path).unwrap();
/// assert_eq!(State::read(&path).unwrap(), state);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    vendors: BTreeMap<&'static str, Known>,
}

/// As it is in the file.
#[derive(Serialize, Deserialize)]
#[serde(bound(deserialize = "V: Ord + Deserialize<'de>"))]
struct Kept<V: Ord> {
    format: u32,
    vendors: BTreeMap<V, Known>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    /// The base address of the server that knows them.
    base: String,
    agents: Vec<Agent>,
}

/// Why a file of agents is of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// It cannot be read or written.
    #[error("cannot {0} {path}: {1}", path = .2.display())]
    Io(&'static str, #[source] io::Error, PathBuf),
    /// It is not the file of a load.
    #[error("{path} holds no simulated agents: {0}", path = .1.display())]
    Form(String, PathBuf),
}

impl State {
    /// Reads a file; nobody is known if there is none.
    ///
    /// # Errors
    /// It cannot be read, or is something else.
    pub fn read(path: &Path) -> Result<Self, StateError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(StateError::Io("read", error, path.to_owned())),
        };
        let form = |what: String| StateError::Form(what, path.to_owned());
        let kept: Kept<String> =
            serde_json::from_reader(BufReader::new(file)).map_err(|error| form(error.to_string()))?;
        if kept.format != FORMAT {
            return Err(form(format!("its form is {}, not {FORMAT}", kept.format)));
        }
        let mut vendors = BTreeMap::new();
        for (name, known) in kept.vendors {
            let vendor = Vendor::ALL.into_iter().find(|vendor| vendor.as_str() == name);
            let vendor = vendor.ok_or_else(|| form(format!("`{name}` is no vendor")))?;
            if let Some(agent) = known.agents.iter().find(|agent| !is_usable(vendor, agent)) {
                return Err(form(format!(
                    "`{}` has a name, id, key or model that cannot stand in a request as it is",
                    agent.name.escape_debug()
                )));
            }
            vendors.insert(vendor.as_str(), known);
        }
        Ok(Self { vendors })
    }

    /// Writes the file anew.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), StateError> {
        let mut fresh = path.as_os_str().to_owned();
        fresh.push(".new");
        let fresh = PathBuf::from(fresh);
        let kept = Kept { format: FORMAT, vendors: self.vendors.clone() };
        let written = || {
            let mut options = File::options();
            options.write(true).create(true).truncate(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let mut file = BufWriter::new(options.open(&fresh)?);
            serde_json::to_writer(&mut file, &kept)?;
            file.flush()?;
            fs::rename(&fresh, path)
        };
        written().map_err(|error: io::Error| StateError::Io("write", error, path.to_owned()))
    }

    /// The agents of a vendor.
    #[must_use]
    pub fn agents(&self, vendor: Vendor) -> &[Agent] {
        self.vendors.get(vendor.as_str()).map_or(&[], |known| &known.agents)
    }

    /// The base address of the server that knows a vendor's agents, if there are some.
    #[must_use]
    pub fn base(&self, vendor: Vendor) -> Option<&str> {
        self.vendors
            .get(vendor.as_str())
            .filter(|known| !known.agents.is_empty())
            .map(|known| known.base.as_str())
    }

    /// Replaces the agents of a vendor.
    pub fn set(&mut self, vendor: Vendor, base: &str, agents: Vec<Agent>) {
        self.vendors.insert(vendor.as_str(), Known { base: base.to_owned(), agents });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_something_else_is_refused_with_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agents.json");
        for (text, wrong) in [
            ("", "EOF"),
            ("[]", "invalid length"),
            (r#"{"format":2,"vendors":{}}"#, "its form is 2"),
            (r#"{"format":1,"vendors":{"acme":{"base":"","agents":[]}}}"#, "`acme` is no vendor"),
            (
                r#"{"format":1,"vendors":{"zstack":{"base":"","agents":[{"name":"n","id":"a/b","key":"k"}]}}}"#,
                "cannot stand in a request",
            ),
            (
                r#"{"format":1,"vendors":{"acusight":{"base":"","agents":[{"name":"n","id":"a","key":"k\r\nx: y"}]}}}"#,
                "cannot stand in a request",
            ),
        ] {
            fs::write(&path, text).unwrap();
            let error = State::read(&path).unwrap_err().to_string();
            assert!(error.contains(wrong), "{text}: {error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_can_read_the_keys() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agents.json");
        State::default().write(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
