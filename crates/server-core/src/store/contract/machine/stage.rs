//! What the machine stands on: time and chance that are the same in every run, a store whose calls can be held up,
//! and an executor that takes the steps of two requests in a given order.

use std::future::poll_fn;
use std::ops::RangeInclusive;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use crate::keys::sha256;
// Whatever the traits speak of.
use crate::store::*;
use crate::{Clock, Entropy};

/// Time in whole seconds, as the machine sets it.
#[derive(Debug, Default)]
pub(super) struct Time(AtomicI64);

impl Time {
    pub(super) fn set(&self, seconds: i64) {
        self.0.store(seconds, Ordering::Relaxed);
    }
}

/// The moment of so many seconds.
pub(super) fn moment(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_774_103_400 + seconds, 0).expect("a time of these years")
}

/// The seconds of a moment.
pub(super) fn seconds(moment: DateTime<Utc>) -> i64 {
    moment.timestamp() - 1_774_103_400
}

impl Clock for Time {
    fn now(&self) -> DateTime<Utc> {
        moment(self.0.load(Ordering::Relaxed))
    }
}

/// Bytes that never come twice and are the same in every run.
#[derive(Debug, Default)]
pub(super) struct Chance(AtomicU64);

impl Entropy for Chance {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            let block = sha256(&self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes());
            chunk.iter_mut().zip(block).for_each(|(byte, random)| *byte = random);
        }
    }
}

/// A store whose every call stops once before it begins and once after it was committed, while it is told to.
#[derive(Debug)]
pub(super) struct Staged<S> {
    pub(super) store: Arc<S>,
    pub(super) stops: Arc<AtomicBool>,
}

