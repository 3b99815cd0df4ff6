//! Room for agents on hosts, what hosts are told to do, and the files that agents are to work by.

use super::{
    Agent, BTreeSet, DEFAULT_TENANT, HostReport, Hosted, No, OTHER_TENANT, Reported, Store, Work, WorkEvent,
    WorkState, at, host_report, hosted, is_missing, numbered, queued, registered, reported, stored, taken,
    work,
};
use crate::domain::{CommandUpdate, HandedOver, HostLimits, InstructionFile, Instructions};
use serde_json::json;

fn room(on_host: u32, in_tenant: u64) -> HostLimits {
    HostLimits { on_host, in_tenant }
}

/// What became of the agents of a report: the numbers of those that were taken.
async fn taken_of<S: Store>(store: &S, report: HostReport) -> (Vec<Option<No>>, BTreeSet<No>) {
    match reported(store, report).await {
        Hosted::Taken { agents, all, .. } => {
            (agents.into_iter().map(|agent| agent.map(|agent| agent.no)).collect(), all.into_iter().collect())
        }
        other => panic!("not taken: {other:?}"),
    }
}

pub async fn agents_beyond_the_room_of_a_host_are_left_out<S: Store>(store: &S) {
    let report = |keys: &[&str]| {
        let agents = keys.iter().map(|key| hosted(None, key)).collect();
        HostReport { limits: room(2, 1000), ..host_report("f-1", agents) }
    };
    let (first, all) = taken_of(store, report(&["a", "b", "c", "a"])).await;
    let [Some(a), Some(b), None, again] = first[..] else { panic!("{first:?}") };
    assert_eq!((again, all), (Some(a), BTreeSet::from([a, b])), "one that is there takes no more room");
    let (later, _) = taken_of(store, report(&["c", "b", "a"])).await;
    assert_eq!(later, [None, Some(b), Some(a)]);
    // One that another host has does not come either, and stays what it was.
    numbered(store, 70, DEFAULT_TENANT).await;
    taken(store, host_report("f-2", vec![hosted(Some(70), "s")])).await;
    let before = stored(store, 70).await;
    let mut grab = report(&["a"]);
    grab.agents.push(hosted(Some(70), "s"));
    assert_eq!(taken_of(store, grab).await, (vec![Some(a), None], BTreeSet::from([a, b])));
    assert_eq!(stored(store, 70).await, before);
    // Another host has room of its own.
    let other = HostReport { fingerprint: "f-3".to_owned(), ..report(&["a", "b"]) };
    assert!(taken_of(store, other).await.0.iter().all(Option::is_some));
}

pub async fn agents_beyond_the_room_of_a_tenant_are_left_out<S: Store>(store: &S) {
    // The host is one of them.
    let report = |fingerprint: &str, keys: &[&str]| {
        let agents = keys.iter().map(|key| hosted(None, key)).collect();
        HostReport { limits: room(100, 3), ..host_report(fingerprint, agents) }
    };
    let (first, all) = taken_of(store, report("f-1", &["a", "b", "c"])).await;
    assert_eq!((first[2], all.len()), (None, 2));
    let before = super::whole(store).await;
    assert_eq!(reported(store, report("f-2", &["a"])).await, Hosted::Full);
    assert_eq!(super::whole(store).await, before);
    assert_eq!(taken_of(store, report("f-1", &["b", "a"])).await.0, [first[1], first[0]]);
    let theirs = HostReport { tenant: OTHER_TENANT, ..report("f-1", &["a", "b", "c"]) };
    assert_eq!(taken_of(store, theirs).await.1.len(), 2, "each tenant has room of its own");
}

/// A report while its commands are worth doing.
fn soon(fingerprint: &str) -> HostReport {
    HostReport { at: at(1), ..host_report(fingerprint, Vec::new()) }
}

/// A host with two commands.
async fn commanded<S: Store>(store: &S, fingerprint: &str) -> (Agent, [Work; 2]) {
    let (host, ..) = taken(store, host_report(fingerprint, Vec::new())).await;
    let one = queued(store, work(&host, &format!("{fingerprint}-one"))).await;
    let two = queued(store, work(&host, &format!("{fingerprint}-two"))).await;
    (host, [one, two])
}

