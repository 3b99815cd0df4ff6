//! Every step of an update, ended or failing at every place, on a file system that is told when to.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use base64::Engine;
use ring::digest::{SHA256, digest};
use ring::signature::{Ed25519KeyPair, KeyPair};

use super::files::Files;
use super::offer::{Offer, Trust, hex, key};
use super::swap::{LARGEST, Rules, Swap};
use super::{Started, UpdateError};

const PROGRAM: &str = "/opt/agent/agent";
const OLD: &[u8] = b"the program, 1.0.0";
const NEW: &[u8] = b"the program, 1.1.0, which is longer";
const STARTS: u32 = 3;

type Names = BTreeMap<PathBuf, Vec<u8>>;

/// What is told of a file system: where the process is killed, or where it is told no.
#[derive(Clone, Copy, Default)]
struct Luck {
    killed_before: Option<usize>,
    failing: Option<usize>,
}

/// A file system whose every change is a step.
struct Fake {
    moves_first: bool,
    luck: Luck,
    inner: RefCell<Inner>,
}

struct Inner {
    names: Names,
    /// What a power cut may leave: the names as they were when they were last flushed, and after each change since.
    after_power_cut: Vec<Names>,
    steps: usize,
    killed: bool,
}

impl Fake {
    fn new(names: Names, moves_first: bool, luck: Luck) -> Self {
        let inner = Inner { after_power_cut: vec![names.clone()], names, steps: 0, killed: false };
        Self { moves_first, luck, inner: RefCell::new(inner) }
    }

    fn step(&self, change: impl FnOnce(&mut Names) -> io::Result<()>) -> io::Result<()> {
        let mut inner = self.inner.borrow_mut();
        let step = inner.steps;
        inner.steps += 1;
        if inner.killed || self.luck.killed_before == Some(step) {
            inner.killed = true;
            return Err(io::Error::other("killed"));
        }
        if self.luck.failing == Some(step) {
            return Err(io::Error::other("no space left on device"));
        }
        change(&mut inner.names)?;
        let names = inner.names.clone();
        inner.after_power_cut.push(names);
        Ok(())
    }

    fn alive(&self) -> io::Result<()> {
        if self.inner.borrow().killed { Err(io::Error::other("killed")) } else { Ok(()) }
    }

    /// What may be there after the process was killed, or the power was cut.
    fn left(self) -> BTreeSet<Names> {
        let inner = self.inner.into_inner();
        inner.after_power_cut.into_iter().chain([inner.names]).collect()
    }
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().try_into().unwrap()
}

impl Files for Fake {
    fn replaces_running(&self) -> bool {
        !self.moves_first
    }

    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        self.alive()?;
        Ok(self.inner.borrow().names.get(path).cloned())
    }

    fn digest(&self, path: &Path) -> io::Result<Option<(u64, [u8; 32])>> {
        Ok(self.read(path)?.map(|bytes| (bytes.len() as u64, sha256(&bytes))))
    }

    fn write(&self, path: &Path, like: Option<&Path>, from: &mut dyn Read) -> io::Result<(u64, [u8; 32])> {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes)?;
        if let Some(like) = like {
            self.read(like)?.ok_or_else(missing)?;
        }
        for end in [0, bytes.len() / 2, bytes.len()] {
            self.step(|names| {
                names.insert(path.to_owned(), bytes[..end].to_vec());
                Ok(())
            })?;
        }
        Ok((bytes.len() as u64, sha256(&bytes)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(|names| {
            let bytes = names.remove(from).ok_or_else(missing)?;
            names.insert(to.to_owned(), bytes);
            Ok(())
        })
    }

    fn keep(&self, from: &Path, to: &Path) -> io::Result<()> {
        // As where there are no second names: piece by piece.
        let bytes = self.read(from)?.ok_or_else(missing)?;
        assert!(self.read(to)?.is_none(), "a second name takes the place of none");
        self.write(to, None, &mut bytes.as_slice()).map(drop)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step(|names| {
            names.remove(path);
            Ok(())
        })
    }

    fn sync(&self, _: &Path) -> io::Result<()> {
        self.step(|_| Ok(()))?;
        let mut inner = self.inner.borrow_mut();
        inner.after_power_cut = vec![inner.names.clone()];
        Ok(())
    }
}

