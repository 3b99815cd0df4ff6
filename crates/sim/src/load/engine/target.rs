//! Where requests go.

use std::net::{SocketAddr, ToSocketAddrs};

use bytes::Bytes;

/// A server and the prefix of its paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Where connections go.
    pub address: SocketAddr,
    /// What stands in the `Host` header.
    pub authority: String,
    /// What stands before each path: empty, or with a slash at its beginning and none at its end.
    pub prefix: String,
}

/// Why an address is no target.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// It is no `http://HOST[:PORT][/PREFIX]`.
    #[error("{0:?} is no address of the form http://HOST[:PORT][/PREFIX]")]
    Form(String),
    /// TLS costs the generator more than it costs most servers to answer.
    #[error("load goes over plain http: let it end TLS elsewhere, or be measured without")]
    Tls,
    /// The host has no address.
    #[error("{host} has no address")]
    Unknown {
        /// The host and port.
        host: String,
        /// What the system said, if it said anything.
        #[source]
        source: Option<std::io::Error>,
    },
}

impl Target {
    /// Reads `http://HOST[:PORT][/PREFIX]` and looks the host up.
    ///
    /// ```
    /// use fleetwire_sim::load::engine::Target;
    ///
    /// let target = Target::find("http://127.0.0.1:8080/acusight/api/").unwrap();
    /// assert_eq!((target.address.port(), &*target.prefix), (8080, "/acusight/api"));
    /// assert!(Target::find("https://127.0.0.1").is_err());
    /// ```
    ///
    /// # Errors
    /// Anything else, `https`, and a host that is not known.
    pub fn find(url: &str) -> Result<Self, TargetError> {
        let form = || TargetError::Form(url.to_owned());
        let uri: http::Uri = url.parse().map_err(|_| form())?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err(TargetError::Tls),
            _ => return Err(form()),
        }
        let (Some(authority), None) = (uri.authority(), uri.query()) else { return Err(form()) };
        let host = uri.host().ok_or_else(form)?;
        let port = match authority.port_u16() {
            Some(port) => port,
            None if authority.as_str() == host => 80,
            None => return Err(form()),
        };
        let named = format!("{host}:{port}");
        let mut addresses = named
            .to_socket_addrs()
            .map_err(|error| TargetError::Unknown { host: named.clone(), source: Some(error) })?;
        let address = addresses.next().ok_or(TargetError::Unknown { host: named, source: None })?;
        Ok(Self {
            address,
            authority: authority.to_string(),
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// Adds a request as it goes over the wire. Of its address only path and query are used, after the prefix;
    /// `Host` and `Content-Length` are added, and `Connection: close` where the plan keeps no connection.
    pub fn write(&self, request: &http::Request<Bytes>, keep_alive: bool, into: &mut Vec<u8>) {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        for part in [
            request.method().as_str(),
            " ",
            &self.prefix,
            path,
            " HTTP/1.1\r\nhost: ",
            &self.authority,
            "\r\n",
        ] {
            into.extend_from_slice(part.as_bytes());
        }
        for (name, value) in request.headers() {
            into.extend_from_slice(name.as_str().as_bytes());
            into.extend_from_slice(b": ");
            into.extend_from_slice(value.as_bytes());
            into.extend_from_slice(b"\r\n");
        }
        if !keep_alive {
            into.extend_from_slice(b"connection: close\r\n");
        }
        if !request.body().is_empty() || request.method() == http::Method::POST {
            into.extend_from_slice(b"content-length: ");
            write_decimal(request.body().len(), into);
            into.extend_from_slice(b"\r\n");
        }
        into.extend_from_slice(b"\r\n");
        into.extend_from_slice(request.body());
    }
}

/// Digits, without the formatting machinery: this runs once per request.
fn write_decimal(number: usize, into: &mut Vec<u8>) {
    let start = into.len();
    let mut rest = number;
    loop {
        // A digit always fits.
        into.push(b'0' + u8::try_from(rest % 10).unwrap_or_default());
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if let Some(digits) = into.get_mut(start..) {
        digits.reverse();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_no_target_is_told_why() {
        for (url, reason) in [
            ("127.0.0.1:80", "no address of the form"),
            ("ftp://127.0.0.1", "no address of the form"),
            ("http://127.0.0.1/?a=b", "no address of the form"),
            ("https://127.0.0.1/", "plain http"),
            ("http://127.0.0.1:99999/", "no address of the form"),
        ] {
            let error = Target::find(url).unwrap_err().to_string();
            assert!(error.contains(reason), "{url}: {error}");
        }
    }

    #[test]
    fn a_request_is_written_with_its_length_and_below_the_prefix() {
        let target = Target::find("http://127.0.0.1:8080/a/").unwrap();
        let request = http::Request::post("http://elsewhere/b?c=d")
            .header("x-key", "k")
            .body(Bytes::from_static(b"0123456789"))
            .unwrap();
        let mut bytes = Vec::new();
        target.write(&request, true, &mut bytes);
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            "POST /a/b?c=d HTTP/1.1\r\nhost: 127.0.0.1:8080\r\nx-key: k\r\ncontent-length: 10\r\n\r\n0123456789"
        );
        let mut bytes = Vec::new();
        target.write(&http::Request::get("/b").body(Bytes::new()).unwrap(), false, &mut bytes);
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            "GET /a/b HTTP/1.1\r\nhost: 127.0.0.1:8080\r\nconnection: close\r\n\r\n"
        );
    }
}
