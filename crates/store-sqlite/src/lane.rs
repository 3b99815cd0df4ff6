//! Threads that own connections, and the bounded queue before them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use fleetwire_server_core::store::{Outcome, StoreError};
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::error::Done;

/// How a lane's threads go about their jobs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    begin: &'static str,
    /// How many jobs may share a transaction.
    group: usize,
    /// Whether the write-ahead log is folded in at the end.
    checkpoint: bool,
}

impl Manner {
    /// One job, one look at what is committed.
    pub(crate) const READ: Self = Self { begin: "BEGIN", group: 1, checkpoint: false };

    /// What waits is committed together. The lock is taken at the beginning: one that is taken at the first
    /// write could find that another process has written since.
    pub(crate) const WRITE: Self = Self { begin: "BEGIN IMMEDIATE", group: crate::GROUP, checkpoint: true };
}

/// A queue of jobs and the threads that do them.
pub(crate) struct Lane {
    sender: Option<SyncSender<Box<dyn Job>>>,
    threads: Vec<JoinHandle<Done<()>>>,
    tally: Arc<Tally>,
}

/// What was committed so far.
#[derive(Debug, Default)]
struct Tally {
    groups: AtomicU64,
    jobs: AtomicU64,
}

impl Lane {
    /// Starts a thread for each connection.
    pub(crate) fn start(
        name: &str,
        connections: Vec<Connection>,
        waiting_room: usize,
        manner: Manner,
    ) -> Outcome<Self> {
        let (sender, receiver) = sync_channel(waiting_room);
        let receiver = Arc::new(Mutex::new(receiver));
        let mut lane = Self { sender: Some(sender), threads: Vec::new(), tally: Arc::default() };
        for connection in connections {
            let (receiver, tally) = (Arc::clone(&receiver), Arc::clone(&lane.tally));
            let thread = thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || serve(connection, &receiver, manner, &tally))
                .map_err(|error| StoreError::Unavailable(error.to_string()))?;
            lane.threads.push(thread);
        }
        Ok(lane)
    }

    /// Has a job done and waits until what it did is committed. A job that was begun is finished even if nobody
    /// waits for it any more.
    pub(crate) async fn ask<T, F>(&self, job: F) -> Outcome<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Done<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.enqueue(Box::new(Asked { job: Some(job), outcome: None, answer }))?;
        answered.await.unwrap_or_else(|_| Err(gone()))
    }

    /// How many groups were committed, and how many jobs in them.
    pub(crate) fn committed(&self) -> (u64, u64) {
        (self.tally.groups.load(Ordering::Relaxed), self.tally.jobs.load(Ordering::Relaxed))
    }

    fn enqueue(&self, job: Box<dyn Job>) -> Outcome<()> {
        let sender = self.sender.as_ref().ok_or_else(gone)?;
        sender.try_send(job).map_err(|refused| match refused {
            TrySendError::Full(_) => StoreError::Unavailable("too many requests wait for it".to_owned()),
            TrySendError::Disconnected(_) => gone(),
        })
    }

    /// Takes no more jobs, has those that wait done, and ends the threads.
    pub(crate) fn finish(&mut self) -> Outcome<()> {
        self.sender = None;
        let mut outcome = Ok(());
        for thread in self.threads.drain(..) {
            outcome = outcome.and(thread.join().map_err(|_| gone()).and_then(|done| Ok(done?)));
        }
        outcome
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if let Err(error) = self.finish() {
            tracing::warn!(%error, "the store was not closed in good order");
        }
    }
}

fn gone() -> StoreError {
    StoreError::Unavailable("its thread has ended".to_owned())
}

/// Something to be done in a transaction. Not a closure, so that it can be answered even if it was never run.
trait Job: Send {
    /// Does it, and undoes it alone if it fails.
    fn run(&mut self, connection: &Connection, undo: Undo);

    /// Tells whoever asked; `Err` if the transaction was not committed.
    fn answer(self: Box<Self>, committed: Result<(), &str>);
}

