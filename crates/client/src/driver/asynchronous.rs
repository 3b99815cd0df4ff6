use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::{Agent, Driven, Inbox, RunError};
use crate::agent::{Command, Dialect, Dice, Ending, Input, Moment, NoAnswer};
use crate::store::Store;
use crate::work::Doing;
use crate::{Runtime, Transport, TransportError};

/// The runtime's clocks and randomness.
struct World<'a, R> {
    runtime: &'a R,
    dice: Dice,
}

impl<'a, R: Runtime> World<'a, R> {
    fn new(runtime: &'a R) -> Self {
        // 52 of the bits are drawn, which is more than any use of them needs.
        let seed = (runtime.random() * (1_u64 << 52) as f64) as u64;
        Self { runtime, dice: Dice::seeded(seed) }
    }

    /// Asks for randomness anew: after each wait, as the blocking driver does.
    fn draw(&mut self) {
        *self = Self::new(self.runtime);
    }

    fn moment(&mut self) -> Moment {
        Moment { monotonic: self.runtime.monotonic(), wall: self.runtime.now(), random: self.dice.bits() }
    }
}

/// Async work at hand, polled beside whatever the driver waits for.
struct AtHand<'a, D: Dialect> {
    doing: Option<(u64, Doing<D::Outcome>)>,
    /// A file that the agent itself needs.
    fetching: Option<std::pin::Pin<Box<dyn Future<Output = ()> + Send + 'a>>>,
    inbox: Arc<Inbox<D>>,
}

impl<D: Dialect> AtHand<'_, D> {
    fn poll(&mut self, context: &mut Context<'_>) {
        if self.fetching.as_mut().is_some_and(|fetching| fetching.as_mut().poll(context).is_ready()) {
            self.fetching = None;
        }
        let Some((run, doing)) = &mut self.doing else { return };
        // A handler that panics must not take the heartbeats with it.
        let polled = catch_unwind(AssertUnwindSafe(|| doing.as_mut().poll(context)));
        let ending = match polled {
            Ok(Poll::Pending) => return,
            Ok(Poll::Ready(ending)) => ending,
            Err(_) => Ending::Failed("its handler panicked".to_owned()),
        };
        let run = *run;
        self.doing = None;
        self.inbox.push(Input::Ended { run, ending });
    }

    /// Waits for `future` while the work goes on.
    async fn beside<F: Future>(&mut self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|context| {
            self.poll(context);
            future.as_mut().poll(context)
        })
        .await
    }

    /// Waits until something is in the inbox, or until `future` is ready, while the work goes on.
    async fn wait(&mut self, future: impl Future<Output = ()>) {
        let mut future = pin!(future);
        let inbox = Arc::clone(&self.inbox);
        poll_fn(|context| {
            self.poll(context);
            match inbox.poll_arrived(context) {
                Poll::Ready(()) => Poll::Ready(()),
                Poll::Pending => future.as_mut().poll(context),
            }
        })
        .await;
    }
}

impl<D: Dialect> Agent<D> {
    /// Is an agent until it is asked to stop. Blocking handlers get a thread each; async ones are polled here. What
    /// is saved is saved on this thread: some milliseconds every few minutes.
    ///
    /// Dropping the future is like killing the process: nothing is lost, and work at hand is interrupted.
    ///
    /// # Errors
    /// It cannot start, or the server does not take it in. Nothing else ends it: what fails is reported to the
    /// observer and tried again.
    pub async fn run(
        self,
        mut store: impl Store,
        transport: impl Transport,
        runtime: impl Runtime,
    ) -> Result<(), RunError> {
        let mut world = World::new(&runtime);
        let mut driven = self.begin(&mut store, &world.moment())?;
        let mut at_hand = AtHand { doing: None, fetching: None, inbox: Arc::clone(&driven.inbox) };
        loop {
            while let Some(input) = driven.inbox.pop() {
                driven.machine.input(&world.moment(), input);
            }
            #[cfg(all(feature = "update", feature = "achilles"))]
            if let Some(wanted) = driven.inbox.wanted() {
                let (transport, runtime) = (&transport, &runtime);
                at_hand.fetching = Some(Box::pin(async move {
                    if let Some(outcome) = transport.fetch_file(&wanted.download, runtime).await {
                        wanted.answerer.answer(outcome);
                    }
                }));
            }
            let input = match driven.machine.next(&world.moment()) {
                Command::Send(request) => {
                    let outcome = at_hand.beside(transport.exchange(request)).await;
                    Input::Answered(
                        outcome.map_err(|error| NoAnswer { cause: error.cause(), text: error.to_string() }),
                    )
                }
                Command::Persist(change) => Driven::persist(&mut store, &change),
                Command::Collect => driven.collect(),
                Command::Run(assignment) => {
                    let run = assignment.run;
                    at_hand.doing = driven.run(assignment).map(|doing| (run, doing));
                    continue;
                }
                Command::Cancel(run) => {
                    driven.call_off();
                    if at_hand.doing.take_if(|(at_hand, _)| *at_hand == run).is_some() {
                        driven.machine.input(&world.moment(), Input::Ended { run, ending: Ending::Canceled });
                    }
                    continue;
                }
                Command::Report(event) => {
                    driven.tell(&event, &world.moment());
                    continue;
                }
                Command::Wait(Some(until)) => {
                    let wait = until.saturating_sub(runtime.monotonic());
                    at_hand.wait(runtime.sleep(wait)).await;
                    world.draw();
                    continue;
                }
                Command::Wait(None) => {
                    at_hand.wait(std::future::pending()).await;
                    world.draw();
                    continue;
                }
                Command::Stopped(stopped) => return Driven::<D>::outcome(stopped),
            };
            driven.machine.input(&world.moment(), input);
        }
    }
}
