use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport, time,
};

use crate::runtime::since_start;

/// Bytes that wait to be sent with those that follow.
const TOGETHER: usize = 16 << 10;

/// Looks no name up. ureq asks for the addresses of each request, also of one whose connection is there, and bounds the
/// time of that by a thread; [`Tcp`] asks where it connects.
#[derive(Debug)]
pub(super) struct Later;

impl Resolver for Later {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        Ok(self.empty())
    }
}

/// Connects by TCP, trying the addresses of a name in their order.
#[derive(Debug, Default)]
pub(super) struct Tcp(DefaultResolver);

impl Tcp {
    fn addresses(&self, details: &ConnectionDetails<'_>) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut timeout = details.timeout;
        let host = details.uri.host().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if host.parse::<IpAddr>().is_ok() {
            // To read an address takes no time, and so no thread that bounds it.
            timeout.after = time::Duration::NotHappening;
        }
        self.0.resolve(details.uri, details.config, timeout).map_err(|error| match error {
            // All that looking a name up comes to is the system's word.
            ureq::Error::Io(_) => ureq::Error::HostNotFound,
            error => error,
        })
    }
}

impl Connector<()> for Tcp {
    type Out = Connection;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<Connection>, ureq::Error> {
        let began = since_start();
        let addresses = self.addresses(details)?;
        let timed_out = || ureq::Error::Timeout(details.timeout.reason);
        let mut last = ureq::Error::ConnectionFailed;
        for (place, address) in addresses.iter().enumerate() {
            let left = match details.timeout.not_zero() {
                Some(after) => {
                    let left = after.saturating_sub(since_start().saturating_sub(began));
                    if left.is_zero() {
                        return Err(timed_out());
                    }
                    Some(left)
                }
                None => None,
            };
            // The first ones must not use up the time of those that come after them.
            let share = left.map(|left| if place + 1 < addresses.len() { left / 2 } else { left });
            match connect(address, share) {
                Ok(stream) => return Ok(Some(Connection::new(stream, details.config))),
                Err(error) if is_timeout(&error) => last = timed_out(),
                Err(error) => last = error.into(),
            }
        }
        Err(last)
    }
}

fn connect(address: &SocketAddr, within: Option<Duration>) -> io::Result<TcpStream> {
    let stream = match within {
        Some(within) => TcpStream::connect_timeout(address, within.max(Duration::from_millis(1)))?,
        None => TcpStream::connect(address)?,
    };
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
}

/// A connection that asks little of the system for each request: head and body of a small one leave together, its time
/// limits are set when they differ by something that matters, and whether the server has hung up is looked at once.
pub(super) struct Connection {
    stream: TcpStream,
    buffers: LazyBuffers,
    unsent: Vec<u8>,
    read_limit: Limit,
    write_limit: Limit,
    /// Whether bytes have come since it was last asked whether this is open.
    heard: bool,
}

impl Connection {
    fn new(stream: TcpStream, config: &Config) -> Self {
        Self {
            stream,
            buffers: LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size()),
            unsent: Vec::new(),
            read_limit: Limit::default(),
            write_limit: Limit::default(),
            heard: false,
        }
    }

    fn send(&mut self, timeout: NextTimeout) -> Result<(), ureq::Error> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        let timeout = timeout.for_write();
        let limit = in_time(timeout)?;
        self.write_limit.set(limit, |limit| self.stream.set_write_timeout(limit))?;
        let sent = self.stream.write_all(&self.unsent);
        self.unsent.clear();
        sent.map_err(|error| or_timeout(error, timeout))
    }
}

/// The time there is for what comes next; `None` for as long as it likes.
fn in_time(timeout: NextTimeout) -> Result<Option<Duration>, ureq::Error> {
    match timeout.after {
        time::Duration::NotHappening => Ok(None),
        time::Duration::Exact(after) if after.is_zero() => Err(ureq::Error::Timeout(timeout.reason)),
        time::Duration::Exact(after) => Ok(Some(after)),
    }
}

fn or_timeout(error: io::Error, timeout: NextTimeout) -> ureq::Error {
    if is_timeout(&error) { ureq::Error::Timeout(timeout.reason) } else { error.into() }
}

