//! Automata over code points: a pattern as a nondeterministic program, made deterministic state by state as a search
//! asks for it.
//!
//! They read code points and not bytes: lengths are counted in them, and a class is one step however many ranges it
//! has. Code points that no class of a pattern tells apart are one symbol.

use std::collections::HashMap;

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, Hir, HirKind, Look};

/// Instructions of one program; room for a counted repetition up to 65,535.
const INSTRUCTIONS: usize = 140_000;
/// Different classes of one program, and ranges of all of them.
const CLASSES: usize = 600;
const RANGES: usize = 60_000;
/// What one concrete match may cost, in steps.
const MATCH_STEPS: usize = 20_000_000;
/// What the deterministic states of one program may hold, in instructions.
const HELD: usize = 6_000_000;

/// More was needed than the bounds allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

/// What stands beside a position in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Beside {
    /// The text begins or ends here.
    Edge,
    /// A letter, a digit or an underscore of ASCII, if the program asks for words.
    Word,
    Other,
}

#[derive(Debug)]
enum Instruction {
    /// Reads a code point of a class.
    Read {
        class: u32,
        next: u32,
    },
    /// Goes on if the assertion holds here.
    Assert {
        look: Look,
        next: u32,
    },
    /// Goes on everywhere.
    Split(Box<[u32]>),
    Match,
}

/// Code points as symbols.
#[derive(Debug)]
pub(super) struct Alphabet {
    /// Where each interval begins, ascending from 0, and its symbol.
    intervals: Vec<(u32, u16)>,
    ascii: Box<[u16; 128]>,
    /// The number of symbols.
    len: usize,
}

impl Alphabet {
    pub(super) fn intervals(&self) -> &[(u32, u16)] {
        &self.intervals
    }

    pub(super) fn symbol(&self, character: char) -> u16 {
        let point = u32::from(character);
        match usize::try_from(point).ok().and_then(|index| self.ascii.get(index)) {
            Some(symbol) => *symbol,
            None => self.look_up(point),
        }
    }

    fn look_up(&self, point: u32) -> u16 {
        let after = self.intervals.partition_point(|&(start, _)| start <= point);
        self.intervals.get(after.saturating_sub(1)).map_or(0, |&(_, symbol)| symbol)
    }
}

/// A pattern as a program.
#[derive(Debug)]
pub(super) struct Program {
    instructions: Vec<Instruction>,
    start: u32,
    alphabet: Alphabet,
    /// Whether class `c` has symbol `s`, at `c * alphabet.len + s`.
    members: Vec<bool>,
    /// Whether each symbol is a word character.
    words: Vec<bool>,
    /// Every match begins where the text does.
    anchored: bool,
}

struct Compiler {
    instructions: Vec<Instruction>,
    classes: Vec<ClassUnicode>,
    known: HashMap<Vec<(char, char)>, u32>,
    ranges: usize,
    steps: usize,
    words: bool,
}

impl Compiler {
    fn add(&mut self, instruction: Instruction) -> Result<u32, TooLarge> {
        if self.instructions.len() >= INSTRUCTIONS {
            return Err(TooLarge);
        }
        let index = u32::try_from(self.instructions.len()).map_err(|_| TooLarge)?;
        self.instructions.push(instruction);
        Ok(index)
    }

    fn read(&mut self, class: ClassUnicode, next: u32) -> Result<u32, TooLarge> {
        let key: Vec<(char, char)> =
            class.ranges().iter().map(|range| (range.start(), range.end())).collect();
        if let Some(&class) = self.known.get(&key) {
            return self.add(Instruction::Read { class, next });
        }
        self.ranges += class.ranges().len();
        if self.classes.len() >= CLASSES || self.ranges > RANGES {
            return Err(TooLarge);
        }
        let index = u32::try_from(self.classes.len()).map_err(|_| TooLarge)?;
        self.known.insert(key, index);
        self.classes.push(class);
        self.add(Instruction::Read { class: index, next })
    }

