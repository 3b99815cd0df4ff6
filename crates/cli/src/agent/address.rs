//! What is wrong with an address at which no server of the vendor answers, and what to try instead.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use fleetwire_client::agent::{Trouble, TroubleKind};
use fleetwire_client::download::{Download, DownloadError, Downloaded};
use fleetwire_client::protocol::FaultKind;
use fleetwire_client::{Cause, ReqwestTransport, Runtime, Transport};
use fleetwire_server::{Mount, mounts};
use http::{Request, Response, Uri};

/// Carries what an agent sends, and remembers where it went last.
#[derive(Clone)]
pub(super) struct Noting {
    inner: ReqwestTransport,
    last: Arc<Mutex<String>>,
}

impl Noting {
    pub(super) fn new(inner: ReqwestTransport) -> Self {
        Self { inner, last: Arc::default() }
    }

    /// The request line of what was sent last, without its query.
    pub(super) fn last(&self) -> String {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Transport for Noting {
    type Error = <ReqwestTransport as Transport>::Error;

    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Self::Error> {
        let uri = request.uri();
        let address = uri.to_string();
        let address = address.split('?').next().unwrap_or_default();
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = format!("{} {address}", request.method());
        self.inner.exchange(request).await
    }

    async fn fetch_file(
        &self,
        download: &Download,
        runtime: &impl Runtime,
    ) -> Option<Result<Downloaded, DownloadError>> {
        self.inner.fetch_file(download, runtime).await
    }
}

/// Whether a failure is a mistake of who started the agent, which no waiting mends.
pub(super) fn is_mistake(trouble: &Trouble) -> bool {
    match trouble.kind {
        TroubleKind::NoAnswer(Cause::Name | Cause::Tls) => true,
        TroubleKind::NoAnswer(Cause::Broken) => is_no_http(trouble),
        // A page of 5xx or 429 is a server's bad day.
        TroubleKind::Foreign(status) => !status.is_server_error() && status.as_u16() != 429,
        TroubleKind::Refused(FaultKind::Unauthenticated | FaultKind::MethodNotAllowed, _) => true,
        _ => !trouble.is_retryable(),
    }
}

/// Whether what answered does not speak HTTP, as a port for TLS does not.
fn is_no_http(trouble: &Trouble) -> bool {
    trouble.text.contains("invalid HTTP")
}

/// What to try next, where the address may be what is wrong.
pub(super) fn advice(vendor: &str, server: &str, trouble: &Trouble) -> Option<String> {
    let base: Uri = server.trim().parse().ok()?;
    let authority = base.authority()?.as_str();
    let tls = base.scheme_str() == Some("https");
    Some(match trouble.kind {
        TroubleKind::NoAnswer(Cause::Name) => format!(
            "nobody knows the name {:?}: see that --server is spelled right, and that this machine can look names up",
            base.host().unwrap_or_default()
        ),
        TroubleKind::NoAnswer(Cause::Tls) if trouble.text.contains("corrupt message") => format!(
            "what answers there does not speak TLS: try --server http://{authority}{}",
            base.path().trim_end_matches('/')
        ),
        TroubleKind::NoAnswer(Cause::Tls) => format!(
            "its certificate has to be for the name {:?} and of an authority that this system trusts",
            base.host().unwrap_or_default()
        ),
        TroubleKind::NoAnswer(Cause::Broken) if !tls => format!(
            "what answers there may speak TLS only: try --server https://{authority}{}",
            base.path().trim_end_matches('/')
        ),
        TroubleKind::NoAnswer(Cause::Unreachable) => {
            format!("see that the server runs, and that {authority} is where it listens")
        }
        TroubleKind::Foreign(_) | TroubleKind::Refused(FaultKind::NotFound, _)
        | TroubleKind::Refused(FaultKind::MethodNotAllowed | FaultKind::Unauthenticated, _)
            if elsewhere(vendor, &base).is_some() =>
        {
            elsewhere(vendor, &base)?
        }
        TroubleKind::Foreign(status) if status.is_redirection() => {
            "it sends agents elsewhere, and they do not follow: --server takes the address where it ends".to_owned()
        }
        TroubleKind::Foreign(_) => {
            "what answers there is not the vendor's server: see whether a proxy or another program has the address"
                .to_owned()
        }
        TroubleKind::Refused(FaultKind::NotFound, _) => format!(
            "the server does not know this agent: `fleetwire devices list` shows those that it knows, `fleetwire \
             devices add {vendor}` makes one"
        ),
        _ => return None,
    })
}

/// Where a Fleetwire server has the vendor, if that is not what it was asked for.
pub(super) fn elsewhere(vendor: &str, base: &Uri) -> Option<String> {
    let Mount { prefix, base: own, .. } = mounts().iter().find(|mount| mount.vendor == vendor)?;
    let usual = format!("{prefix}{own}");
    (base.path().trim_end_matches('/') != usual).then(|| {
        let (scheme, authority) = (base.scheme_str().unwrap_or("http"), base.authority().map_or("", |it| it.as_str()));
        format!("--server takes the vendor's base address: on a Fleetwire server that is {scheme}://{authority}{usual}")
    })
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn trouble(kind: TroubleKind, text: &str) -> Trouble {
        Trouble { kind, retry_after: None, text: text.to_owned() }
    }

    #[test]
    fn a_bad_day_of_the_server_is_no_mistake_of_who_started_the_agent() {
        let refused = |kind, status| TroubleKind::Refused(kind, StatusCode::from_u16(status).unwrap());
        let foreign = |status| TroubleKind::Foreign(StatusCode::from_u16(status).unwrap());
        for kind in [
            TroubleKind::NoAnswer(Cause::Unreachable),
            TroubleKind::NoAnswer(Cause::Timeout),
            TroubleKind::NoAnswer(Cause::Broken),
            foreign(502),
            foreign(429),
            refused(FaultKind::Limited, 429),
            refused(FaultKind::Server, 500),
        ] {
            assert!(!is_mistake(&trouble(kind, "")), "{kind:?}");
        }
        for kind in [
            TroubleKind::NoAnswer(Cause::Name),
            TroubleKind::NoAnswer(Cause::Tls),
            foreign(404),
            foreign(301),
            foreign(200),
            refused(FaultKind::NotFound, 404),
            refused(FaultKind::MethodNotAllowed, 405),
            refused(FaultKind::Unauthenticated, 401),
            TroubleKind::Unwritten,
        ] {
            assert!(is_mistake(&trouble(kind, "")), "{kind:?}");
        }
    }

    #[test]
    fn the_advice_is_an_address_that_can_be_tried() {
        let not_found = trouble(TroubleKind::Foreign(StatusCode::NOT_FOUND), "");
        for (vendor, server, tried) in [
            ("achilles", "http://h:1", "http://h:1/achilles"),
            ("acusight", "https://h/acusight/", "https://h/acusight/api"),
            ("agentmc", "http://h:1/agentmc", "http://h:1/agentmc/api/v1"),
            ("zstack", "http://h:1/zstack/api", "http://h:1/zstack"),
        ] {
            let told = advice(vendor, server, &not_found).unwrap();
            assert!(told.ends_with(&format!(" {tried}")), "{told}");
        }
        let plain = trouble(TroubleKind::NoAnswer(Cause::Tls), "received corrupt message of type X");
        let told = advice("achilles", "https://h:1/achilles/", &plain).unwrap();
        assert!(told.ends_with("--server http://h:1/achilles"), "{told}");
        let right = advice(
            "zstack",
            "http://h:1/zstack/",
            &trouble(TroubleKind::Refused(FaultKind::NotFound, StatusCode::NOT_FOUND), ""),
        );
        assert!(right.unwrap().contains("`fleetwire devices add zstack`"));
    }
}