fn pair(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

fn public(seed: u8) -> String {
    base64::engine::general_purpose::STANDARD.encode(pair(seed).public_key().as_ref())
}

/// An offer of a program, signed by the first key.
fn offer(version: &str, program: &[u8]) -> Offer {
    let sha256 = sha256(program);
    let mut offer = Offer::new(version, hex(&sha256), program.len() as u64);
    offer.signature = Some(hex(pair(1).sign(&sha256).as_ref()));
    offer
}

fn installed() -> Names {
    Names::from([(PROGRAM.into(), OLD.to_vec())])
}

fn swap(names: Names, moves_first: bool, luck: Luck) -> Swap<Fake> {
    Swap::new(Fake::new(names, moves_first, luck), PROGRAM.into())
}

fn install_with(
    swap: &Swap<Fake>,
    running: &str,
    offer: &Offer,
    bytes: &[u8],
    enrolled: Option<&str>,
    trust: &Trust,
) -> Result<(), UpdateError> {
    let mut bytes = bytes;
    swap.install(offer, &mut bytes, &Rules { running, trust, enrolled, trial: &|_| Ok(()) })
}

fn install(swap: &Swap<Fake>) -> Result<(), UpdateError> {
    install_with(swap, "1.0.0", &offer("1.1.0", NEW), NEW, Some(&public(1)), &Trust::default())
}

fn names(swap: &Swap<Fake>) -> Names {
    swap.files.inner.borrow().names.clone()
}

fn program(names: &Names) -> Option<&[u8]> {
    names.get(Path::new(PROGRAM)).map(Vec::as_slice)
}

/// The version that starts, which is that of the program that is there. Anything but one of the two is the worst.
fn runs(names: &Names, moves_first: bool, what: &str) -> &'static str {
    match program(names) {
        Some(OLD) => "1.0.0",
        Some(NEW) => "1.1.0",
        // The instant between two moves: another program is told the path.
        None if moves_first => "1.0.0",
        other => panic!("{what}: {:?} is in the program's place", other.map(String::from_utf8_lossy)),
    }
}

/// Starts the program on what is there, without bad luck.
fn start(left: &Names, moves_first: bool, what: &str) -> (Started, Names) {
    let running = runs(left, moves_first, what);
    let swap = swap(left.clone(), moves_first, Luck::default());
    let started = swap.start(running, STARTS).unwrap_or_else(|error| panic!("{what}: {error}"));
    let after = names(&swap);
    assert!(program(&after).is_some(), "{what}: no program after {started:?}");
    runs(&after, moves_first, what);
    (started, after)
}

/// Whatever is there comes to rest: confirmed it stays, unconfirmed the old one is back and the new one is not taken.
fn comes_to_rest(left: &Names, moves_first: bool, what: &str) {
    let (started, after) = start(left, moves_first, what);
    if let Started::OnTrial { .. } = started {
        let swap = swap(after.clone(), moves_first, Luck::default());
        assert!(swap.confirm().unwrap(), "{what}");
        let confirmed = names(&swap);
        assert_eq!(program(&confirmed), Some(NEW), "{what}");
        let (started, after) = start(&confirmed, moves_first, what);
        assert_eq!((started, program(&after)), (Started::Settled, Some(NEW)), "{what}");
    }
    let mut now = after;
    for _ in 0..STARTS + 2 {
        now = start(&now, moves_first, what).1;
    }
    assert_eq!(program(&now), Some(OLD), "{what}: an unconfirmed version stays");
    let (started, now) = start(&now, moves_first, what);
    assert_eq!(started, Started::Settled, "{what}");
    assert!(!now.contains_key(Path::new("/opt/agent/agent.new")), "{what}: something is left lying about");
}

/// Every state that is left when `act` is killed before each of its steps, or the power is cut then.
fn all_left(before: &Names, moves_first: bool, act: &dyn Fn(&Swap<Fake>)) -> BTreeSet<Names> {
    let mut all = BTreeSet::new();
    for step in 0.. {
        let swap = swap(before.clone(), moves_first, Luck { killed_before: Some(step), failing: None });
        act(&swap);
        let over = !swap.files.inner.borrow().killed;
        all.extend(swap.files.left());
        if over {
            return all;
        }
    }
    unreachable!("an update ends");
}

