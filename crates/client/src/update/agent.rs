use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use fleetwire_protocol::Call;
use fleetwire_protocol::achilles::{DownloadUpdate, Task, TaskType, UpdateWish};
use http::{Request, Uri};

use super::swap::LARGEST;
use super::{Offer, SelfUpdate, Started, UpdateError};
use crate::achilles::{Achilles, TaskOutcome};
use crate::agent::{Event, Input, Machine, Signer, Signing};
use crate::download::{Download, DownloadError, Downloaded, ask, origin};
use crate::driver::{Inbox, Wanted};
use crate::work::{Context, WorkError};

/// How often a task that waits for an update looks whether it was called off.
const LOOK: Duration = Duration::from_millis(100);

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
    inbox: Arc<Inbox<Achilles>>,
    state: Mutex<State>,
    changed: Condvar,
    /// Whether the agent has stopped, so that nobody fetches or signs anything any more.
    stopped: AtomicBool,
}

#[derive(Default)]
struct State {
    /// Whether a version is being fetched and put in place.
    busy: bool,
    /// How often it was found out what came of it, and what came of it last.
    round: u64,
    came: Option<Came>,
}

/// Where a file is, and whether the agent's key is shown there.
#[derive(Clone)]
struct Place {
    /// `None` for the vendor's place for it.
    uri: Option<Uri>,
    own: bool,
}

impl crate::achilles::Agent {
    /// Changes the program for the versions that the server offers, and when a task of type `update_agent` asks for it.
    ///
    /// It is fetched by the driver's own transport, beside everything else and into the folder of the program; what has
    /// come before a connection broke is gone on with.
    ///
    /// When another version is in place, the agent stops as if it were asked to: what the task came to is handed over
    /// or kept. [`SelfUpdate::is_replaced`] then says that the program is to be started anew.
    /// [`SelfUpdate::on_start`] is to be called before.
    pub fn self_update(self, update: Arc<SelfUpdate>) -> Self {
        let updating = Arc::new(Updating {
            update,
            inbox: Arc::clone(&self.inbox),
            state: Mutex::default(),
            changed: Condvar::new(),
            stopped: AtomicBool::new(false),
        });
        let asked = Arc::clone(&updating);
        let mut agent = self
            .on(TaskType::UpdateAgent.as_str(), move |_: &Task, context: &Context<Achilles>| {
                asked.ask(context)
            });
        let watching = Watching(updating);
        agent.watch = Some(Box::new(move |event, machine, _: &_| watching.0.saw(event, machine)));
        agent
    }
}

