//! The texts that several automata agree on, shortest and most readable first.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, VecDeque};

use super::automaton::{Automaton, DEAD, MATCHED, Program, START, TooLarge};

/// Edges between them.
const EDGES: usize = 1_500_000;
/// Positions looked at after a text is known, to learn whether there are others.
const ENOUGH: usize = 1_500;
/// Beginnings of texts that are held while texts are listed.
const BEGINNINGS: usize = 1_500_000;

/// Stands for the state of an automaton whose literal holds whatever follows.
const SETTLED: u32 = u32::MAX;

/// ASCII as people read it most easily; what is missing comes last.
const READABLE: &str =
    "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-_.:/@, +*#!?=&%$'()[]{}<>;|~^`\"\\";
/// What is taken after that, in this order.
const WINDOWS: [(u32, u32); 7] = [
    (0xC0, 0x24F),
    (0x391, 0x3C9),
    (0x4E00, 0x9FFF),
    (0xA1, 0xD7FF),
    (0xE000, 0x10_FFFF),
    (0x0, 0x1F),
    (0x7F, 0xA0),
];

/// A pattern that texts must match, or must not.
pub(super) struct Literal<'a> {
    pub(super) program: &'a Program,
    pub(super) automaton: &'a mut Automaton,
    pub(super) holds: bool,
}

/// How far searches may go.
pub(super) struct Effort {
    /// Positions (state and length) that the next search may meet.
    pub(super) most: usize,
    /// Those that all searches met so far.
    pub(super) spent: usize,
}

/// What is asked of every text beside the automata.
pub(super) struct Lengths {
    pub(super) least: u32,
    pub(super) greatest: Option<u64>,
}

/// Texts that were listed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) texts: Vec<String>,
    /// Proved: there are no others.
    pub(super) complete: bool,
}

/// Code points that no automaton tells apart.
struct Symbol {
    /// What each automaton calls it.
    symbols: Box<[u16]>,
    ranges: Vec<(u32, u32)>,
}

impl Symbol {
    fn has(&self, point: u32) -> bool {
        let after = self.ranges.partition_point(|&(start, _)| start <= point);
        after.checked_sub(1).and_then(|index| self.ranges.get(index)).is_some_and(|&(_, end)| point <= end)
    }

    /// Its code points, the most readable first.
    fn characters(&self) -> impl Iterator<Item = char> + '_ {
        let windows = WINDOWS.iter().enumerate().flat_map(move |(order, &(from, to))| {
            let earlier = WINDOWS.get(..order).unwrap_or_default();
            self.ranges
                .iter()
                .flat_map(move |&(start, end)| start.max(from)..=end.min(to))
                .filter(move |point| !earlier.iter().any(|&(from, to)| (from..=to).contains(point)))
                .filter_map(char::from_u32)
        });
        READABLE.chars().filter(|&character| self.has(u32::from(character))).chain(windows)
    }

    /// Where its best code point stands among those of all symbols.
    fn rank(&self) -> (usize, u32) {
        let readable = READABLE.chars().position(|character| self.has(u32::from(character)));
        let other = WINDOWS
            .iter()
            .position(|&(from, to)| self.ranges.iter().any(|&(start, end)| start.max(from) <= end.min(to)));
        let first = self.ranges.first().map_or(0, |&(start, _)| start);
        (readable.unwrap_or_else(|| READABLE.len() + other.unwrap_or(WINDOWS.len())), first)
    }
}

/// The symbols that all the automata together tell apart, the most readable first.
fn symbols(literals: &[Literal<'_>]) -> Vec<Symbol> {
    let mut starts: Vec<u32> = literals
        .iter()
        .flat_map(|literal| literal.program.alphabet().intervals().iter().map(|&(start, _)| start))
        .chain([0, 0xD800, 0xE000])
        .collect();
    starts.sort_unstable();
    starts.dedup();
    let mut cursors: Vec<_> =
        literals.iter().map(|literal| literal.program.alphabet().intervals().iter().peekable()).collect();
    let mut current: Vec<u16> = vec![0; literals.len()];
    let mut known: HashMap<Box<[u16]>, usize> = HashMap::new();
    let mut symbols: Vec<Symbol> = Vec::new();
    let ends = starts.iter().skip(1).map(|next| next - 1).chain([0x10_FFFF]);
    for (&start, end) in starts.iter().zip(ends) {
        for (cursor, current) in cursors.iter_mut().zip(&mut current) {
            while let Some(&(_, symbol)) = cursor.next_if(|&&(from, _)| from <= start) {
                *current = symbol;
            }
        }
        if start == 0xD800 {
            continue;
        }
        let key: Box<[u16]> = current.as_slice().into();
        let index = *known.entry(key.clone()).or_insert(symbols.len());
        match symbols.get_mut(index) {
            Some(symbol) => symbol.ranges.push((start, end)),
            None => symbols.push(Symbol { symbols: key, ranges: vec![(start, end)] }),
        }
    }
    symbols.sort_by_cached_key(Symbol::rank);
    symbols
}

/// A state of all automata at a length, which counts no further than the least one.
struct Node {
    state: u32,
    length: u32,
    /// The length of the shortest text that leads here.
    depth: u64,
    accepting: bool,
    /// By which symbol to which node; the most readable first.
    edges: Vec<(u32, u32)>,
}

/// The states of all automata together.
struct Product<'a, 'b> {
    literals: &'b mut [Literal<'a>],
    states: Vec<Box<[u32]>>,
    known: HashMap<Box<[u32]>, u32>,
}