/// Killed at every step of `act`, then at every step of the start after it, then at every step of the start after
/// that: what is left each time comes to rest. Gives how many ways there were, and how many states.
fn enumerate(before: &Names, act: &dyn Fn(&Swap<Fake>)) -> (usize, usize) {
    let (mut ways, mut states) = (0, BTreeSet::new());
    for moves_first in [false, true] {
        for first in all_left(before, moves_first, act) {
            let begin = |left: &Names| {
                let running = runs(left, moves_first, "killed");
                move |swap: &Swap<Fake>| drop(swap.start(running, STARTS))
            };
            comes_to_rest(&first, moves_first, "killed once");
            for second in all_left(&first, moves_first, &begin(&first)) {
                comes_to_rest(&second, moves_first, "killed twice");
                for third in all_left(&second, moves_first, &begin(&second)) {
                    comes_to_rest(&third, moves_first, "killed three times");
                    ways += 1;
                    states.insert((moves_first, third));
                }
                states.insert((moves_first, second));
            }
            states.insert((moves_first, first));
        }
    }
    (ways, states.len())
}

#[test]
fn an_update_that_is_cut_off_anywhere_leaves_the_old_program_or_the_new_one() {
    let (ways, states) = enumerate(&installed(), &|swap| drop(install(swap)));
    assert!(ways > 500 && states > 50, "{ways} ways, {states} states");
    println!("install: {ways} ways, {states} states");
}

#[test]
fn a_return_that_is_cut_off_anywhere_leaves_the_old_program_or_the_new_one() {
    let after_install = swap(installed(), false, Luck::default());
    install(&after_install).unwrap();
    let mut unconfirmed = names(&after_install);
    for _ in 0..STARTS {
        unconfirmed = start(&unconfirmed, false, "unconfirmed").1;
    }
    let (ways, states) = enumerate(&unconfirmed, &|swap| drop(swap.start("1.1.0", STARTS)));
    assert!(ways > 100 && states > 20, "{ways} ways, {states} states");
    println!("return: {ways} ways, {states} states");
}

#[test]
fn a_confirmation_that_is_cut_off_anywhere_has_been_made_or_not() {
    let after_install = swap(installed(), false, Luck::default());
    install(&after_install).unwrap();
    let on_trial = start(&names(&after_install), false, "on trial").1;
    for left in all_left(&on_trial, false, &|swap| drop(swap.confirm())) {
        let (started, after) = start(&left, false, "confirming");
        assert_eq!(program(&after), Some(NEW));
        assert!(matches!(started, Started::Settled | Started::OnTrial { start: 2, .. }), "{started:?}");
    }
}

#[test]
fn a_file_system_that_says_no_anywhere_costs_the_update_and_nothing_else() {
    for moves_first in [false, true] {
        let mut failures = 0;
        for step in 0.. {
            let luck = Luck { killed_before: None, failing: Some(step) };
            let swap = swap(installed(), moves_first, luck);
            let outcome = install(&swap);
            let left = names(&swap);
            match (&outcome, program(&left)) {
                (Ok(()), Some(NEW)) => {}
                (Err(UpdateError::Io { .. }), Some(OLD | NEW)) => failures += 1,
                other => panic!("step {step}: {other:?}"),
            }
            comes_to_rest(&left, moves_first, "told no");
            if swap.files.inner.borrow().steps <= step {
                break;
            }
            // And the next attempt is a good one, unless the new program is there already.
            let again =
                super::tests::swap(start(&left, moves_first, "again").1, moves_first, Luck::default());
            match install(&again) {
                Ok(()) | Err(UpdateError::Unconfirmed(_)) => {}
                Err(error) => panic!("step {step}: {error}"),
            }
            assert_eq!(program(&names(&again)), Some(NEW), "step {step}");
        }
        assert!(failures > 10, "{failures}");
    }
}