impl Transport for Connection {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let output = self.buffers.output();
        self.unsent.extend_from_slice(output.get(..amount).unwrap_or(output));
        if self.unsent.len() < TOGETHER { Ok(()) } else { self.send(timeout) }
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.send(timeout)?;
        let timeout = timeout.for_read();
        let limit = in_time(timeout)?;
        let began = since_start();
        loop {
            let left = limit.map(|limit| limit.saturating_sub(since_start().saturating_sub(began)));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(ureq::Error::Timeout(timeout.reason));
            }
            self.read_limit.set(left, |limit| self.stream.set_read_timeout(limit))?;
            match self.stream.read(self.buffers.input_append_buf()) {
                Ok(amount) => {
                    self.buffers.input_appended(amount);
                    self.heard = amount > 0;
                    return Ok(self.heard);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(or_timeout(error, timeout)),
            }
        }
    }

    fn is_open(&mut self) -> bool {
        // Asked when an answer has been read, and again before the next request, which is when it matters.
        std::mem::take(&mut self.heard) || is_silent(&self.stream).unwrap_or(false)
    }
}

/// Whether the server has neither hung up nor said anything that nobody asked for.
fn is_silent(stream: &TcpStream) -> io::Result<bool> {
    stream.set_nonblocking(true)?;
    let heard = stream.peek(&mut [0]);
    stream.set_nonblocking(false)?;
    Ok(heard.is_err_and(|error| error.kind() == ErrorKind::WouldBlock))
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("peer", &self.stream.peer_addr().ok()).finish_non_exhaustive()
    }
}

/// The time limit that a socket has. What is left of a request's time is another for each of its steps, and setting it
/// each time costs as much as sending does: one that is longer by up to an eighth does.
#[derive(Debug, Default)]
struct Limit(Option<Duration>);

impl Limit {
    fn set(
        &mut self,
        wanted: Option<Duration>,
        set: impl FnOnce(Option<Duration>) -> io::Result<()>,
    ) -> io::Result<()> {
        let does = match (self.0, wanted) {
            (None, None) => true,
            (Some(has), Some(wanted)) => wanted <= has && has - wanted <= wanted / 8,
            _ => false,
        };
        if !does {
            let longer = wanted.map(|wanted| wanted.saturating_add(wanted / 16));
            set(longer)?;
            self.0 = longer;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_limit_is_set_again_only_when_it_is_too_short_or_much_too_long() {
        let mut limit = Limit::default();
        let mut set = |wanted| {
            let mut asked = None;
            limit
                .set(wanted, |to| {
                    asked = Some(to);
                    Ok(())
                })
                .unwrap();
            asked
        };
        assert_eq!(set(None), None, "a socket has none at first");
        assert_eq!(set(Some(SECOND * 32)), Some(Some(SECOND * 34)));
        assert_eq!(set(Some(SECOND * 31)), None);
        assert_eq!(set(Some(SECOND * 34)), None);
        assert_eq!(set(Some(SECOND * 35)), Some(Some(SECOND * 35 + SECOND * 35 / 16)), "never too short");
        assert_eq!(set(Some(SECOND * 16)), Some(Some(SECOND * 17)), "nor half as long again");
        assert_eq!(set(None), Some(None));
    }

    #[test]
    fn a_limit_that_could_not_be_set_is_tried_again() {
        let mut limit = Limit::default();
        limit.set(Some(SECOND), |_| Err(ErrorKind::InvalidInput.into())).unwrap_err();
        let mut asked = false;
        limit
            .set(Some(SECOND), |_| {
                asked = true;
                Ok(())
            })
            .unwrap();
        assert!(asked);
    }

    #[test]
    fn a_server_that_has_hung_up_or_says_what_nobody_asked_for_is_not_silent() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        assert!(is_silent(&stream).unwrap());
        server.write_all(b"x").unwrap();
        stream.peek(&mut [0]).unwrap();
        assert!(!is_silent(&stream).unwrap());
        drop(server);
        let mut all = Vec::new();
        (&stream).read_to_end(&mut all).unwrap();
        assert_eq!(all, b"x");
        assert!(!is_silent(&stream).unwrap());
    }
}
