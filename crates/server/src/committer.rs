//! Check-ins that are committed before they are answered, as many at a time as have come.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use fleetwire_protocol::Fault;
use tokio::sync::{MutexGuard, SetOnce};
use tokio::task::yield_now;

/// Who flushes, one at a time, and who waits for it.
///
/// Whoever comes while nobody gathers leads: the leader waits until it is alone, lets everybody join who can, and
/// flushes for all of them. During that flush the next leader gathers.
#[derive(Debug, Default)]
pub(crate) struct Committer {
    /// Held by whoever flushes.
    flushing: tokio::sync::Mutex<()>,
    /// Those whose flush has not begun.
    gathering: Mutex<Option<Arc<Batch>>>,
}

/// How the flush ended that those in it wait for.
type Batch = SetOnce<End>;

#[derive(Debug)]
enum End {
    Committed,
    Failed(Fault),
    /// The leader went away before it has begun.
    Abandoned,
}

impl Committer {
    /// Nobody else flushes while this is held.
    pub(crate) async fn alone(&self) -> MutexGuard<'_, ()> {
        self.flushing.lock().await
    }

    /// Returns once a flush that began after this call has been committed, be it this one or that of a leader.
    ///
    /// # Errors
    /// That flush has failed.
    pub(crate) async fn commit<F>(&self, flush: impl Fn() -> F) -> Result<(), Fault>
    where
        F: Future<Output = Result<(), Fault>>,
    {
        loop {
            let batch = match self.join() {
                Joined::Leads(lead) => return lead.commit(flush).await,
                Joined::Follows(batch) => batch,
            };
            match batch.wait().await {
                End::Committed => return Ok(()),
                End::Failed(fault) => return Err(fault.clone()),
                // Once more, with another leader.
                End::Abandoned => {}
            }
        }
    }

    fn join(&self) -> Joined<'_> {
        let mut gathering = self.gathering.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(batch) = &*gathering {
            return Joined::Follows(Arc::clone(batch));
        }
        let batch = Arc::new(Batch::new());
        *gathering = Some(Arc::clone(&batch));
        Joined::Leads(Lead { committer: self, batch })
    }
}

enum Joined<'a> {
    Leads(Lead<'a>),
    Follows(Arc<Batch>),
}

/// Who leads those that wait for one flush. Dropped before its end it leaves nobody waiting.
struct Lead<'a> {
    committer: &'a Committer,
    batch: Arc<Batch>,
}

