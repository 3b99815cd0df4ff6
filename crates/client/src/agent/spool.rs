use std::collections::BTreeMap;

use bytes::Bytes;

use super::dialect::Stream;

/// How much may wait in the spool.
///
/// When there is no room for another message, the oldest ones that matter less go, or are of the same stream: status
/// changes first, then notifications, then results. Work is asked for only while there is room for its result, so
/// that results go only when the embedding program posts more than there is room for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpoolLimits {
    /// The most messages; 100 by default.
    pub messages: usize,
    /// The most bytes, as they lie in the store before sealing; 16 MiB by default.
    pub bytes: usize,
    /// Bytes that a result may need: less room than this, and no work is asked for; 4 MiB by default.
    pub room_for_result: usize,
}

impl Default for SpoolLimits {
    fn default() -> Self {
        Self { messages: 100, bytes: 16 << 20, room_for_result: 4 << 20 }
    }
}

/// What waits to be handed over, in the order of its numbers.
#[derive(Debug, Default)]
pub(crate) struct Spool {
    waiting: BTreeMap<u64, Waiting>,
    bytes: usize,
    last: u64,
}

#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) stream: Stream,
    pub(crate) bytes: Bytes,
    /// The work that it tells the end of.
    pub(crate) ends: Option<String>,
    /// How often it was put behind the others, because the server failed over it again and again.
    passes: u32,
    failures: u32,
}

/// How often a server may fail over a message before others of its stream are let by.
const PATIENCE: u32 = 5;

impl Spool {
    /// Takes a message back from the store.
    pub(crate) fn restore(&mut self, seq: u64, stream: Stream, bytes: Bytes, ends: Option<String>) {
        self.last = self.last.max(seq);
        self.bytes = self.bytes.saturating_add(bytes.len());
        self.waiting.insert(seq, Waiting { stream, bytes, ends, passes: 0, failures: 0 });
    }

    /// Which messages have to go so that there is room for another; `None` if there is no room even so.
    pub(crate) fn in_the_way(&self, stream: Stream, bytes: usize, limits: &SpoolLimits) -> Option<Vec<u64>> {
        if bytes > limits.bytes || limits.messages == 0 {
            return None;
        }
        let (mut count, mut sum) = (self.waiting.len(), self.bytes.saturating_add(bytes));
        let mut least: Vec<_> = self.waiting.iter().filter(|(_, waiting)| waiting.stream <= stream).collect();
        least.sort_unstable_by_key(|(seq, waiting)| (waiting.stream, **seq));
        let mut gone = Vec::new();
        for (seq, waiting) in least {
            if count < limits.messages && sum <= limits.bytes {
                break;
            }
            count -= 1;
            sum = sum.saturating_sub(waiting.bytes.len());
            gone.push(*seq);
        }
        (count < limits.messages && sum <= limits.bytes).then_some(gone)
    }

    /// Takes a message and gives it a number.
    pub(crate) fn push(&mut self, stream: Stream, bytes: Bytes, ends: Option<String>) -> u64 {
        self.last += 1;
        self.restore(self.last, stream, bytes, ends);
        self.last
    }

    pub(crate) fn remove(&mut self, seq: u64) -> Option<Waiting> {
        let gone = self.waiting.remove(&seq)?;
        self.bytes = self.bytes.saturating_sub(gone.bytes.len());
        Some(gone)
    }

    pub(crate) fn get(&self, seq: u64) -> Option<&Waiting> {
        self.waiting.get(&seq)
    }

