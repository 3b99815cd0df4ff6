//! How many connections this process may have at one time.

use std::fs;

/// Files that a process has open besides connections, with some to spare.
const OTHER_FILES: usize = 64;
/// More connections than this say nothing more of a server, and many servers let no more come in.
const USUAL: usize = 4096;

/// How many connections this process may have at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// As many as it may have files open, a few kept back; nothing where the system does not tell.
    pub files: Option<usize>,
    /// As many as there are ports for connections to one address; nothing where the system does not tell.
    pub ports: Option<usize>,
}

impl Room {
    /// Looks at the limits of this process and of the system.
    #[must_use]
    pub fn look() -> Self {
        let read = |path| fs::read_to_string(path).ok();
        Self {
            files: read("/proc/self/limits").as_deref().and_then(files),
            ports: read("/proc/sys/net/ipv4/ip_local_port_range").as_deref().and_then(ports),
        }
    }

    /// The connections for so many agents: one each, or as many as were asked for, as far as there is room; and a
    /// sentence if agents share.
    #[must_use]
    pub fn connections(&self, agents: usize, asked: Option<usize>) -> (usize, Option<String>) {
        let (most, why) = [
            (self.files, "this process may open no more files (`ulimit -n`)"),
            (self.ports, "there are no more ports towards one address"),
        ]
        .into_iter()
        .filter_map(|(most, why)| Some((most?, why)))
        .min_by_key(|(most, _)| *most)
        .unwrap_or((usize::MAX, ""));
        let wanted = asked.unwrap_or_else(|| agents.min(USUAL)).min(agents).max(1);
        let connections = wanted.min(most);
        let note = if connections < wanted {
            Some(format!("{agents} agents share {connections} connections: {why}."))
        } else if connections < agents && asked.is_none() {
            Some(format!(
                "{agents} agents share {connections} connections; --connections allows more, as far as the server takes \
                 them."
            ))
        } else if connections < agents {
            Some(format!("{agents} agents share {connections} connections, as was asked for."))
        } else {
            None
        };
        (connections, note)
    }
}

/// The soft limit in the line `Max open files  20000  20000  files`.
fn files(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let most: usize = line.split_whitespace().next()?.parse().ok()?;
    Some(most.saturating_sub(OTHER_FILES).max(1))
}

/// The ports of a range such as `32768 60999`.
fn ports(range: &str) -> Option<usize> {
    let mut bounds = range.split_whitespace().map(str::parse::<usize>);
    let (first, last) = (bounds.next()?.ok()?, bounds.next()?.ok()?);
    Some((last + 1).saturating_sub(first).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Room = Room { files: Some(19_936), ports: Some(28_232) };

    #[test]
    fn each_agent_has_a_connection_while_there_is_room() {
        assert_eq!(ROOM.connections(100, None), (100, None));
        assert_eq!(ROOM.connections(19_936, Some(50_000)), (19_936, None));
        assert_eq!(Room { files: None, ports: None }.connections(4096, None), (4096, None));
    }

    #[test]
    fn agents_that_share_connections_are_told_of_and_why() {
        let (connections, note) = ROOM.connections(100_000, Some(100_000));
        assert_eq!(connections, 19_936);
        assert!(note.unwrap().contains("ulimit -n"));
        let (connections, note) = Room { files: None, ports: Some(3) }.connections(10, None);
        assert_eq!(connections, 3);
        assert!(note.unwrap().contains("ports"));
        assert_eq!(ROOM.connections(100_000, None).0, USUAL);
        assert!(ROOM.connections(100_000, None).1.unwrap().contains("--connections"));
        assert!(ROOM.connections(100, Some(7)).1.unwrap().contains("as was asked for"));
    }

    #[test]
    fn limits_are_read_as_linux_writes_them() {
        assert_eq!(
            files("Limit  Soft\nMax open files            20000                20000                files\n"),
            Some(19_936)
        );
        assert_eq!(
            files("Max open files            unlimited            unlimited            files\n"),
            None
        );
        assert_eq!(files(""), None);
        assert_eq!(ports("32768\t60999\n"), Some(28_232));
        assert_eq!(ports("60999"), None);
        assert_eq!(ports("9 1"), Some(1));
    }
}