fn update(work: &Work, event: WorkEvent) -> CommandUpdate {
    CommandUpdate { no: work.no, event, result: Some(json!({"error": event.as_str()})) }
}

/// What a host is told, and what became of its updates.
async fn told<S: Store>(store: &S, report: HostReport) -> (Vec<No>, Vec<Reported>) {
    match reported(store, report).await {
        Hosted::Taken { told, handed_over, .. } => {
            (handed_over.work.into_iter().map(|work| work.no).collect(), told)
        }
        other => panic!("not taken: {other:?}"),
    }
}

async fn now<S: Store>(store: &S, work: &Work) -> Work {
    let named = store.work_named(work.tenant, work.id.clone()).await.expect("read");
    named.expect("it is there").0
}

pub async fn host_is_handed_its_commands_until_an_update_ends_them<S: Store>(store: &S) {
    let (_, [one, two]) = commanded(store, "f-1").await;
    let beat = |seconds, updates: Vec<CommandUpdate>| {
        let agents = vec![hosted(None, "a")];
        HostReport { updates, at: at(seconds), ..host_report("f-1", agents) }
    };
    for seconds in [1, 2] {
        assert_eq!(told(store, beat(seconds, Vec::new())).await, (vec![one.no, two.no], Vec::new()));
    }
    assert_eq!(now(store, &one).await.delivered_at, Some(at(1)));
    let (open, outcomes) = told(store, beat(3, vec![update(&two, WorkEvent::Succeed)])).await;
    assert_eq!(open, [one.no], "what has ended is not handed over by the same call");
    assert!(matches!(&outcomes[..], [Reported::Now(work)] if work.no == two.no), "{outcomes:?}");
    let ended = now(store, &two).await;
    assert_eq!((ended.state, ended.completed_at), (WorkState::Succeeded, Some(at(3))));
    assert_eq!(ended.result, Some(json!({"error": "succeed"})));

    // Sent again it changes nothing, whatever it says.
    let again = vec![update(&two, WorkEvent::Fail), update(&one, WorkEvent::Fail)];
    let (open, outcomes) = told(store, beat(4, again.clone())).await;
    assert!(open.is_empty());
    assert!(matches!(&outcomes[..], [Reported::Before(_), Reported::Now(_)]), "{outcomes:?}");
    assert_eq!(now(store, &two).await, ended);
    let (_, outcomes) = told(store, beat(5, again)).await;
    assert!(matches!(&outcomes[..], [Reported::Before(_), Reported::Before(_)]), "{outcomes:?}");
    let failed = now(store, &one).await;
    assert_eq!((failed.state, failed.completed_at), (WorkState::Failed, Some(at(4))));
}

pub async fn update_of_a_command_that_is_not_the_hosts_changes_nothing<S: Store>(store: &S) {
    let (_, [one, _]) = commanded(store, "f-1").await;
    let (_, [two, _]) = commanded(store, "f-2").await;
    let theirs = HostReport { tenant: OTHER_TENANT, ..soon("f-1") };
    taken(store, theirs.clone()).await;
    told(store, soon("f-2")).await;
    let before = (now(store, &one).await, now(store, &two).await);
    assert_eq!((before.0.state, before.1.state), (WorkState::Queued, WorkState::Delivered));

    let mut unknown = update(&one, WorkEvent::Succeed);
    unknown.no = 404;
    let updates = vec![update(&two, WorkEvent::Succeed), unknown, update(&one, WorkEvent::Succeed)];
    let report = HostReport { commands: false, updates: updates.clone(), ..soon("f-1") };
    let (_, outcomes) = told(store, report).await;
    assert!(
        matches!(&outcomes[..], [Reported::NotYours, Reported::Unknown, Reported::Illegal(..)]),
        "another host's, nobody's, and one that was not given yet: {outcomes:?}"
    );
    let (_, outcomes) = told(store, HostReport { updates, ..theirs }).await;
    assert_eq!(outcomes, [Reported::Unknown, Reported::Unknown, Reported::Unknown], "as if there were none");
    assert_eq!((now(store, &one).await, now(store, &two).await), before);
}