/// How what a job did is undone, and nothing else.
#[derive(Debug, Clone, Copy)]
enum Undo {
    /// Others have done something in the transaction before it.
    ToSavepoint,
    /// Nothing was done in the transaction before, which is begun anew. SQLite need not keep a copy of each page for it.
    Whole { begin: &'static str },
}

struct Asked<T, F> {
    job: Option<F>,
    outcome: Option<Outcome<T>>,
    answer: oneshot::Sender<Outcome<T>>,
}

impl<T, F> Job for Asked<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> Done<T> + Send,
{
    fn run(&mut self, connection: &Connection, undo: Undo) {
        if let Some(job) = self.job.take() {
            self.outcome = Some(undoing(connection, undo, job).map_err(StoreError::from));
        }
    }

    fn answer(self: Box<Self>, committed: Result<(), &str>) {
        let outcome = match committed {
            Ok(()) => self.outcome.unwrap_or_else(|| Err(gone())),
            Err(why) => Err(StoreError::Unavailable(why.to_owned())),
        };
        // Nobody waits any more if the caller's connection has broken off.
        drop(self.answer.send(outcome));
    }
}

fn undoing<T>(connection: &Connection, undo: Undo, job: impl FnOnce(&Connection) -> Done<T>) -> Done<T> {
    let execute = |sql: &str| connection.prepare_cached(sql)?.execute([]);
    if matches!(undo, Undo::ToSavepoint) {
        execute("SAVEPOINT job")?;
    }
    // The connection is all that the job shares with others, and what it did there is undone.
    let outcome = catch_unwind(AssertUnwindSafe(|| job(connection))).unwrap_or_else(|_| {
        tracing::error!("a request to the store panicked; it was undone");
        Err(StoreError::Corrupt("the request panicked".to_owned()).into())
    });
    match undo {
        Undo::ToSavepoint => {
            if outcome.is_err() {
                execute("ROLLBACK TO job")?;
            }
            execute("RELEASE job")?;
        }
        Undo::Whole { begin } => {
            if outcome.is_err() {
                execute("ROLLBACK")?;
                execute(begin)?;
            }
        }
    }
    outcome
}

/// Does jobs until nobody can send any more and none is left.
fn serve(
    connection: Connection,
    jobs: &Mutex<Receiver<Box<dyn Job>>>,
    manner: Manner,
    tally: &Tally,
) -> Done<()> {
    while let Some(mut group) = next_group(jobs, manner.group) {
        let committed = commit(&connection, &mut group, manner.begin);
        let committed = committed.map_err(|failure| StoreError::from(failure).to_string());
        if committed.is_ok() {
            tally.groups.fetch_add(1, Ordering::Relaxed);
            tally.jobs.fetch_add(group.len() as u64, Ordering::Relaxed);
        }
        if let Err(why) = &committed {
            tracing::error!(why, requests = group.len(), "a group of requests was not committed");
            if !connection.is_autocommit() {
                connection.execute_batch("ROLLBACK")?;
            }
        }
        for job in group {
            job.answer(committed.as_ref().copied().map_err(String::as_str));
        }
    }
    if manner.checkpoint {
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    }
    connection.close().map_err(|(_, error)| error.into())
}

/// Waits for a job, and takes what waits behind it.
fn next_group(jobs: &Mutex<Receiver<Box<dyn Job>>>, most: usize) -> Option<Vec<Box<dyn Job>>> {
    let jobs = jobs.lock().unwrap_or_else(PoisonError::into_inner);
    let mut group = vec![jobs.recv().ok()?];
    if most > 1 {
        // Where this thread has taken the core from whoever asks, they bring what else they have first. Otherwise it
        // goes on at once.
        thread::yield_now();
        group.extend(jobs.try_iter().take(most - 1));
    }
    Some(group)
}

fn commit(connection: &Connection, group: &mut [Box<dyn Job>], begin: &'static str) -> Done<()> {
    connection.prepare_cached(begin)?.execute([])?;
    let mut undo = Undo::Whole { begin };
    for job in group {
        job.run(connection, undo);
        undo = Undo::ToSavepoint;
        // A full disk makes SQLite give up the whole transaction by itself, with what earlier jobs did in it.
        // Going on would commit each later job on its own and answer the earlier ones with a lie.
        if connection.is_autocommit() {
            return Err(StoreError::Unavailable("the transaction was given up".to_owned()).into());
        }
    }
    connection.prepare_cached("COMMIT")?.execute([])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// A lane of writers on a table of numbers in memory, held back until it is told to begin.
    fn held_lane(waiting_room: usize) -> (Lane, Sender<()>) {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t (n INTEGER PRIMARY KEY) STRICT").unwrap();
        let lane = Lane::start("test", vec![connection], waiting_room, Manner::WRITE).unwrap();
        let (started, has_started) = channel();
        let (begin, may_begin): (_, Receiver<()>) = channel();
        let hold = Asked {
            job: Some(move |_: &Connection| {
                started.send(()).unwrap();
                may_begin.recv().unwrap();
                Ok(())
            }),
            outcome: None,
            answer: oneshot::channel().0,
        };
        lane.enqueue(Box::new(hold)).unwrap();
        has_started.recv().unwrap();
        (lane, begin)
    }

    fn insert(n: i64) -> impl FnOnce(&Connection) -> Done<()> + Send + 'static {
        move |connection| Ok(connection.execute("INSERT INTO t VALUES (?1)", [n]).map(drop)?)
    }