/// Goes with the agent.
struct Watching(Arc<Updating>);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.stopped.store(true, Ordering::Release);
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
    fn saw(self: &Arc<Self>, event: &Event<Achilles>, machine: &Machine<Achilles>) {
        match event {
            Event::Taken { .. } if self.update.confirms_with_heartbeat() => {
                if let Err(error) = self.update.confirm() {
                    self.inbox.push(Input::Updated(Err(error.to_string())));
                }
            }
            Event::UpdateOffered(info) => {
                let enrolled = machine.identity().and_then(|identity| identity.update_key.clone());
                let (base, ..) = machine.dialect().place();
                self.begin(Offer::from(info), enrolled, place(info.download_url.as_deref(), base));
            }
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
    fn begin(self: &Arc<Self>, offer: Offer, enrolled: Option<String>, place: Result<Place, UpdateError>) {
        if std::mem::replace(&mut self.lock().busy, true) {
            return;
        }
        let updating = Arc::clone(self);
        let begun = thread::Builder::new().name("update".to_owned()).spawn(move || {
            let outcome = place.and_then(|place| updating.change(&offer, enrolled.as_deref(), place));
            updating.ended(offer.version, outcome);
        });
        if let Err(error) = begun {
            self.ended(String::new(), Err(UpdateError::Fetch(Box::new(error))));
        }
    }

    fn change(
        self: &Arc<Self>,
        offer: &Offer,
        enrolled: Option<&str>,
        place: Place,
    ) -> Result<(), UpdateError> {
        self.update.look_at(offer, enrolled)?;
        let fetched = self.fetch(offer, place)?.path;
        let installed = File::open(&fetched)
            .map_err(|error| UpdateError::Io { path: fetched.clone(), error })
            .and_then(|file| self.update.install(offer, enrolled, file));
        // It lies in the program's place, or is no good.
        let _gone = fs::remove_file(&fetched);
        installed
    }

    /// Has the driver fetch the file beside the program, and waits for it.
    fn fetch(self: &Arc<Self>, offer: &Offer, place: Place) -> Result<Downloaded, UpdateError> {
        let program = self.update.program();
        let folder = program.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        let inbox = Arc::clone(&self.inbox);
        let signed = move || {
            let (answerer, asked) = ask();
            let place = place.clone();
            inbox.push(Input::Sign(Signer::new(move |dialect: &Achilles, signing: &_| {
                answerer.answer(place.request(dialect, signing));
            })));
            asked
        };
        let updating = Arc::clone(self);
        let download = Download::signed(signed, folder.to_owned(), &format!("fetched.{name}"))
            .and_then(|download| download.sha256(&offer.sha256))
            .map_err(fetch_error)?
            .size(offer.size)
            .limit(LARGEST)
            .stop_if(move || updating.stopped.load(Ordering::Acquire));
        let (answerer, asked) = ask();
        self.inbox.want(Wanted { download, answerer });
        loop {
            match asked.wait(LOOK) {
                Some(Some(fetched)) => return fetched.map_err(fetch_error),
                Some(None) => {
                    return Err(UpdateError::Fetch("the agent's transport fetches no files".into()));
                }
                None if self.stopped.load(Ordering::Acquire) => {
                    return Err(fetch_error(DownloadError::CalledOff));
                }
                None => {}
            }
        }
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

fn fetch_error(error: DownloadError) -> UpdateError {
    UpdateError::Fetch(Box::new(error))
}

/// Where an offer says that its bytes are, seen from the agent's own server.
fn place(url: Option<&str>, base: &str) -> Result<Place, UpdateError> {
    let Some(url) = url else { return Ok(Place { uri: None, own: true }) };
    let parse =
        |text: &str| text.parse().map_err(|error: http::uri::InvalidUri| UpdateError::Fetch(Box::new(error)));
    let (uri, base): (Uri, Uri) = (parse(url)?, parse(base)?);
    let own = origin(&uri).is_some() && origin(&uri) == origin(&base);
    match (base.scheme_str(), uri.scheme_str()) {
        (_, Some("https")) | (Some("http"), Some("http")) => Ok(Place { uri: Some(uri), own }),
        _ => Err(UpdateError::Fetch(format!("{url} is not fetched: it is not https").into())),
    }
}

impl Place {
    /// The request for the bytes. Only the agent's own server is shown its key.
    fn request(self, dialect: &Achilles, signing: &Signing<'_, Achilles>) -> Result<Request<Bytes>, String> {
        let mut request = Request::default();
        if self.own {
            let (_, os, arch) = dialect.place();
            let call = Call::<DownloadUpdate>::with(UpdateWish::new(os.clone(), arch.clone()), ());
            request = dialect.encode(signing, &call).map_err(|error| error.to_string())?;
        }
        if let Some(uri) = self.uri {
            *request.uri_mut() = uri;
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::achilles::{Applicant, Identity};
    use crate::agent::Secret;

    fn request_from(base: &str, url: Option<&str>) -> Result<Request<Bytes>, UpdateError> {
        let place = place(url, base)?;
        let dialect = Achilles::new(base.to_owned(), "acht_1", Applicant::new("host-1", "1.0.0"));
        let identity = Identity { agent_id: "a-1".into(), org_id: None, server_url: None, update_key: None };
        let key = Secret::new("ak_5ec2e7");
        let now = chrono::DateTime::UNIX_EPOCH;
        let signing = Signing { identity: Some(&identity), key: Some(&key), now };
        Ok(place.request(&dialect, &signing).unwrap())
    }

    #[test]
    fn the_agents_key_goes_to_its_own_server_only() {
        let base = "https://fleet.test/achilles";
        let own = request_from(base, None).unwrap();
        assert_eq!(own.uri().host(), Some("fleet.test"));
        assert_eq!(own.uri().path(), "/achilles/api/agent/update");
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