    /// Where to begin so that a match of `hir` goes on at `next`. The parser bounds how deep `hir` nests.
    fn compile(&mut self, hir: &Hir, next: u32) -> Result<u32, TooLarge> {
        self.steps += 1;
        if self.steps > 4 * INSTRUCTIONS {
            return Err(TooLarge);
        }
        match hir.kind() {
            HirKind::Empty => Ok(next),
            HirKind::Literal(literal) => {
                let text = std::str::from_utf8(&literal.0).map_err(|_| TooLarge)?;
                text.chars().rev().try_fold(next, |next, character| {
                    self.read(ClassUnicode::new([ClassUnicodeRange::new(character, character)]), next)
                })
            }
            HirKind::Class(Class::Unicode(class)) => self.read(class.clone(), next),
            HirKind::Class(Class::Bytes(class)) => self.read(class.to_unicode_class().ok_or(TooLarge)?, next),
            HirKind::Look(look) => {
                self.words |= matches!(look, Look::WordAscii | Look::WordAsciiNegate);
                self.add(Instruction::Assert { look: *look, next })
            }
            HirKind::Capture(capture) => self.compile(&capture.sub, next),
            HirKind::Concat(parts) => {
                parts.iter().rev().try_fold(next, |next, part| self.compile(part, next))
            }
            HirKind::Alternation(parts) => {
                let branches = parts.iter().map(|part| self.compile(part, next)).collect::<Result<_, _>>()?;
                self.add(Instruction::Split(branches))
            }
            HirKind::Repetition(repetition) => {
                let mut from = next;
                match repetition.max {
                    Some(max) => {
                        for _ in repetition.min..max {
                            let body = self.compile(&repetition.sub, from)?;
                            from = self.add(Instruction::Split(Box::new([body, next])))?;
                        }
                    }
                    None => {
                        from = self.add(Instruction::Match)?;
                        let body = self.compile(&repetition.sub, from)?;
                        if let Some(instruction) = self.instructions.get_mut(from as usize) {
                            *instruction = Instruction::Split(Box::new([body, next]));
                        }
                    }
                }
                for _ in 0..repetition.min {
                    from = self.compile(&repetition.sub, from)?;
                }
                Ok(from)
            }
        }
    }
}

fn word_class() -> ClassUnicode {
    ClassUnicode::new(
        [('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')].map(|(from, to)| ClassUnicodeRange::new(from, to)),
    )
}

impl Program {
    pub(super) fn new(hir: &Hir) -> Result<Self, TooLarge> {
        let mut compiler = Compiler {
            instructions: Vec::new(),
            classes: Vec::new(),
            known: HashMap::new(),
            ranges: 0,
            steps: 0,
            words: false,
        };
        let end = compiler.add(Instruction::Match)?;
        let start = compiler.compile(hir, end)?;
        let classes = compiler.classes.len();
        if compiler.words {
            compiler.classes.push(word_class());
        }
        let (alphabet, members) = partition(&compiler.classes)?;
        let words = if compiler.words {
            members.get(classes * alphabet.len..).unwrap_or_default().to_vec()
        } else {
            vec![false; alphabet.len]
        };
        Ok(Self {
            instructions: compiler.instructions,
            start,
            alphabet,
            members,
            words,
            anchored: hir.properties().look_set_prefix().contains(Look::Start),
        })
    }

    pub(super) fn alphabet(&self) -> &Alphabet {
        &self.alphabet
    }

    fn beside(&self, symbol: u16) -> Beside {
        if self.words.get(usize::from(symbol)).copied().unwrap_or(false) {
            Beside::Word
        } else {
            Beside::Other
        }
    }

    fn reads(&self, class: u32, symbol: u16) -> bool {
        let index = class as usize * self.alphabet.len + usize::from(symbol);
        self.members.get(index).copied().unwrap_or(false)
    }

    /// Whether the text has a match; `None` if that takes too long to tell.
    pub(super) fn is_match(&self, text: &str) -> Option<bool> {
        let mut walk = Walk::new(self);
        let mut kernel: Vec<u32> = Vec::new();
        let mut before = Beside::Edge;
        let mut steps = 0;
        for character in text.chars() {
            let symbol = self.alphabet.symbol(character);
            let after = self.beside(symbol);
            if walk.close(self, &kernel, before, after) {
                return Some(true);
            }
            steps += walk.visited.len() + 1;
            if steps > MATCH_STEPS {
                return None;
            }
            walk.read(self, symbol, &mut kernel);
            before = after;
            if kernel.is_empty() && self.anchored {
                return Some(false);
            }
        }
        Some(walk.close(self, &kernel, before, Beside::Edge))
    }
}