    /// Begins to ask, so that the job waits in the queue.
    fn begin_to_ask<T>(asked: &mut (impl Future<Output = Outcome<T>> + Unpin)) {
        let waiting = std::pin::Pin::new(asked).poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(waiting, Poll::Pending));
    }

    async fn numbers(lane: &Lane) -> Vec<i64> {
        lane.ask(|connection| {
            let mut select = connection.prepare("SELECT n FROM t ORDER BY n")?;
            let numbers = select.query_map([], |row| row.get(0))?;
            Ok(numbers.collect::<rusqlite::Result<_>>()?)
        })
        .await
        .unwrap()
    }

    #[tokio::test]
    async fn failing_and_panicking_jobs_leave_the_rest_of_their_group_intact() {
        let (lane, begin) = held_lane(8);
        let mut first = Box::pin(lane.ask(insert(1)));
        let mut failing = Box::pin(lane.ask(|connection| {
            insert(2)(connection)?;
            insert(1)(connection)
        }));
        let mut panicking = Box::pin(lane.ask(|connection| -> Done<()> {
            insert(3)(connection)?;
            panic!("this job panics")
        }));
        let mut last = Box::pin(lane.ask(insert(4)));
        begin_to_ask(&mut first);
        begin_to_ask(&mut failing);
        begin_to_ask(&mut panicking);
        begin_to_ask(&mut last);
        begin.send(()).unwrap();

        first.await.unwrap();
        assert!(matches!(failing.await, Err(StoreError::Corrupt(_))));
        assert!(matches!(panicking.await, Err(StoreError::Corrupt(_))));
        last.await.unwrap();
        assert_eq!(numbers(&lane).await, [1, 4]);
    }

    #[tokio::test]
    async fn the_first_of_a_group_that_fails_or_panics_is_undone_alone_too() {
        let (lane, begin) = held_lane(8);
        begin.send(()).unwrap();
        numbers(&lane).await;
        let failing = lane.ask(|connection| {
            insert(1)(connection)?;
            insert(1)(connection)
        });
        assert!(matches!(failing.await, Err(StoreError::Corrupt(_))));
        let panicking = lane.ask(|connection| -> Done<()> {
            insert(2)(connection)?;
            panic!("this job panics")
        });
        assert!(matches!(panicking.await, Err(StoreError::Corrupt(_))));
        assert_eq!(numbers(&lane).await, [0; 0]);

        // What comes after one that has failed is committed.
        let mut group: Vec<Box<dyn Job>> = Vec::new();
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t (n INTEGER PRIMARY KEY) STRICT").unwrap();
        let failing = |connection: &Connection| {
            insert(3)(connection)?;
            insert(3)(connection)
        };
        group.push(Box::new(Asked { job: Some(failing), outcome: None, answer: oneshot::channel().0 }));
        group.push(Box::new(Asked { job: Some(insert(4)), outcome: None, answer: oneshot::channel().0 }));
        commit(&connection, &mut group, Manner::WRITE.begin).unwrap();
        let kept: i64 = connection.query_row("SELECT sum(n) FROM t", [], |row| row.get(0)).unwrap();
        assert!(connection.is_autocommit());
        assert_eq!(kept, 4);
    }

    #[tokio::test]
    async fn group_whose_transaction_is_lost_fails_as_a_whole() {
        let (lane, begin) = held_lane(8);
        let mut first = Box::pin(lane.ask(insert(1)));
        // As SQLite does by itself when the disk is full.
        let mut losing = Box::pin(lane.ask(|connection| Ok(connection.execute_batch("ROLLBACK")?)));
        let mut last = Box::pin(lane.ask(insert(2)));
        begin_to_ask(&mut first);
        begin_to_ask(&mut losing);
        begin_to_ask(&mut last);
        begin.send(()).unwrap();

        assert!(matches!(first.await, Err(StoreError::Unavailable(_))));
        assert!(matches!(losing.await, Err(StoreError::Unavailable(_))));
        assert!(matches!(last.await, Err(StoreError::Unavailable(_))));
        lane.ask(insert(3)).await.unwrap();
        assert_eq!(numbers(&lane).await, [3]);
    }

    #[tokio::test]
    async fn group_whose_commit_fails_fails_as_a_whole() {
        let (lane, begin) = held_lane(8);
        let mut breaking = Box::pin(lane.ask(|connection| {
            // A deferred constraint is looked at when the transaction is committed.
            Ok(connection.execute_batch(
                "CREATE TABLE child (n INTEGER REFERENCES t (n) DEFERRABLE INITIALLY DEFERRED);
                 INSERT INTO child VALUES (99);",
            )?)
        }));
        let mut other = Box::pin(lane.ask(insert(1)));
        begin_to_ask(&mut breaking);
        begin_to_ask(&mut other);
        begin.send(()).unwrap();

        assert!(matches!(breaking.await, Err(StoreError::Unavailable(_))));
        assert!(matches!(other.await, Err(StoreError::Unavailable(_))));
        lane.ask(insert(2)).await.unwrap();
        assert_eq!(numbers(&lane).await, [2]);
    }

    #[tokio::test]
    async fn full_waiting_room_refuses_at_once() {
        let (lane, begin) = held_lane(2);
        let mut first = Box::pin(lane.ask(insert(1)));
        let mut second = Box::pin(lane.ask(insert(2)));
        begin_to_ask(&mut first);
        begin_to_ask(&mut second);
        assert!(matches!(lane.ask(insert(3)).await, Err(StoreError::Unavailable(_))));
        begin.send(()).unwrap();
        first.await.unwrap();
        second.await.unwrap();
        lane.ask(insert(4)).await.unwrap();
        assert_eq!(numbers(&lane).await, [1, 2, 4]);
    }

    #[tokio::test]
    async fn job_that_nobody_waits_for_is_done_all_the_same() {
        let (lane, begin) = held_lane(8);
        let mut abandoned = Box::pin(lane.ask(insert(1)));
        begin_to_ask(&mut abandoned);
        drop(abandoned);
        begin.send(()).unwrap();
        assert_eq!(numbers(&lane).await, [1]);
    }

    #[tokio::test]
    async fn waiting_jobs_are_done_before_the_end() {
        let (mut lane, begin) = held_lane(8);
        let (done, was_done) = channel();
        let last = Asked {
            job: Some(move |_: &Connection| {
                done.send(()).unwrap();
                Ok(())
            }),
            outcome: None,
            answer: oneshot::channel().0,
        };
        lane.enqueue(Box::new(last)).unwrap();
        begin.send(()).unwrap();
        lane.finish().unwrap();
        was_done.try_recv().unwrap();
        assert!(matches!(lane.ask(insert(1)).await, Err(StoreError::Unavailable(_))));
    }

    #[tokio::test]
    async fn dead_thread_makes_the_lane_unavailable() {
        struct Deadly;
        impl Job for Deadly {
            fn run(&mut self, _: &Connection, _: Undo) {}
            fn answer(self: Box<Self>, _: Result<(), &str>) {
                panic!("this thread dies");
            }
        }
        let (mut lane, begin) = held_lane(8);
        lane.enqueue(Box::new(Deadly)).unwrap();
        let mut waiting = Box::pin(lane.ask(insert(1)));
        begin_to_ask(&mut waiting);
        begin.send(()).unwrap();
        assert!(matches!(waiting.await, Err(StoreError::Unavailable(_))));
        assert!(matches!(lane.ask(insert(2)).await, Err(StoreError::Unavailable(_))));
        assert!(matches!(lane.finish(), Err(StoreError::Unavailable(_))));
    }
}