impl Product<'_, '_> {
    fn intern(&mut self, state: Box<[u32]>) -> Result<u32, TooLarge> {
        if let Some(&known) = self.known.get(&state) {
            return Ok(known);
        }
        let index = u32::try_from(self.states.len()).map_err(|_| TooLarge)?;
        self.known.insert(state.clone(), index);
        self.states.push(state);
        Ok(index)
    }

    /// Where a symbol leads; `None` where nothing can be accepted any more.
    fn next(&mut self, state: u32, symbol: &Symbol) -> Result<Option<u32>, TooLarge> {
        let Some(from) = self.states.get(state as usize) else {
            return Ok(None);
        };
        let mut to = Vec::with_capacity(from.len());
        for ((literal, &state), &symbol) in self.literals.iter_mut().zip(from).zip(&symbol.symbols) {
            if state == SETTLED {
                to.push(SETTLED);
                continue;
            }
            let next = literal.automaton.next(literal.program, state, symbol)?;
            let (settled, lost) = if literal.holds { (MATCHED, DEAD) } else { (DEAD, MATCHED) };
            if next == lost {
                return Ok(None);
            }
            to.push(if next == settled { SETTLED } else { next });
        }
        self.intern(to.into()).map(Some)
    }

    fn accepts(&mut self, state: u32) -> bool {
        let Some(state) = self.states.get(state as usize) else {
            return false;
        };
        self.literals.iter_mut().zip(state).all(|(literal, &state)| {
            state == SETTLED || literal.automaton.accepts(literal.program, state) == literal.holds
        })
    }
}

/// Everything that can be reached, as far as it was followed.
struct Graph {
    nodes: Vec<Node>,
    /// Whether it was followed to the end.
    whole: bool,
}

fn explore(
    product: &mut Product<'_, '_>,
    symbols: &[Symbol],
    lengths: &Lengths,
    effort: &mut Effort,
) -> Result<Graph, TooLarge> {
    let mut nodes: Vec<Node> = Vec::new();
    let mut known: HashMap<(u32, u32), u32> = HashMap::new();
    let start = product.intern(product.literals.iter().map(|_| START).collect())?;
    let mut meet = |product: &mut Product<'_, '_>, nodes: &mut Vec<Node>, state, length, depth| {
        let index = u32::try_from(nodes.len()).map_err(|_| TooLarge)?;
        let found = *known.entry((state, length)).or_insert(index);
        if found == index {
            let accepting = length == lengths.least && product.accepts(state);
            nodes.push(Node { state, length, depth, accepting, edges: Vec::new() });
        }
        Ok(found)
    };
    meet(product, &mut nodes, start, 0, 0)?;
    let (mut at, mut edges, mut accepting) = (0, 0, None);
    // The same state is met at many lengths.
    let mut outgoing: HashMap<u32, Vec<(u32, u32)>> = HashMap::new();
    while let Some(node) = nodes.get(at) {
        let (state, length, depth) = (node.state, node.length, node.depth);
        if node.accepting {
            accepting.get_or_insert(at);
        }
        effort.spent += 1;
        let exhausted = nodes.len() > effort.most || edges > EDGES;
        match accepting {
            Some(first) if exhausted || at - first > ENOUGH => return Ok(Graph { nodes, whole: false }),
            None if exhausted => return Err(TooLarge),
            _ => {}
        }
        if lengths.greatest.is_none_or(|greatest| depth < greatest) {
            let outgoing = match outgoing.entry(state) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => {
                    let mut list = Vec::new();
                    for (symbol, name) in symbols.iter().zip(0..) {
                        if let Some(to) = product.next(state, symbol)? {
                            list.push((name, to));
                        }
                    }
                    unknown.insert(list)
                }
            };
            let longer = length.saturating_add(1).min(lengths.least);
            let mut list = Vec::with_capacity(outgoing.len());
            for &(symbol, to) in outgoing.iter() {
                list.push((symbol, meet(product, &mut nodes, to, longer, depth + 1)?));
            }
            edges += list.len();
            if let Some(node) = nodes.get_mut(at) {
                node.edges = list;
            }
        }
        at += 1;
    }
    Ok(Graph { nodes, whole: true })
}