/// Splits all code points into symbols that no class tells apart, and says which class has which symbol.
fn partition(classes: &[ClassUnicode]) -> Result<(Alphabet, Vec<bool>), TooLarge> {
    let mut starts = vec![0];
    for range in classes.iter().flat_map(ClassUnicode::ranges) {
        starts.push(u32::from(range.start()));
        starts.push(u32::from(range.end()) + 1);
    }
    starts.sort_unstable();
    starts.dedup();
    starts.retain(|&start| start <= 0x10_FFFF);
    let mut symbols: Vec<u16> = vec![0; starts.len()];
    let mut len = 1;
    for class in classes {
        let mut renamed: HashMap<(u16, bool), u16> = HashMap::new();
        let mut ranges = class.ranges().iter().peekable();
        for (start, symbol) in starts.iter().zip(&mut symbols) {
            while ranges.next_if(|range| u32::from(range.end()) < *start).is_some() {}
            let inside = ranges.peek().is_some_and(|range| u32::from(range.start()) <= *start);
            let fresh = u16::try_from(renamed.len()).map_err(|_| TooLarge)?;
            *symbol = *renamed.entry((*symbol, inside)).or_insert(fresh);
        }
        len = renamed.len();
    }
    let mut members = vec![false; classes.len() * len];
    for (index, class) in classes.iter().enumerate() {
        let mut ranges = class.ranges().iter().peekable();
        for (start, symbol) in starts.iter().zip(&symbols) {
            while ranges.next_if(|range| u32::from(range.end()) < *start).is_some() {}
            let inside = ranges.peek().is_some_and(|range| u32::from(range.start()) <= *start);
            if inside && let Some(member) = members.get_mut(index * len + usize::from(*symbol)) {
                *member = true;
            }
        }
    }
    let intervals: Vec<(u32, u16)> = starts.into_iter().zip(symbols).collect();
    let mut alphabet = Alphabet { intervals, ascii: Box::new([0; 128]), len };
    let ascii: Vec<u16> = (0..128).map(|point| alphabet.look_up(point)).collect();
    for (slot, symbol) in alphabet.ascii.iter_mut().zip(ascii) {
        *slot = symbol;
    }
    Ok((alphabet, members))
}

/// Follows a program through one position after another.
#[derive(Debug)]
struct Walk {
    /// In which round each instruction was met last.
    met: Vec<u32>,
    round: u32,
    /// Instructions of this round.
    visited: Vec<u32>,
}

impl Walk {
    fn new(program: &Program) -> Self {
        Self { met: vec![0; program.instructions.len()], round: 0, visited: Vec::new() }
    }

    fn begin(&mut self) {
        self.visited.clear();
        if self.round == u32::MAX {
            self.met.fill(0);
            self.round = 0;
        }
        self.round += 1;
    }

    fn meet(&mut self, instruction: u32) {
        if let Some(met) = self.met.get_mut(instruction as usize)
            && *met != self.round
        {
            *met = self.round;
            self.visited.push(instruction);
        }
    }

    /// Follows everything that reads nothing, from the kernel and from a match that begins here. Whether a match ends
    /// here.
    fn close(&mut self, program: &Program, kernel: &[u32], before: Beside, after: Beside) -> bool {
        self.begin();
        for &instruction in kernel {
            self.meet(instruction);
        }
        if !program.anchored || before == Beside::Edge {
            self.meet(program.start);
        }
        let mut at = 0;
        while let Some(&index) = self.visited.get(at) {
            at += 1;
            match program.instructions.get(index as usize) {
                Some(Instruction::Match) => return true,
                Some(Instruction::Split(branches)) => {
                    for &branch in branches {
                        self.meet(branch);
                    }
                }
                Some(Instruction::Assert { look, next }) => {
                    let boundary = (before == Beside::Word) != (after == Beside::Word);
                    let holds = match look {
                        Look::Start => before == Beside::Edge,
                        Look::End => after == Beside::Edge,
                        Look::WordAscii => boundary,
                        Look::WordAsciiNegate => !boundary,
                        // Patterns are never read into any other.
                        _ => false,
                    };
                    if holds {
                        self.meet(*next);
                    }
                }
                Some(Instruction::Read { .. }) | None => {}
            }
        }
        false
    }