/// What is refused with which error, in the order of the checks: each is also wrong in everything that is checked later.
#[test]
fn what_is_wrong_is_refused_in_the_order_of_the_checks() {
    let good = || offer("1.1.0", NEW);
    let older = || offer("0.9.0", NEW);
    let by_another = || Offer { signature: Some(hex(pair(2).sign(&sha256(NEW)).as_ref())), ..older() };
    let (own, none) = (public(1), Trust::default());
    let refuse = |offer: &Offer, bytes: &[u8], enrolled: Option<&str>| {
        let swap = swap(installed(), false, Luck::default());
        let error = install_with(&swap, "1.0.0", offer, bytes, enrolled, &none).unwrap_err();
        let left = names(&swap);
        assert_eq!(left, installed(), "{error}: nothing is left behind");
        error
    };
    let short = refuse(&by_another(), &NEW[1..], Some(&own));
    assert!(matches!(short, UpdateError::WrongSize { promised: 35, came: 34 }), "{short}");
    let long = refuse(&by_another(), &[NEW, NEW].concat(), Some(&own));
    assert!(matches!(long, UpdateError::WrongSize { promised: 35, came: 36 }), "{long}");
    let huge = refuse(&Offer { size: LARGEST + 1, ..by_another() }, NEW, Some(&own));
    assert!(matches!(huge, UpdateError::TooLarge { .. }), "{huge}");
    let mut flipped = NEW.to_vec();
    flipped[0] ^= 1;
    let digest = refuse(&by_another(), &flipped, Some(&own));
    assert!(matches!(digest, UpdateError::WrongDigest { .. }), "{digest}");
    let unsigned = refuse(&Offer { signature: None, ..older() }, NEW, Some(&own));
    assert!(matches!(unsigned, UpdateError::Unsigned), "{unsigned}");
    let empty = refuse(&Offer { signature: Some(String::new()), ..older() }, NEW, Some(&own));
    assert!(matches!(empty, UpdateError::Unsigned), "{empty}");
    let form = refuse(&Offer { signature: Some("00".repeat(63)), ..older() }, NEW, Some(&own));
    assert!(matches!(form, UpdateError::NoSignature), "{form}");
    let other = refuse(&by_another(), NEW, Some(&own));
    assert!(matches!(other, UpdateError::WrongSignature), "{other}");
    // Over the hex text of the digest, as somebody might have read it.
    let text = hex(pair(1).sign(hex(&sha256(NEW)).as_bytes()).as_ref());
    let text = refuse(&Offer { signature: Some(text), ..good() }, NEW, Some(&own));
    assert!(matches!(text, UpdateError::WrongSignature), "{text}");
    for empty in [None, Some(""), Some(" ")] {
        let nobody = refuse(&older(), NEW, empty);
        assert!(matches!(nobody, UpdateError::NoKey), "{nobody}");
    }
    for bad in ["AAAA", "not base64", &"A".repeat(44)] {
        let bad = refuse(&older(), NEW, Some(bad));
        assert!(matches!(bad, UpdateError::BadKey), "{bad}");
    }
    let version = refuse(&older(), NEW, Some(&own));
    assert!(matches!(version, UpdateError::Older { .. }), "{version}");
    let form = refuse(&offer("nightly", NEW), NEW, Some(&own));
    assert!(matches!(form, UpdateError::NoOrder { .. }), "{form}");
    for same in ["1.0.0", "v1.0", "1.0.0+other"] {
        let same = refuse(&offer(same, NEW), NEW, Some(&own));
        assert!(matches!(same, UpdateError::AlreadyRuns(_)), "{same}");
        let mandatory = refuse(&Offer { mandatory: true, ..offer("1.0.0", NEW) }, NEW, Some(&own));
        assert!(
            matches!(mandatory, UpdateError::AlreadyRuns(_)),
            "it would be installed for ever: {mandatory}"
        );
    }
}

#[test]
fn an_offer_is_refused_before_its_bytes_are_fetched_for_all_that_can_be_told_then() {
    let (own, trust) = (public(1), Trust::default());
    let swap = swap(installed(), false, Luck::default());
    let rules = Rules { running: "1.0.0", trust: &trust, enrolled: Some(&own), trial: &|_| Ok(()) };
    assert!(swap.look_at(&offer("1.1.0", NEW), &rules).is_ok());
    let no_digest = Offer { sha256: "abc".to_owned(), ..offer("1.1.0", NEW) };
    assert!(matches!(swap.look_at(&no_digest, &rules), Err(UpdateError::NoDigest)));
    let unsigned = Offer { signature: None, ..offer("1.1.0", NEW) };
    assert!(matches!(swap.look_at(&unsigned, &rules), Err(UpdateError::Unsigned)));
    assert!(matches!(swap.look_at(&offer("0.9", NEW), &rules), Err(UpdateError::Older { .. })));
    assert_eq!(swap.files.inner.borrow().steps, 0, "looking changes nothing");
}

