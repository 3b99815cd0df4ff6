use std::path::Path;

use crate::agent::Dialect;
#[cfg(feature = "host-facts")]
use crate::host::Host;

/// The embedding program's reports.
pub(super) type Reporter<D> = Box<dyn FnMut() -> <D as Dialect>::Report + Send>;

/// Where reports come from.
pub(super) enum Source<D: Dialect> {
    Program(Reporter<D>),
    /// The machine's own facts.
    #[cfg(feature = "host-facts")]
    Machine {
        host: Box<Host>,
        /// What it said last, for when it has nothing to say: its network is down, say.
        last: D::Report,
    },
}

impl<D: Dialect> Source<D> {
    /// The source, and its first report; `None` if there is none. The disk whose figures are told is that of `folder`.
    #[cfg_attr(
        not(feature = "host-facts"),
        expect(unused_variables, reason = "asked of the machine's facts only")
    )]
    pub(super) fn begin(
        given: Option<Reporter<D>>,
        dialect: &D,
        folder: Option<&Path>,
    ) -> Option<(Self, D::Report)> {
        if let Some(mut given) = given {
            let first = given();
            return Some((Self::Program(given), first));
        }
        #[cfg(feature = "host-facts")]
        {
            let mut host = Box::new(Host::new(folder.unwrap_or(Path::new("."))));
            let last = dialect.report(&host.facts())?;
            Some((Self::Machine { host, last: last.clone() }, last))
        }
        #[cfg(not(feature = "host-facts"))]
        None
    }

    #[cfg_attr(
        not(feature = "host-facts"),
        expect(unused_variables, reason = "asked of the machine's facts only")
    )]
    pub(super) fn report(&mut self, dialect: &D) -> D::Report {
        match self {
            Self::Program(report) => report(),
            #[cfg(feature = "host-facts")]
            Self::Machine { host, last } => {
                if let Some(report) = dialect.report(&host.facts()) {
                    *last = report;
                }
                last.clone()
            }
        }
    }
}