    /// What waits of a stream, the oldest first.
    pub(crate) fn all(&self, stream: Stream) -> impl Iterator<Item = u64> {
        self.waiting.iter().filter(move |(_, waiting)| waiting.stream == stream).map(|(seq, _)| *seq)
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether the end of a piece of work waits to be told.
    pub(crate) fn tells_end_of(&self, work: &str) -> bool {
        self.waiting.values().any(|waiting| waiting.ends.as_deref() == Some(work))
    }

    /// Whether the result of more work would find room without anything having to go.
    pub(crate) fn has_room_for_result(&self, limits: &SpoolLimits) -> bool {
        self.waiting.len() < limits.messages
            && self.bytes.saturating_add(limits.room_for_result.min(limits.bytes)) <= limits.bytes
    }

    /// The message to hand over next, among the streams that are open: the oldest of those put back least often.
    pub(crate) fn next(&self, open: impl Fn(Stream) -> bool) -> Option<u64> {
        let open = self.waiting.iter().filter(|(_, waiting)| open(waiting.stream));
        open.min_by_key(|(seq, waiting)| (waiting.passes, **seq)).map(|(seq, _)| *seq)
    }

    /// The server has failed over a message. One over which it fails again and again lets the others by.
    pub(crate) fn failed(&mut self, seq: u64) {
        if let Some(waiting) = self.waiting.get_mut(&seq) {
            waiting.failures += 1;
            if waiting.failures >= PATIENCE {
                waiting.failures = 0;
                waiting.passes = waiting.passes.saturating_add(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(messages: usize, bytes: usize) -> SpoolLimits {
        SpoolLimits { messages, bytes, room_for_result: 10 }
    }

    fn push(spool: &mut Spool, stream: Stream, size: usize, limits: &SpoolLimits) -> Option<(u64, Vec<u64>)> {
        let gone = spool.in_the_way(stream, size, limits)?;
        for seq in &gone {
            spool.remove(*seq);
        }
        Some((spool.push(stream, Bytes::from(vec![0; size]), None), gone))
    }

    #[test]
    fn what_matters_less_goes_first_and_of_that_the_oldest() {
        let limits = limits(3, 100);
        let mut spool = Spool::default();
        for stream in [Stream::Result, Stream::Notification, Stream::Status] {
            push(&mut spool, stream, 1, &limits).unwrap();
        }
        assert_eq!(push(&mut spool, Stream::Result, 1, &limits), Some((4, vec![3])));
        assert_eq!(push(&mut spool, Stream::Result, 1, &limits), Some((5, vec![2])));
        assert_eq!(push(&mut spool, Stream::Status, 1, &limits), None, "no result goes for a status");
        assert_eq!(push(&mut spool, Stream::Result, 1, &limits), Some((6, vec![1])));
    }

    #[test]
    fn bytes_are_bounded_as_well() {
        let limits = limits(100, 20);
        let mut spool = Spool::default();
        assert_eq!(push(&mut spool, Stream::Result, 21, &limits), None);
        assert!(spool.has_room_for_result(&limits));
        push(&mut spool, Stream::Result, 11, &limits).unwrap();
        assert!(!spool.has_room_for_result(&limits));
        assert_eq!(push(&mut spool, Stream::Result, 11, &limits), Some((2, vec![1])));
        assert_eq!(spool.bytes, 11);
    }

    #[test]
    fn messages_go_in_order_until_the_server_has_failed_over_one_too_often() {
        let limits = limits(10, 100);
        let mut spool = Spool::default();
        push(&mut spool, Stream::Result, 1, &limits);
        push(&mut spool, Stream::Result, 1, &limits);
        for _ in 0..PATIENCE {
            assert_eq!(spool.next(|_| true), Some(1));
            spool.failed(1);
        }
        assert_eq!(spool.next(|_| true), Some(2));
        spool.remove(2);
        assert_eq!(spool.next(|_| true), Some(1), "and is tried again when the others are gone");
        assert_eq!(spool.next(|stream| stream != Stream::Result), None);
    }

    #[test]
    fn numbers_go_on_where_the_store_left_off() {
        let mut spool = Spool::default();
        spool.restore(41, Stream::Result, Bytes::new(), Some("t".to_owned()));
        assert_eq!(push(&mut spool, Stream::Result, 1, &limits(10, 100)), Some((42, Vec::new())));
        assert!(spool.tells_end_of("t") && !spool.tells_end_of("u"));
    }
}