#[test]
fn a_mandatory_version_may_be_older_or_of_an_unknown_form() {
    for version in ["0.9.0", "nightly"] {
        let swap = swap(installed(), false, Luck::default());
        let offer = Offer { mandatory: true, ..offer(version, NEW) };
        install_with(&swap, "1.0.0", &offer, NEW, Some(&public(1)), &Trust::default()).unwrap();
        assert_eq!(program(&names(&swap)), Some(NEW));
        assert!(matches!(swap.start(version, STARTS).unwrap(), Started::OnTrial { start: 1, of: 3, .. }));
        assert!(swap.confirm().unwrap());
    }
}

#[test]
fn an_update_that_nobody_signed_is_taken_only_if_allowed_and_where_no_key_is_known() {
    let unsigned = Offer { signature: None, ..offer("1.1.0", NEW) };
    let attempt = |enrolled: Option<&str>, trust: &Trust| {
        let swap = swap(installed(), false, Luck::default());
        install_with(&swap, "1.0.0", &unsigned, NEW, enrolled, trust)
    };
    let allowed = Trust { named: Vec::new(), unsigned: true };
    assert!(matches!(attempt(Some(""), &Trust::default()), Err(UpdateError::NoKey)));
    attempt(Some(""), &allowed).unwrap();
    attempt(None, &allowed).unwrap();
    let keyed = attempt(Some(&public(1)), &allowed);
    assert!(matches!(keyed, Err(UpdateError::Unsigned)), "leaving the signature out must not help");
    let named = Trust { named: vec![key(&public(2)).unwrap()], unsigned: true };
    assert!(matches!(attempt(None, &named), Err(UpdateError::Unsigned)));
}

#[test]
fn a_key_that_the_program_names_is_as_good_as_the_one_it_was_given() {
    let by_second =
        || Offer { signature: Some(hex(pair(2).sign(&sha256(NEW)).as_ref())), ..offer("1.1.0", NEW) };
    let named = Trust { named: vec![key(&public(2)).unwrap()], unsigned: false };
    let attempt = |offer: &Offer, enrolled: Option<&str>| {
        install_with(&swap(installed(), false, Luck::default()), "1.0.0", offer, NEW, enrolled, &named)
    };
    for enrolled in [None, Some(""), Some("no key"), Some(public(1).as_str())] {
        attempt(&by_second(), enrolled).unwrap();
    }
    // The one it was given goes on being good beside it.
    attempt(&offer("1.1.0", NEW), Some(&public(1))).unwrap();
    let third = Offer { signature: Some(hex(pair(3).sign(&sha256(NEW)).as_ref())), ..offer("1.1.0", NEW) };
    assert!(matches!(attempt(&third, Some(&public(1))), Err(UpdateError::WrongSignature)));
}

#[test]
fn a_version_that_was_given_up_is_not_taken_again_until_there_is_a_newer_one() {
    let mut now = installed();
    let first = swap(now.clone(), false, Luck::default());
    install(&first).unwrap();
    now = names(&first);
    for expected in 1..=STARTS {
        let (started, after) = start(&now, false, "trial");
        assert_eq!(started, Started::OnTrial { version: "1.1.0".to_owned(), start: expected, of: STARTS });
        now = after;
    }
    let (started, after) = start(&now, false, "too many");
    assert!(matches!(&started, Started::RolledBack { version, .. } if version == "1.1.0"), "{started:?}");
    assert_eq!(program(&after), Some(OLD));
    let (started, after) = start(&after, false, "old again");
    let why = "3 starts went unconfirmed".to_owned();
    assert_eq!(started, Started::Returned { version: "1.1.0".to_owned(), why });

    let swap = swap(after, false, Luck::default());
    let again = |offer: &Offer, bytes: &[u8]| {
        install_with(&swap, "1.0.0", offer, bytes, Some(&public(1)), &Trust::default())
    };
    let other: &[u8] = b"other bytes";
    for offer in [offer("1.1.0", NEW), Offer { mandatory: true, ..offer("v1.1", NEW) }, offer("1.2.0", NEW)] {
        let refused = again(&offer, NEW);
        assert!(matches!(refused, Err(UpdateError::GivenUpBefore { .. })), "{}: {refused:?}", offer.version);
    }
    assert!(matches!(again(&offer("1.1.0", other), other), Err(UpdateError::GivenUpBefore { .. })));
    again(&offer("1.1.1", other), other).unwrap();
}

