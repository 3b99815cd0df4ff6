use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use fleetwire_protocol::achilles::{AgentCredentials, DownloadUpdate, Task, TaskType, UpdateWish};
use fleetwire_protocol::{Call, codec};
use http::{Request, Uri};

use super::{Offer, SelfUpdate, Started, UpdateError};
use crate::achilles::{Achilles, TaskOutcome};
use crate::agent::{Event, Input, Machine, Moment};
use crate::driver::Inbox;
use crate::work::{Context, WorkError};

/// How often a task that waits for an update looks whether it was called off.
const LOOK: Duration = Duration::from_millis(100);

/// Fetches the bytes of an update, on a thread of its own.
///
/// A closure that takes a request and gives what its answer's body is read from is one. The request holds credentials
/// only if it goes to the agent's own server; they must follow no redirect to another.
pub trait Fetch: Send + Sync + 'static {
    /// Sends a request and gives the body of its answer, if that is the file.
    ///
    /// # Errors
    /// There is no answer, or another one.
    fn fetch(
        &self,
        request: Request<Bytes>,
    ) -> Result<Box<dyn Read>, Box<dyn std::error::Error + Send + Sync>>;
}

impl<F> Fetch for F
where
    F: Fn(Request<Bytes>) -> Result<Box<dyn Read>, Box<dyn std::error::Error + Send + Sync>>
        + Send
        + Sync
        + 'static,
{
    fn fetch(
        &self,
        request: Request<Bytes>,
    ) -> Result<Box<dyn Read>, Box<dyn std::error::Error + Send + Sync>> {
        self(request)
    }
}

/// What came of looking for a newer version.
#[derive(Clone)]
enum Came {
    UpToDate,
    Installed(String),
    Failed(String),
}

/// Looks after the updates of an agent while it runs.
struct Updating {
    update: Arc<SelfUpdate>,
    fetch: Box<dyn Fetch>,
    inbox: Arc<Inbox<Achilles>>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Whether a version is being fetched and put in place.
    busy: bool,
    /// How often it was found out what came of it, and what came of it last.
    round: u64,
    came: Option<Came>,
}

/// What is needed to ask for a file.
struct Access {
    base: String,
    credentials: AgentCredentials,
    wish: UpdateWish,
    now: chrono::DateTime<chrono::Utc>,
    release_key: Option<String>,
}

