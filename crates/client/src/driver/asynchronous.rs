use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::{Agent, Driven, Inbox, RunError};
use crate::agent::{Command, Dialect, Ending, Input, Moment, NoAnswer};
use crate::store::Store;
use crate::work::Doing;
use crate::{Runtime, Transport, TransportError};

fn moment(runtime: &impl Runtime) -> Moment {
    // 52 of the bits are drawn, which is more than any use of them needs.
    let random = (runtime.random() * (1_u64 << 52) as f64) as u64;
    Moment { monotonic: runtime.monotonic(), wall: runtime.now(), random }
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
        let mut driven = self.begin(&mut store, &moment(&runtime))?;
        let mut at_hand = AtHand { doing: None, fetching: None, inbox: Arc::clone(&driven.inbox) };
        loop {
            while let Some(input) = driven.inbox.pop() {
                driven.machine.input(&moment(&runtime), input);
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
            let input = match driven.machine.next(&moment(&runtime)) {
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
                        driven
                            .machine
                            .input(&moment(&runtime), Input::Ended { run, ending: Ending::Canceled });
                    }
                    continue;
                }
                Command::Report(event) => {
                    driven.tell(&event, &moment(&runtime));
                    continue;
                }
                Command::Wait(Some(until)) => {
                    let wait = until.saturating_sub(runtime.monotonic());
                    at_hand.wait(runtime.sleep(wait)).await;
                    continue;
                }
                Command::Wait(None) => {
                    at_hand.wait(std::future::pending()).await;
                    continue;
                }
                Command::Stopped(stopped) => return Driven::<D>::outcome(stopped),
            };
            driven.machine.input(&moment(&runtime), input);
        }
    }
}