impl Graph {
    /// How many characters are missing at least at each node, `None` if no text is accepted any more. Of a part of
    /// the graph nothing is known.
    fn missing(&self) -> Vec<Option<u64>> {
        if !self.whole {
            return vec![Some(0); self.nodes.len()];
        }
        let mut sources: Vec<Vec<u32>> = vec![Vec::new(); self.nodes.len()];
        for (source, node) in (0..).zip(&self.nodes) {
            for &(_, target) in &node.edges {
                if let Some(sources) = sources.get_mut(target as usize) {
                    sources.push(source);
                }
            }
        }
        let mut missing: Vec<Option<u64>> =
            self.nodes.iter().map(|node| node.accepting.then_some(0)).collect();
        let mut pending: VecDeque<(usize, u64)> = missing
            .iter()
            .enumerate()
            .filter_map(|(index, missing)| missing.map(|missing| (index, missing)))
            .collect();
        while let Some((target, after)) = pending.pop_front() {
            for &source in sources.get(target).map(Vec::as_slice).unwrap_or_default() {
                if let Some(missing @ None) = missing.get_mut(source as usize) {
                    *missing = Some(after + 1);
                    pending.push_back((source as usize, after + 1));
                }
            }
        }
        missing
    }
}

/// The beginning of a text: where it leads, and what it is one character longer than.
struct Beginning {
    node: u32,
    length: u64,
    before: usize,
    character: char,
}

/// Lists up to `want` texts that all literals and both lengths admit, without those that are excluded.
pub(super) fn list(
    literals: &mut [Literal<'_>],
    lengths: &Lengths,
    excluded: &BTreeSet<String>,
    want: usize,
    effort: &mut Effort,
) -> Result<Listing, TooLarge> {
    if lengths.greatest.is_some_and(|greatest| greatest < u64::from(lengths.least)) {
        return Ok(Listing { texts: Vec::new(), complete: true });
    }
    let symbols = symbols(literals);
    let mut product = Product { literals, states: Vec::new(), known: HashMap::new() };
    let graph = explore(&mut product, &symbols, lengths, effort)?;
    let missing = graph.missing();
    let useful = |node: u32, length: u64| {
        let missing = missing.get(node as usize).copied().flatten();
        missing.is_some_and(|missing| lengths.greatest.is_none_or(|greatest| length + missing <= greatest))
    };
    // The first of all texts pass each node by one of its first so many beginnings.
    let most = want.saturating_add(excluded.len()).saturating_add(1);
    let mut passed: Vec<usize> = vec![0; graph.nodes.len()];
    let mut beginnings: Vec<Beginning> = Vec::new();
    let mut texts = Vec::new();
    let mut complete = graph.whole;
    if useful(0, 0) {
        beginnings.push(Beginning { node: 0, length: 0, before: usize::MAX, character: '\0' });
    }
    let mut at = 0;
    while let Some(&Beginning { node: index, length, .. }) = beginnings.get(at) {
        let Some(node) = graph.nodes.get(index as usize) else {
            break;
        };
        if node.accepting {
            let text = spell(&beginnings, at);
            if !excluded.contains(&text) {
                if texts.len() >= want {
                    complete = false;
                    break;
                }
                texts.push(text);
            }
        }
        for &(symbol, target) in node.edges.iter().filter(|&&(_, target)| useful(target, length + 1)) {
            let Some(passed) = passed.get_mut(target as usize) else {
                continue;
            };
            for character in symbols.get(symbol as usize).into_iter().flat_map(Symbol::characters) {
                if *passed >= most || beginnings.len() >= BEGINNINGS {
                    complete = false;
                    break;
                }
                *passed += 1;
                beginnings.push(Beginning { node: target, length: length + 1, before: at, character });
            }
        }
        at += 1;
    }
    if texts.is_empty() && !complete {
        return Err(TooLarge);
    }
    Ok(Listing { texts, complete })
}

fn spell(beginnings: &[Beginning], mut at: usize) -> String {
    let mut characters = VecDeque::new();
    while let Some(beginning) = beginnings.get(at).filter(|beginning| beginning.before != usize::MAX) {
        characters.push_front(beginning.character);
        at = beginning.before;
    }
    characters.into_iter().collect()
}