impl crate::achilles::Agent {
    /// Changes the program for the versions that the server offers, and when a task of type `update_agent` asks for it.
    ///
    /// When another version is in place, the agent stops as if it were asked to: what the task came to is handed over
    /// or kept. [`SelfUpdate::is_replaced`] then says that the program is to be started anew.
    /// [`SelfUpdate::on_start`] is to be called before.
    pub fn self_update(self, update: Arc<SelfUpdate>, fetch: impl Fetch) -> Self {
        let updating = Arc::new(Updating {
            update,
            fetch: Box::new(fetch),
            inbox: Arc::clone(&self.inbox),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let asked = Arc::clone(&updating);
        let mut agent = self
            .on(TaskType::UpdateAgent.as_str(), move |_: &Task, context: &Context<Achilles>| {
                asked.ask(context)
            });
        agent.watch = Some(Box::new(move |event, machine, moment| updating.saw(event, machine, moment)));
        agent
    }
}

impl Updating {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does a task: asks for a newer version and waits for what comes of it.
    fn ask(&self, context: &Context<Achilles>) -> Result<TaskOutcome, WorkError> {
        let mut state = self.lock();
        let round = state.round;
        self.inbox.push(Input::CheckUpdate);
        while state.round == round {
            if context.is_called_off() {
                return Err(WorkError::CalledOff);
            }
            state = self.changed.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
        match state.came.clone() {
            Some(Came::Installed(version)) => Ok(TaskOutcome::printed(format!("updated to {version}"))),
            Some(Came::Failed(why)) => Err(WorkError::Failed(why)),
            Some(Came::UpToDate) | None => Ok(TaskOutcome::printed("already up to date")),
        }
    }

    /// Tells what came of it. While a version is being put in place, that alone counts.
    fn settle(&self, came: Came, ended: bool) {
        let mut state = self.lock();
        if state.busy && !ended {
            return;
        }
        state.busy = false;
        state.round = state.round.wrapping_add(1);
        state.came = Some(came);
        drop(state);
        self.changed.notify_all();
    }

    /// Looks at an event of the agent.
    fn saw(self: &Arc<Self>, event: &Event<Achilles>, machine: &Machine<Achilles>, moment: &Moment) {
        match event {
            Event::Taken { .. } if self.update.confirms_with_heartbeat() => {
                if let Err(error) = self.update.confirm() {
                    self.inbox.push(Input::Updated(Err(error.to_string())));
                }
            }
            Event::UpdateOffered(info) => self.begin(Offer::from(info), access(machine, moment)),
            Event::UpToDate => self.settle(Came::UpToDate, false),
            Event::Failed { step: "check_update", trouble, .. } => {
                let why = format!("the server did not say whether there is a newer version: {trouble}");
                self.settle(Came::Failed(why), false);
            }
            _ => {}
        }
        match self.update.check_deadline() {
            Ok(Started::RolledBack { version, why }) => {
                self.inbox.push(Input::Updated(Err(format!("{version} was given up: {why}"))));
                self.restart();
            }
            Ok(_) => {}
            Err(error) => self.inbox.push(Input::Updated(Err(error.to_string()))),
        }
    }

    fn restart(&self) {
        self.inbox.push(Input::ExpectUpdate);
        self.inbox.push(Input::Stop);
    }

    /// Begins to change the program, beside everything else.
    fn begin(self: &Arc<Self>, offer: Offer, access: Option<Access>) {
        if std::mem::replace(&mut self.lock().busy, true) {
            return;
        }
        let updating = Arc::clone(self);
        let begun = thread::Builder::new().name("update".to_owned()).spawn(move || {
            let outcome = match access {
                Some(access) => updating.change(&offer, &access),
                None => Err(UpdateError::Fetch("the agent is not enrolled".into())),
            };
            updating.ended(offer.version, outcome);
        });
        if let Err(error) = begun {
            self.ended(String::new(), Err(UpdateError::Fetch(Box::new(error))));
        }
    }

    fn change(&self, offer: &Offer, access: &Access) -> Result<(), UpdateError> {
        let enrolled = access.release_key.as_deref();
        self.update.look_at(offer, enrolled)?;
        let request = request(offer, access)?;
        let bytes = self.fetch.fetch(request).map_err(UpdateError::Fetch)?;
        self.update.install(offer, enrolled, bytes)
    }

    fn ended(&self, version: String, outcome: Result<(), UpdateError>) {
        match outcome {
            Ok(()) => {
                self.inbox.push(Input::Updated(Ok(version.clone())));
                self.settle(Came::Installed(version), true);
                self.restart();
            }
            Err(UpdateError::AlreadyRuns(_)) => self.settle(Came::UpToDate, true),
            Err(error) => {
                self.inbox.push(Input::Updated(Err(error.to_string())));
                self.settle(Came::Failed(error.to_string()), true);
            }
        }
    }
}

fn access(machine: &Machine<Achilles>, moment: &Moment) -> Option<Access> {
    let (identity, key) = (machine.identity()?, machine.key()?);
    let (base, os, arch) = machine.dialect().place();
    Some(Access {
        base: base.to_owned(),
        credentials: AgentCredentials::new(identity.agent_id.clone(), key.expose()),
        wish: UpdateWish::new(os.clone(), arch.clone()),
        now: machine.server_time(moment),
        release_key: identity.update_key.clone(),
    })
}

/// The request for the bytes of an offer: to where it says they are, or to the vendor's place for them. Only the agent's
/// own server is shown its key.
fn request(offer: &Offer, access: &Access) -> Result<Request<Bytes>, UpdateError> {
    let call = Call::<DownloadUpdate>::with(access.wish.clone(), ());
    let mut own = codec::encode(&access.base, &access.credentials, access.now, &call)
        .map_err(|error| UpdateError::Fetch(Box::new(error)))?;
    let Some(url) = &offer.download_url else { return Ok(own) };
    let uri: Uri = url.parse().map_err(|error: http::uri::InvalidUri| UpdateError::Fetch(Box::new(error)))?;
    if origin(&uri) == origin(own.uri()) {
        *own.uri_mut() = uri;
        return Ok(own);
    }
    match (own.uri().scheme_str(), uri.scheme_str()) {
        (_, Some("https")) | (Some("http"), Some("http")) => {}
        _ => return Err(UpdateError::Fetch(format!("{url} is not fetched: it is not https").into())),
    }
    Request::get(uri).body(Bytes::new()).map_err(|error| UpdateError::Fetch(Box::new(error)))
}

/// Scheme, host and port of an address.
fn origin(uri: &Uri) -> (Option<&str>, Option<String>, Option<u16>) {
    let usual = match uri.scheme_str() {
        Some("https") => Some(443),
        Some("http") => Some(80),
        _ => None,
    };
    (uri.scheme_str(), uri.host().map(str::to_ascii_lowercase), uri.port_u16().or(usual))
}

#[cfg(test)]
mod tests {
    use fleetwire_protocol::achilles::{Arch, Os};

    use super::*;

    fn request_from(base: &str, url: Option<&str>) -> Result<Request<Bytes>, UpdateError> {
        let access = Access {
            base: base.to_owned(),
            credentials: AgentCredentials::new("a-1", "ak_5ec2e7"),
            wish: UpdateWish::new(Os::Linux, Arch::Amd64),
            now: chrono::DateTime::UNIX_EPOCH,
            release_key: None,
        };
        let mut offer = Offer::new("1.1.0", "", 0);
        offer.download_url = url.map(ToOwned::to_owned);
        request(&offer, &access)
    }

    #[test]
    fn the_agents_key_goes_to_its_own_server_only() {
        let base = "https://fleet.test/achilles";
        let own = request_from(base, None).unwrap();
        assert_eq!(own.uri(), "https://fleet.test/achilles/api/agent/update?os=linux&arch=amd64");
        assert!(own.headers().contains_key("authorization"));
        for (url, with_key) in [
            ("https://fleet.test/achilles/api/agent/update?os=linux&arch=amd64", true),
            ("https://FLEET.test:443/other", true),
            ("https://fleet.test:444/other", false),
            ("https://fleet.test.elsewhere.test/other", false),
            ("https://files.test/agent-1.1.0", false),
        ] {
            let request = request_from(base, Some(url)).unwrap();
            assert_eq!(request.headers().contains_key("authorization"), with_key, "{url}");
            assert_eq!(request.headers().contains_key("x-agent-key"), with_key, "{url}");
            assert_eq!(request.uri().path(), url.parse::<Uri>().unwrap().path());
        }
    }

    #[test]
    fn an_update_is_not_fetched_in_the_clear_by_who_speaks_tls() {
        for url in
            ["http://fleet.test/agent", "http://files.test/agent", "ftp://files.test/agent", "agent", ""]
        {
            assert!(
                matches!(request_from("https://fleet.test", Some(url)), Err(UpdateError::Fetch(_))),
                "{url}"
            );
        }
        assert!(request_from("http://localhost:1", Some("http://files.test/agent")).is_ok());
    }
}