impl Lead<'_> {
    async fn commit<F>(self, flush: impl Fn() -> F) -> Result<(), Fault>
    where
        F: Future<Output = Result<(), Fault>>,
    {
        let alone = self.committer.alone().await;
        // Everybody goes first who has something to do: those whom the last flush has let go, and those who will join.
        yield_now().await;
        // Who comes from here on may have come too late for the flush.
        self.close();
        let outcome = flush().await;
        self.end(match &outcome {
            Ok(()) => End::Committed,
            Err(fault) => End::Failed(fault.clone()),
        });
        // After the others were woken: the next leader is to come behind them.
        drop(alone);
        outcome
    }

    /// Takes nobody more. Says whether it did until now.
    fn close(&self) -> bool {
        let mut gathering = self.committer.gathering.lock().unwrap_or_else(PoisonError::into_inner);
        gathering.take_if(|batch| Arc::ptr_eq(batch, &self.batch)).is_some()
    }

    fn end(&self, end: End) {
        // Of two ends the first one counts.
        let _ = self.batch.set(end);
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        if !self.batch.initialized() {
            // What became of a flush that has begun nobody will know.
            self.end(if self.close() { End::Abandoned } else { End::Failed(Fault::Internal) });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    use tokio::sync::Notify;

    use super::*;

    /// A store that has taken so many of the renewals, and may be held back.
    #[derive(Default)]
    struct Journal {
        renewed: AtomicU64,
        committed: AtomicU64,
        flushes: AtomicU64,
        under_way: AtomicU64,
        go_on: Notify,
    }

    impl Journal {
        fn renew(&self) -> u64 {
            self.renewed.fetch_add(1, Ordering::SeqCst) + 1
        }

        /// Commits what was renewed when it began.
        async fn flush(&self, how: impl Future<Output = Result<(), Fault>>) -> Result<(), Fault> {
            let _under_way = UnderWay::begin(self);
            let taken = self.renewed.load(Ordering::SeqCst);
            let outcome = how.await;
            if outcome.is_ok() {
                self.committed.fetch_max(taken, Ordering::SeqCst);
            }
            self.flushes.fetch_add(1, Ordering::SeqCst);
            outcome
        }

        async fn held_back(&self) -> Result<(), Fault> {
            self.flush(async {
                self.go_on.notified().await;
                Ok(())
            })
            .await
        }

        fn flushes(&self) -> u64 {
            self.flushes.load(Ordering::SeqCst)
        }
    }

    /// Ends with a flush that is dropped, too.
    struct UnderWay<'a>(&'a Journal);

    impl<'a> UnderWay<'a> {
        fn begin(journal: &'a Journal) -> Self {
            assert_eq!(journal.under_way.fetch_add(1, Ordering::SeqCst), 0, "one flush at a time");
            Self(journal)
        }
    }

    impl Drop for UnderWay<'_> {
        fn drop(&mut self) {
            self.0.under_way.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn poll<T>(future: &mut Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    async fn in_time<T>(future: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_secs(20), future).await.unwrap()
    }

    #[tokio::test]
    async fn all_who_are_ready_share_one_flush_and_wait_for_its_end() {
        let (committer, journal) = (Arc::new(Committer::default()), Arc::new(Journal::default()));
        let check_ins: Vec<_> = (0..50)
            .map(|_| {
                let (committer, journal) = (Arc::clone(&committer), Arc::clone(&journal));
                tokio::spawn(async move {
                    let mine = journal.renew();
                    committer.commit(|| journal.held_back()).await.unwrap();
                    assert!(
                        journal.committed.load(Ordering::SeqCst) >= mine,
                        "answered before it was committed"
                    );
                })
            })
            .collect();
        for _ in 0..200 {
            yield_now().await;
        }
        assert!(check_ins.iter().all(|check_in| !check_in.is_finished()));
        journal.go_on.notify_one();
        for check_in in check_ins {
            in_time(check_in).await.unwrap();
        }
        assert_eq!(journal.flushes(), 1);
    }

    #[tokio::test]
    async fn who_comes_during_a_flush_waits_for_the_next_one() {
        let (committer, journal) = (Committer::default(), Journal::default());
        journal.renew();
        let mut first = pin!(committer.commit(|| journal.held_back()));
        while journal.under_way.load(Ordering::SeqCst) == 0 {
            assert!(poll(&mut first).is_pending());
        }
        journal.renew();
        let mut second = pin!(committer.commit(|| journal.held_back()));
        let mut third = pin!(committer.commit(|| journal.held_back()));
        assert!(poll(&mut second).is_pending() && poll(&mut third).is_pending());

        journal.go_on.notify_one();
        in_time(first.as_mut()).await.unwrap();
        assert!(poll(&mut third).is_pending(), "that flush did not have it");
        assert!(poll(&mut second).is_pending() && poll(&mut second).is_pending());
        journal.go_on.notify_one();
        in_time(second).await.unwrap();
        in_time(third).await.unwrap();
        assert_eq!((journal.flushes(), journal.committed.load(Ordering::SeqCst)), (2, 2));
    }

    #[tokio::test]
    async fn a_flush_that_fails_fails_for_everybody_in_it_and_for_nobody_else() {
        let committer = Committer::default();
        let failing = || std::future::ready(Err(Fault::Internal));
        let mut one = pin!(committer.commit(failing));
        let mut other = pin!(committer.commit(failing));
        assert!(poll(&mut one).is_pending() && poll(&mut other).is_pending());
        assert_eq!(in_time(one).await, Err(Fault::Internal));
        assert_eq!(in_time(other).await, Err(Fault::Internal));
        assert_eq!(in_time(committer.commit(|| std::future::ready(Ok(())))).await, Ok(()));
    }

    #[tokio::test]
    async fn those_whose_leader_is_gone_get_another_or_fail_if_it_had_begun() {
        for polls in 1..4 {
            let (committer, journal) = (Committer::default(), Journal::default());
            let mut leader = Box::pin(committer.commit(|| journal.held_back()));
            let mut follower = pin!(committer.commit(|| std::future::ready(Ok(()))));
            assert!(poll(&mut leader.as_mut()).is_pending());
            assert!(poll(&mut follower).is_pending());
            for _ in 1..polls {
                assert!(poll(&mut leader.as_mut()).is_pending());
            }
            drop(leader);
            // What was begun may have come to nothing.
            let outcome = if polls == 1 { Ok(()) } else { Err(Fault::Internal) };
            assert_eq!(in_time(follower).await, outcome, "after {polls} polls");
        }
    }

    #[tokio::test]
    async fn who_flushes_otherwise_is_waited_for() {
        let committer = Committer::default();
        let alone = committer.alone().await;
        let mut waiting = pin!(committer.commit(|| std::future::ready(Ok(()))));
        for _ in 0..10 {
            yield_now().await;
            assert!(poll(&mut waiting).is_pending());
        }
        drop(alone);
        in_time(waiting).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn nobody_is_answered_early_or_forgotten_however_many_come_fail_and_go() {
        const EACH: u64 = 2000;
        let (committer, journal) = (Arc::new(Committer::default()), Arc::new(Journal::default()));
        let clients: Vec<_> = (0..16_u64)
            .map(|client| {
                let (committer, journal) = (Arc::clone(&committer), Arc::clone(&journal));
                tokio::spawn(async move {
                    for turn in 0..EACH {
                        let mine = journal.renew();
                        let how = (client * EACH + turn) % 7;
                        let flush = || {
                            journal.flush(async move {
                                // A store takes its time now and then, and fails now and then.
                                for _ in 0..how {
                                    yield_now().await;
                                }
                                if how == 5 { Err(Fault::Internal) } else { Ok(()) }
                            })
                        };
                        let mut check_in = pin!(committer.commit(flush));
                        if how == 6 {
                            // Goes away in the middle, whether it leads or not.
                            for _ in 0..turn % 5 {
                                if poll(&mut check_in).is_ready() {
                                    break;
                                }
                                yield_now().await;
                            }
                        } else if check_in.await.is_ok() {
                            let committed = journal.committed.load(Ordering::SeqCst);
                            assert!(committed >= mine, "answered before it was committed");
                        }
                    }
                })
            })
            .collect();
        for client in clients {
            in_time(client).await.unwrap();
        }
        assert!(committer.gathering.lock().unwrap().is_none());
    }
}