pub async fn report_that_is_refused_leaves_commands_alone<S: Store>(store: &S) {
    let (one, [command, _]) = commanded(store, "f-1").await;
    told(store, soon("f-1")).await;
    let before = now(store, &command).await;
    let (two, ..) = taken(store, soon("f-2")).await;
    let report = HostReport { updates: vec![update(&command, WorkEvent::Succeed)], at: at(2), ..soon("f-1") };
    let bound = HostReport { bound: Some(two.no), ..report.clone() };
    assert_eq!(reported(store, bound).await, Hosted::OtherHost);
    let unknown = HostReport { agents: vec![hosted(Some(404), "a")], ..report };
    assert_eq!(reported(store, unknown).await, Hosted::UnknownAgent);
    assert_eq!(now(store, &command).await, before);
    assert_eq!(stored(store, one.no).await, one);
}

pub async fn report_that_asks_for_no_commands_gets_none<S: Store>(store: &S) {
    let (_, [one, two]) = commanded(store, "f-1").await;
    let report = HostReport { commands: false, ..soon("f-1") };
    let Hosted::Taken { handed_over, .. } = reported(store, report).await else { panic!("it is taken") };
    assert_eq!(handed_over, HandedOver::default());
    assert_eq!(now(store, &one).await, one);
    assert_eq!(told(store, soon("f-1")).await.0, [one.no, two.no]);
}

fn instructions(agent: Option<No>, text: &str, seconds: i64) -> Instructions {
    let file = |path: &str| InstructionFile { path: path.to_owned(), content: text.to_owned() };
    Instructions { tenant: DEFAULT_TENANT, agent, files: vec![file("a.md"), file("b/c.md")], at: at(seconds) }
}

async fn read<S: Store>(store: &S, agent: Option<No>) -> Option<Instructions> {
    store.instructions(DEFAULT_TENANT, agent).await.expect("read")
}

pub async fn instructions_of_an_agent_come_before_its_tenants<S: Store>(store: &S) {
    let (one, two) =
        (numbered(store, 7, DEFAULT_TENANT).await.no, numbered(store, 8, DEFAULT_TENANT).await.no);
    assert_eq!((read(store, None).await, read(store, Some(one)).await), (None, None));
    let (all, own) = (instructions(None, "for all", 1), instructions(Some(one), "🤖 for one", 2));
    for files in [&all, &own] {
        store.set_instructions(files.clone()).await.expect("set");
    }
    assert_eq!(read(store, None).await, Some(all.clone()));
    assert_eq!((read(store, Some(one)).await, read(store, Some(two)).await), (Some(own), Some(all.clone())));

    let later = instructions(Some(one), "", 3);
    store.set_instructions(later.clone()).await.expect("set again");
    assert_eq!(read(store, Some(one)).await, Some(later));
    let none = Instructions { files: Vec::new(), ..instructions(None, "", 4) };
    store.set_instructions(none.clone()).await.expect("set to none at all");
    assert_eq!(read(store, Some(two)).await, Some(none));
    assert_eq!(store.instructions(OTHER_TENANT, Some(one)).await.expect("read"), None);
}

pub async fn instructions_are_forgotten_one_by_one<S: Store>(store: &S) {
    let agent = numbered(store, 7, DEFAULT_TENANT).await.no;
    let (all, own) = (instructions(None, "for all", 1), instructions(Some(agent), "for one", 2));
    for files in [&all, &own] {
        store.set_instructions(files.clone()).await.expect("set");
    }
    let forget = |tenant, agent| async move { store.drop_instructions(tenant, agent).await.expect("done") };
    assert!(!forget(OTHER_TENANT, Some(agent)).await);
    assert!(!forget(OTHER_TENANT, None).await);
    assert!(forget(DEFAULT_TENANT, Some(agent)).await);
    assert_eq!(read(store, Some(agent)).await, Some(all));
    assert!(forget(DEFAULT_TENANT, None).await);
    assert!(!forget(DEFAULT_TENANT, None).await);
    assert_eq!(read(store, Some(agent)).await, None);
}

pub async fn instructions_are_for_an_agent_of_their_tenant<S: Store>(store: &S) {
    let theirs = numbered(store, 7, OTHER_TENANT).await.no;
    let device = registered(store, "d-1").await;
    for no in [theirs, device.no + 100] {
        assert!(is_missing(&store.set_instructions(instructions(Some(no), "x", 1)).await), "{no}");
        assert_eq!(read(store, Some(no)).await, None);
    }
}