#[test]
fn a_program_that_calls_itself_otherwise_than_it_was_offered_as_is_given_up_at_once() {
    // Who has no key can offer what was signed long ago under a new name.
    let swap = swap(installed(), false, Luck::default());
    install(&swap).unwrap();
    let started = swap.start("0.3.0", STARTS).unwrap();
    assert!(matches!(&started, Started::RolledBack { why, .. } if why.contains("0.3.0")), "{started:?}");
    assert_eq!(program(&names(&swap)), Some(OLD));
}

#[test]
fn the_old_program_does_not_confirm_the_new_one() {
    let swap = swap(installed(), false, Luck::default());
    install(&swap).unwrap();
    assert!(!swap.confirm().unwrap(), "it has not been started yet");
    assert!(matches!(install(&swap), Err(UpdateError::Unconfirmed(_))));
    swap.start("1.1.0", STARTS).unwrap();
    assert!(swap.confirm().unwrap());
    assert!(!swap.confirm().unwrap());
}

#[test]
fn a_failed_trial_keeps_the_old_program() {
    let (own, trust) = (public(1), Trust::default());
    let swap = swap(installed(), false, Luck::default());
    let trial = |path: &Path| {
        assert_eq!(path, Path::new("/opt/agent/agent.new"));
        Err("it does not start".to_owned())
    };
    let rules = Rules { running: "1.0.0", trust: &trust, enrolled: Some(&own), trial: &trial };
    let outcome = swap.install(&offer("1.1.0", NEW), &mut &*NEW, &rules);
    assert!(matches!(outcome, Err(UpdateError::Trial(why)) if why == "it does not start"));
    assert_eq!(names(&swap), installed());
}

#[test]
fn a_damaged_journal_is_set_aside_and_the_program_stays() {
    for journal in [&b""[..], b"{", b"null", b"{\"stage\":{\"at\":\"unknown\"}}"] {
        let mut left = installed();
        left.insert("/opt/agent/agent.update".into(), journal.to_vec());
        let (started, after) = start(&left, false, "damaged");
        assert_eq!((started, program(&after)), (Started::Settled, Some(OLD)));
        assert!(after.contains_key(Path::new("/opt/agent/agent.update.damaged")));
    }
}

#[test]
fn a_program_that_somebody_else_puts_in_place_ends_the_trial() {
    let swap = swap(installed(), false, Luck::default());
    install(&swap).unwrap();
    let by_hand: &[u8] = b"the program, 2.0.0, by its package";
    swap.files.inner.borrow_mut().names.insert(PROGRAM.into(), by_hand.to_vec());
    assert_eq!(swap.start("2.0.0", STARTS).unwrap(), Started::Settled);
    assert_eq!(program(&names(&swap)), Some(by_hand));
}

#[test]
fn a_version_is_not_given_up_for_one_that_is_not_what_it_was() {
    let swap = swap(installed(), false, Luck::default());
    install(&swap).unwrap();
    swap.files.inner.borrow_mut().names.insert("/opt/agent/agent.previous".into(), b"half of".to_vec());
    swap.start("1.1.0", 1).unwrap();
    for _ in 0..2 {
        assert!(matches!(swap.start("1.1.0", 1), Err(UpdateError::NothingToReturnTo(_))));
        assert_eq!(program(&names(&swap)), Some(NEW));
    }
    // What cures it is a newer version.
    let third: &[u8] = b"the program, 1.2.0";
    let offer = offer("1.2.0", third);
    install_with(&swap, "1.1.0", &offer, third, Some(&public(1)), &Trust::default()).unwrap();
    assert!(matches!(swap.start("1.2.0", 1).unwrap(), Started::OnTrial { start: 1, .. }));
}