impl<S> Staged<S> {
    async fn stop(&self) {
        let mut stopped = !self.stops.load(Ordering::Relaxed);
        poll_fn(|context| {
            if std::mem::replace(&mut stopped, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}

macro_rules! stage {
    ($($part:ident {
        $(fn $call:ident($($name:ident: $type:ty),*) -> $out:ty;)+
    })+) => { $(
        impl<S: Store> $part for Staged<S> {
            $(
                async fn $call(&self $(, $name: $type)*) -> Outcome<$out> {
                    self.stop().await;
                    let answer = self.store.$call($($name),*).await;
                    self.stop().await;
                    answer
                }
            )+
        }
    )+ };
}

stage! {
    Founding {
        fn found(fresh: Foundation) -> (Foundation, bool);
        fn restore() -> Restored;
        fn restore_agents(numbers: RangeInclusive<No>, take: Taker) -> ();
    }
    Directory {
        fn credential(digest: Digest) -> Option<Credential>;
        fn agent(no: No) -> Option<Agent>;
        fn agent_named(tenant: No, vendor: Vendor, kind: Kind, id: String) -> Option<Agent>;
        fn register(agent: NewAgent) -> Agent;
        fn announce(agent: NewAgent, most: u64) -> Announced;
        fn observe(no: No, seen: Observation, at: DateTime<Utc>) -> Agent;
        fn stand(no: No, standing: Standing, at: DateTime<Utc>) -> Agent;
        fn report_host(report: HostReport) -> Hosted;
    }
    Keys {
        fn issue_token(token: NewToken) -> Token;
        fn tokens(tenant: No) -> Vec<Token>;
        fn revoke_token(tenant: No, id: String, at: DateTime<Utc>) -> bool;
        fn enroll(enrolment: Enrolment) -> Enrolled;
        fn add_key(digest: Digest, credential: Credential) -> ();
        fn offer_key(no: No, rotation: u32, digest: Digest, at: DateTime<Utc>) -> Agent;
        fn replace_keys(no: No, digest: Digest, at: DateTime<Utc>) -> Agent;
        fn settle_key(digest: Digest, at: DateTime<Utc>) -> Agent;
    }
    Leases {
        fn flush(leases: Vec<LeaseRow>, events: Vec<NewEvent>, now: DateTime<Utc>) -> ();
        fn history(agent: No, since: DateTime<Utc>) -> Vec<Sample>;
    }
    WorkQueue {
        fn queue(work: NewWork) -> Queued;
        fn ask(work: NewWork, most: u32) -> Asked;
        fn deliver(agent: No, delivery: Delivery, at: DateTime<Utc>) -> HandedOver;
        fn report_work(report: WorkReport) -> Reported;
        fn take_work(tenant: No, id: String, at: DateTime<Utc>) -> Reported;
        fn cancel_work(tenant: No, id: String, at: DateTime<Utc>) -> Reported;
        fn reconcile_model(report: ModelReport) -> Reconciled;
        fn sweep_work(at: DateTime<Utc>, limit: u32) -> Swept;
        fn give_up_work(agents: Vec<No>, at: DateTime<Utc>) -> Swept;
        fn excuse(downtime: Downtime) -> ();
        fn work(tenant: No, filter: WorkFilter) -> Vec<Work>;
        fn work_named(tenant: No, id: String) -> Option<(Work, Vec<Execution>)>;
        fn findings(tenant: No, filter: FindingFilter) -> Vec<FoundRow>;
    }
    Catalogue {
        fn add_model(model: Model) -> ();
        fn models(tenant: No) -> Vec<Model>;
        fn remove_model(tenant: No, id: String) -> Freed;
        fn set_desired_model(no: No, model: String, at: DateTime<Utc>) -> Agent;
        fn set_instructions(files: Instructions) -> ();
        fn drop_instructions(tenant: No, agent: Option<No>) -> bool;
        fn instructions(tenant: No, agent: Option<No>) -> Option<Instructions>;
        fn add_release(release: Release) -> Release;
        fn releases(tenant: No) -> Vec<Release>;
        fn remove_release(tenant: No, no: No) -> Freed;
        fn latest_release(tenant: No, os: String, arch: String) -> Option<Release>;
        fn put_binary(binary: Binary) -> Freed;
        fn binary(tenant: No, name: String) -> Option<Binary>;
        fn binaries(tenant: No) -> Vec<Binary>;
        fn remove_binary(tenant: No, name: String) -> Freed;
        fn signing_keys() -> Vec<SigningKey>;
        fn add_signing_key(seed: [u8; 32], at: DateTime<Utc>) -> SigningKey;
        fn retire_signing_key(no: No, at: DateTime<Utc>) -> SigningKey;
    }
    Images {
        fn record_image(image: NewImage, limits: BatchLimits) -> Recorded;
        fn close_old_batches(age: Duration, at: DateTime<Utc>, limit: u32) -> u32;
        fn close_batch(tenant: No, id: String, at: DateTime<Utc>) -> Option<Batch>;
        fn batch_named(tenant: No, id: String) -> Option<Batch>;
        fn batches(tenant: No, filter: BatchFilter) -> Vec<Batch>;
        fn images(tenant: No, filter: ImageFilter) -> Vec<ImageRow>;
    }
    Journal {
        fn events(tenant: No, query: EventQuery) -> Vec<Event>;
        fn forget_events(before: DateTime<Utc>, limit: u32) -> u32;
    }
}

/// Says that there is something to go on with, and wakes whoever waits for that.
struct Bell {
    rung: AtomicBool,
    waiting: Thread,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.waiting.unpark();
    }
}

/// A request that is under way.
struct UnderWay<'a, T> {
    future: Pin<&'a mut dyn Future<Output = T>>,
    bell: Arc<Bell>,
    waker: Waker,
    output: Option<T>,
}

impl<'a, T> UnderWay<'a, T> {
    fn new(future: Pin<&'a mut dyn Future<Output = T>>) -> Self {
        let bell = Arc::new(Bell { rung: AtomicBool::new(true), waiting: thread::current() });
        Self { future, waker: Waker::from(Arc::clone(&bell)), bell, output: None }
    }

    /// Waits until there is something to go on with, and goes on to the next stop. Says whether the end was reached.
    fn go_on(&mut self) -> bool {
        if self.output.is_none() {
            self.wait();
            if let Poll::Ready(output) = self.future.as_mut().poll(&mut Context::from_waker(&self.waker)) {
                self.output = Some(output);
            }
        }
        self.output.is_some()
    }

    fn wait(&self) {
        while !self.bell.rung.swap(false, Ordering::AcqRel) {
            thread::park();
        }
    }
}

/// Has a request done.
pub(super) fn to_the_end<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut under_way = UnderWay::new(future.as_mut());
    while !under_way.go_on() {}
    under_way.output.expect("the end was reached")
}

/// Goes so many stops with a request and then drops it, as a server does whose plug is pulled or whose caller has
/// gone. Returns what came of it if it was done by then.
pub(super) fn for_a_while<T>(future: impl Future<Output = T>, stops: u32) -> Option<T> {
    let mut future = pin!(future);
    let mut under_way = UnderWay::new(future.as_mut());
    for _ in 0..=stops {
        if under_way.go_on() {
            return under_way.output;
        }
    }
    // What a store's thread was asked to do is done whether or not anybody waits.
    under_way.wait();
    None
}

/// Has two requests done, a stop at a time; the bits of `order` say whose turn it is.
pub(super) fn in_turns<T>(
    one: impl Future<Output = T>,
    other: impl Future<Output = T>,
    mut order: u32,
) -> (T, T) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    let mut both = [UnderWay::new(one.as_mut()), UnderWay::new(other.as_mut())];
    while both.iter().any(|request| request.output.is_none()) {
        let turn = usize::from(order & 1 == 1);
        order = order.rotate_right(1);
        if both[turn].output.is_some() {
            both[1 - turn].go_on();
        } else {
            both[turn].go_on();
        }
        // The next turn is taken when everybody could go on: so the same order is the same run.
        for request in &both {
            if request.output.is_none() {
                request.wait();
                request.bell.rung.store(true, Ordering::Release);
            }
        }
    }
    let [one, other] = both.map(|request| request.output.expect("the end was reached"));
    (one, other)
}
