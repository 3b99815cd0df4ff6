//! The real binary as a process.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A server process, killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
    pub(crate) token: Option<String>,
}

impl Server {
    pub(crate) fn start(data: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_fleetwire"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (mut address, mut token) = (None, None);
        while address.is_none() {
            let Some(Ok(line)) = lines.next() else {
                panic!("the server ended before it served: {:?}", child.wait());
            };
            let word = line.split_whitespace().last().unwrap_or_default();
            if word.starts_with("fwo_") {
                token = Some(word.to_owned());
            } else if line.starts_with("Serving on ") {
                address = Some(word.to_owned());
            }
        }
        // Whatever else it prints must not block it.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address: address.unwrap(), token }
    }
}

impl Drop for Server {
    /// As power would be cut: no signal that could be handled.
    fn drop(&mut self) {
        // Whatever fails here, the process is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
