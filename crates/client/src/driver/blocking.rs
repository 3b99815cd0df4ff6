use super::{Agent, Driven, RunError};
use crate::agent::{Command, Dialect, Dice, Input, Moment, NoAnswer};
use crate::runtime::{since_start, system_now, system_random};
use crate::store::Store;
use crate::{BlockingTransport, TransportError};

/// The system's clocks and randomness.
struct World(Dice);

impl World {
    fn new() -> Self {
        Self(Dice::seeded(system_random()))
    }

    /// Asks the system for randomness anew. Done after each wait and not at each step, which has it asked once for each
    /// heartbeat; and not only at the start, since copies of one machine would then draw alike for ever.
    fn draw(&mut self) {
        *self = Self::new();
    }

    fn moment(&mut self) -> Moment {
        Moment { monotonic: since_start(), wall: system_now(), random: self.0.bits() }
    }
}

#[cfg(all(feature = "update", feature = "achilles"))]
fn fetch(wanted: super::Wanted, transport: &impl BlockingTransport) {
    let Some(fetch) = transport.file_fetcher() else { return };
    // Whoever waits for the file is told of a thread that there is not by the answerer that is dropped with it.
    let _begun = std::thread::Builder::new()
        .name("fetch".to_owned())
        .spawn(move || wanted.answerer.answer(fetch(&wanted.download)));
}

impl<D: Dialect> Agent<D> {
    /// Is an agent on this thread until it is asked to stop, without an async runtime. Work is done on threads of its
    /// own.
    ///
    /// # Errors
    /// It cannot start, or the server does not take it in. Nothing else ends it: what fails is reported to the
    /// observer and tried again.
    pub fn run_blocking(
        self,
        mut store: impl Store,
        transport: &impl BlockingTransport,
    ) -> Result<(), RunError> {
        if let Some(kind) = self.handlers.asynchronous() {
            return Err(RunError::AsyncHandler(kind.to_owned()));
        }
        let mut world = World::new();
        let mut driven = self.begin(&mut store, &world.moment())?;
        loop {
            while let Some(input) = driven.inbox.pop() {
                driven.machine.input(&world.moment(), input);
            }
            #[cfg(all(feature = "update", feature = "achilles"))]
            if let Some(wanted) = driven.inbox.wanted() {
                fetch(wanted, transport);
            }
            let input = match driven.machine.next(&world.moment()) {
                Command::Send(request) => Input::Answered(
                    transport
                        .exchange(request)
                        .map_err(|error| NoAnswer { cause: error.cause(), text: error.to_string() }),
                ),
                Command::Persist(change) => Driven::persist(&mut store, &change),
                Command::Collect => driven.collect(),
                Command::Run(assignment) => {
                    // Only blocking handlers are there.
                    drop(driven.run(assignment));
                    continue;
                }
                Command::Cancel(_) => {
                    driven.call_off();
                    continue;
                }
                Command::Report(event) => {
                    driven.tell(&event, &world.moment());
                    continue;
                }
                Command::Wait(until) => {
                    driven.inbox.wait(until.map(|until| until.saturating_sub(since_start())));
                    world.draw();
                    continue;
                }
                Command::Stopped(stopped) => return Driven::<D>::outcome(stopped),
            };
            driven.machine.input(&world.moment(), input);
        }
    }
}