    /// What the instructions of this round go on to when they read a symbol, ascending.
    fn read(&self, program: &Program, symbol: u16, kernel: &mut Vec<u32>) {
        kernel.clear();
        for &index in &self.visited {
            if let Some(&Instruction::Read { class, next }) = program.instructions.get(index as usize)
                && program.reads(class, symbol)
            {
                kernel.push(next);
            }
        }
        kernel.sort_unstable();
        kernel.dedup();
    }
}

/// The state of a deterministic automaton in which nothing will ever match.
pub(super) const DEAD: u32 = 0;
/// The state in which a match has ended: whatever follows, the text has one.
pub(super) const MATCHED: u32 = 1;
/// The state before the first code point.
pub(super) const START: u32 = 2;

/// The deterministic automaton of a program, as far as it has been asked for.
#[derive(Debug)]
pub(super) struct Automaton {
    /// What the program goes on with, and what stands before; ascending from [`START`].
    states: Vec<State>,
    known: HashMap<(Box<[u32]>, Beside), u32>,
    walk: Walk,
    held: usize,
}

#[derive(Debug)]
struct State {
    kernel: Box<[u32]>,
    before: Beside,
    accepting: Option<bool>,
    /// By symbol; empty until it is asked for.
    next: Box<[u32]>,
}

impl Automaton {
    pub(super) fn new(program: &Program) -> Self {
        let start =
            State { kernel: Box::default(), before: Beside::Edge, accepting: None, next: Box::default() };
        Self {
            states: vec![start],
            known: HashMap::from([((Box::default(), Beside::Edge), START)]),
            walk: Walk::new(program),
            held: 0,
        }
    }

    /// How much memory it holds, in numbers of 32 bits.
    pub(super) fn held(&self) -> usize {
        self.held + self.walk.met.len()
    }

    /// Whether a text that ends in this state has a match.
    pub(super) fn accepts(&mut self, program: &Program, state: u32) -> bool {
        let Some(known) = state.checked_sub(START).and_then(|index| self.states.get_mut(index as usize))
        else {
            return state == MATCHED;
        };
        *known
            .accepting
            .get_or_insert_with(|| self.walk.close(program, &known.kernel, known.before, Beside::Edge))
    }

    /// Where a symbol leads.
    pub(super) fn next(&mut self, program: &Program, state: u32, symbol: u16) -> Result<u32, TooLarge> {
        let Some(index) = state.checked_sub(START).map(|index| index as usize) else {
            return Ok(state);
        };
        let Some(from) = self.states.get(index) else {
            return Ok(DEAD);
        };
        if let Some(&known) = from.next.get(usize::from(symbol)) {
            return Ok(known);
        }
        // All symbols at once: what reads nothing is followed twice at most, not once for each.
        let (kernel, before) = (from.kernel.clone(), from.before);
        let mut next = vec![DEAD; program.alphabet.len];
        for after in [Beside::Other, Beside::Word] {
            if !program.words.contains(&(after == Beside::Word)) {
                continue;
            }
            let matched = self.walk.close(program, &kernel, before, after);
            for (symbol, slot) in (0_u16..).zip(&mut next) {
                if program.beside(symbol) == after {
                    *slot = if matched { MATCHED } else { self.reach(program, symbol)? };
                }
            }
        }
        let to = next.get(usize::from(symbol)).copied().unwrap_or(DEAD);
        if let Some(from) = self.states.get_mut(index) {
            from.next = next.into();
        }
        Ok(to)
    }

    /// The state after the walk has read a symbol.
    fn reach(&mut self, program: &Program, symbol: u16) -> Result<u32, TooLarge> {
        let mut kernel = Vec::new();
        self.walk.read(program, symbol, &mut kernel);
        if kernel.is_empty() && program.anchored {
            return Ok(DEAD);
        }
        let key = (kernel.into_boxed_slice(), program.beside(symbol));
        if let Some(&known) = self.known.get(&key) {
            return Ok(known);
        }
        self.held += 2 * key.0.len() + program.alphabet.len + 16;
        if self.held > HELD {
            return Err(TooLarge);
        }
        let index = u32::try_from(self.states.len()).map_err(|_| TooLarge)?.saturating_add(START);
        self.states.push(State {
            kernel: key.0.clone(),
            before: key.1,
            accepting: None,
            next: Box::default(),
        });
        self.known.insert(key, index);
        Ok(index)
    }
}
