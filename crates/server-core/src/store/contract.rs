//! What every store must do, as functions over any store; [`store_contract!`](crate::store_contract) makes them
//! the tests of one. Their names say what they show; each starts from an empty store.
//!
//! ```
//! use fleetwire_server_core::store::MemoryStore;
//!
//! async fn fresh() -> Box<MemoryStore> {
//!     Box::default()
//! }
//! fleetwire_server_core::store_contract!(fresh);
//! ```
#![expect(missing_docs, reason = "the names of the behaviours say it all")]

use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::mpsc::channel;
use std::task::Poll;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use super::{Numbers, Offer, Outcome, Restored, RestoredAgent, Store, StoreError};
use crate::domain::{
    Agent, Annotation, Announced, Asked, BatchLimits, Credential, DEFAULT_TENANT, Delivery, Enrolled,
    Enrolment, Execution, FilePlace, Finding, FindingFilter, FoundRow, HOSTED_KEY, HandedOver, HostLimits,
    HostReport, Hosted, HostedAgent, IllegalTransition, Kind, MODEL_UPDATE, Model, ModelReport, NewAgent,
    NewImage, NewToken, NewWork, No, Observation, Queued, Reconciled, Recorded, Release, Reported, SECRETS,
    Stage, Swept, Vendor, Work, WorkEvent, WorkFilter, WorkReport, WorkState, WorkStep,
};
use crate::keys::{Digest, Foundation};
use crate::lease::{Downtime, LeaseRow, Report};

mod by_hand;
mod catalogue;
mod fleet;
mod hosts;
mod journal;
mod kept;
#[cfg(feature = "contract-tests")]
pub mod machine;
mod standing;

pub use by_hand::*;
pub use catalogue::*;
pub use fleet::*;
pub use hosts::*;
pub use journal::*;
pub use kept::*;
pub use standing::*;

/// Makes a test of every behaviour. The argument is the path of an `async fn()` that returns something which
/// dereferences to an empty store and cleans up when it is dropped. The crate needs `tokio` with its macros.
#[macro_export]
macro_rules! store_contract {
    ($fresh:path) => {
        $crate::store_contract! { $fresh =>
            first_foundation_stays
            restore_returns_agents_with_leases_and_uptime
            registered_agent_is_found_by_number_and_name
            register_refuses_number_id_and_key_in_use
            refused_registration_leaves_nothing
            same_id_is_free_in_another_tenant_vendor_and_kind
            chosen_number_is_used_and_later_numbers_differ
            agent_without_id_has_its_number_as_id
            number_in_use_as_an_id_is_passed_over
            parent_of_another_tenant_is_missing
            observe_merges_facts_and_moves_the_time
            observe_of_an_unknown_agent_is_missing
            known_key_cannot_be_added_again
            token_is_kept_once_and_listed_latest_first
            only_the_tenant_revokes_its_token
            concurrent_enrolments_make_as_many_agents_as_uses
            enrolment_takes_the_tenant_of_the_token
            enrolment_is_refused_without_a_live_token
            failed_enrolment_counts_no_use
            lost_answer_is_repeated_without_a_use
            repeat_outlives_the_uses_but_not_a_revocation
            repeat_ends_with_its_window
            repeat_is_for_the_same_identity_and_token
            repeat_ends_when_the_agent_has_signed_in
            token_without_bounds_makes_agents_for_ever
            id_in_use_is_not_enrolled_again
            device_that_never_came_is_taken_over_after_the_window
            settling_ends_the_other_keys_of_that_agent_only
            settling_needs_a_known_key_of_an_agent
            offer_waits_until_it_is_used
            first_key_in_use_does_not_end_the_offer
            offer_of_a_wrong_number_or_known_key_changes_nothing
            later_lease_wins_and_again_is_the_same
            lease_of_an_unknown_agent_is_ignored
            uptime_does_not_go_back
            work_is_delivered_by_priority_then_age
            one_piece_is_delivered_again_until_its_end
            delivery_keeps_the_time_of_the_first
            overdue_work_expires_and_is_not_delivered
            work_is_for_an_agent_of_its_tenant
            work_id_is_unique_in_a_tenant
            outcome_is_taken_once
            outcome_of_undelivered_work_is_not_taken
            outcome_of_expired_work_is_not_taken
            outcome_by_another_agent_is_not_taken
            nobody_learns_of_another_tenants_work
            work_is_listed_latest_first_within_the_limit
            same_key_makes_one_piece_of_work
            work_is_not_delivered_before_its_time
            acknowledged_work_is_not_delivered_again
            execution_that_takes_too_long_is_followed_by_another
            failed_execution_is_followed_by_another_while_allowed
            late_outcome_of_an_earlier_execution_does_not_end_the_newer
            work_is_called_off_from_any_live_state
            of_outcome_and_cancellation_at_once_one_wins
            polls_at_once_deliver_one_execution
            sweep_moves_what_is_due_and_nothing_else
            downtime_puts_deadlines_off_once
            step_that_cannot_follow_changes_nothing
            secrets_are_forgotten_when_nobody_needs_them
            work_of_silent_agents_is_given_up
            findings_are_kept_once_and_found_by_what_they_are_of
            model_action_that_was_called_off_is_not_made_again_by_itself
            device_without_a_desired_model_gets_no_action
            other_model_makes_one_action
            reported_model_completes_its_action
            changed_wish_cancels_the_older_action
            silent_device_keeps_its_last_known_model
            overdue_model_action_is_made_anew
            model_of_another_tenant_is_missing
            model_id_is_unique_in_a_tenant
            latest_release_is_the_one_registered_last
            release_is_listed_and_removed_with_its_file
            model_that_is_held_goes_with_its_file_unless_it_is_wanted
            binary_is_replaced_by_the_next_of_its_name
            signing_key_is_kept_and_retired_once
            same_storage_key_is_the_same_image
            full_batch_is_followed_by_another
            old_batch_is_followed_by_another
            batches_are_per_device
            full_quota_takes_nothing_new
            concurrent_images_fill_batches_exactly
            image_of_an_unknown_device_is_missing
            host_report_makes_host_and_agents
            host_report_changes_what_it_says
            repeated_host_report_changes_nothing
            hosted_agent_without_number_is_found_by_its_key
            number_of_no_agent_of_the_tenant_is_unknown
            key_bound_to_a_host_is_good_for_that_host_only
            bound_key_cannot_take_an_agent_of_another_host
            tenant_key_moves_an_agent
            agents_beyond_the_room_of_a_host_are_left_out
            agents_beyond_the_room_of_a_tenant_are_left_out
            host_is_handed_its_commands_until_an_update_ends_them
            update_of_a_command_that_is_not_the_hosts_changes_nothing
            report_that_is_refused_leaves_commands_alone
            report_that_asks_for_no_commands_gets_none
            instructions_of_an_agent_come_before_its_tenants
            instructions_are_forgotten_one_by_one
            instructions_are_for_an_agent_of_their_tenant
            agent_that_is_made_or_changed_is_told
            first_known_version_is_no_change
            host_and_its_agents_are_told_when_they_are_made
            token_and_what_it_makes_are_told
            rotation_is_told_when_offered_and_when_taken
            work_is_told_at_each_turn_and_once
            models_are_told_when_wished_for_and_when_run
            batches_are_told_when_opened_and_when_closed
            change_that_fails_is_not_told
            online_and_offline_are_told_in_turn
            other_news_is_told_as_often_as_it_comes
            events_are_read_on_from_a_number
            latest_events_come_in_their_order
            events_of_an_agent_or_a_kind_are_read_alone
            nobody_reads_another_tenants_events
            old_events_are_forgotten_and_their_numbers_not_given_again
            agent_that_nobody_knows_is_made_by_its_word
            agent_that_is_known_becomes_what_it_says
            agents_that_say_the_same_at_once_are_one
            full_fleet_takes_no_newcomer_and_knows_its_agents
            newcomers_at_once_fill_a_fleet_exactly
            newcomer_that_cannot_be_made_takes_no_room
            same_word_is_another_agent_in_another_tenant_vendor_and_kind
            wish_for_what_waits_already_is_that
            wish_for_what_has_expired_is_a_new_one
            same_wish_at_once_is_one_piece_of_work
            no_more_is_asked_for_than_may_wait
            wish_is_for_an_agent_of_its_tenant
            work_that_is_taken_is_delivered_and_acknowledged
            work_is_taken_from_its_agent_until_the_agent_acknowledges
            takers_at_once_are_told_who_was_first
            work_cannot_be_taken_before_its_time_nor_after
            work_that_nobody_has_taken_cannot_be_reported_on
            execution_that_fails_is_taken_again
            work_is_listed_by_vendor_state_and_page
            standing_changes_once_and_is_told
            departure_ends_keys_and_calls_work_off
            agent_leaves_by_an_uninstall_that_went_well
            replaced_keys_have_ended_and_are_told
            agent_that_has_left_is_given_no_key
            last_slot_closes_its_batch
            old_batches_are_closed_without_an_image_and_once
            batch_is_closed_by_hand_once
            project_of_a_device_has_batches_of_its_own
            batches_and_images_are_listed_latest_first_page_by_page
            last_slots_are_taken_exactly_by_many_at_once
            report_takes_its_place_in_the_history
            unused_key_is_told_once_for_each_offer
        }
    };
    ($fresh:path => $($behaviour:ident)*) => {
        $(
            #[tokio::test]
            async fn $behaviour() {
                let store = $fresh().await;
                $crate::store::contract::$behaviour(&*store).await;
            }
        )*
    };
}

const OTHER_TENANT: No = 2;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(1_700_000_000 + seconds)
}

fn facts(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(facts) => facts,
        other => panic!("{other} is no object"),
    }
}

fn device(id: &str) -> NewAgent {
    NewAgent {
        tenant: DEFAULT_TENANT,
        vendor: Vendor::Acusight,
        kind: Kind::Agent,
        no: None,
        id: Some(id.to_owned()),
        parent: None,
        name: format!("name of {id}"),
        version: Some("1.0".to_owned()),
        facts: facts(json!({"os": "linux", "cores": 4})),
        labels: BTreeMap::from([("site".to_owned(), "north".to_owned())]),
        key: None,
        at: at(0),
    }
}

async fn registered<S: Store>(store: &S, id: &str) -> Agent {
    store.register(device(id)).await.expect("the id is free")
}

async fn stored<S: Store>(store: &S, no: No) -> Agent {
    store.agent(no).await.expect("the store reads").expect("the agent is there")
}

async fn key<S: Store>(store: &S, secret: &str) -> Option<Credential> {
    store.credential(Digest::of(secret)).await.expect("the store reads")
}

fn bound(agent: &Agent) -> Credential {
    Credential { tenant: agent.tenant, vendor: agent.vendor, agent: Some(agent.no), candidate: false }
}

fn is_taken<T>(outcome: &Outcome<T>) -> bool {
    matches!(outcome, Err(StoreError::Taken(_)))
}

fn is_missing<T>(outcome: &Outcome<T>) -> bool {
    matches!(outcome, Err(StoreError::Missing(_)))
}

/// Awaits all of them at once.
async fn together<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    let mut all = pin!(poll_fn(move |context| {
        let mut pending = false;
        for (future, output) in &mut waiting {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    Poll::Ready(ready) => *output = Some(ready),
                    Poll::Pending => pending = true,
                }
            }
        }
        if pending {
            return Poll::Pending;
        }
        Poll::Ready(waiting.iter_mut().filter_map(|(_, output)| output.take()).collect())
    }));
    all.as_mut().await
}

// Founding

fn foundation(seed: u8) -> Foundation {
    Foundation { rotation: [seed; 32], signing: [seed + 1; 32], operator: Digest([seed + 2; 32]) }
}

pub async fn first_foundation_stays<S: Store>(store: &S) {
    let first = store.found(foundation(1)).await.expect("a first start");
    assert!(first == (foundation(1), true));
    let second = store.found(foundation(9)).await.expect("a second start");
    assert!(second == (foundation(1), false));
}

/// All that a start finds.
#[derive(Debug, Clone, PartialEq, Default)]
struct Whole {
    agents: Vec<(Agent, Option<LeaseRow>)>,
    online: BTreeSet<No>,
    working: BTreeSet<No>,
    up_until: Option<DateTime<Utc>>,
    offers: Vec<Offer>,
}

async fn whole<S: Store>(store: &S) -> Whole {
    let Restored { numbers, up_until, offers } = store.restore().await.expect("restored");
    let mut whole = Whole { up_until, offers, ..Whole::default() };
    let Some(Numbers { count, lowest, middle, highest }) = numbers else { return whole };
    // In two parts, which belong together.
    let mut parts = Vec::new();
    for part in [lowest..=middle, middle.saturating_add(1)..=highest] {
        let before = whole.agents.len();
        let (give, taken) = channel();
        let take = Box::new(move |restored| give.send(restored).expect("somebody takes it"));
        store.restore_agents(part.clone(), take).await.expect("restored");
        for RestoredAgent { agent, lease, online, works } in taken {
            assert!(part.contains(&agent.no));
            whole.online.extend(online.then_some(agent.no));
            whole.working.extend(works.then_some(agent.no));
            whole.agents.push((agent, lease));
        }
        parts.push(whole.agents.len() - before);
    }
    assert!(whole.agents.is_sorted_by_key(|(agent, _)| agent.no));
    let ends = [whole.agents.first(), whole.agents.last()].map(|end| end.map(|(agent, _)| agent.no));
    assert_eq!(ends, [Some(lowest), Some(highest)]);
    assert_eq!(parts, [count.div_ceil(2), count / 2]);
    whole
}

pub async fn restore_returns_agents_with_leases_and_uptime<S: Store>(store: &S) {
    assert_eq!(whole(store).await, Whole::default());
    let seen = registered(store, "seen").await;
    let silent = registered(store, "silent").await;
    let lease =
        LeaseRow { agent: seen.no, last_seen: at(5), report: Some(report("idle").into()), place: None };
    store.flush(vec![lease.clone()], Vec::new(), at(7)).await.expect("flushed");

    let restored = whole(store).await;
    assert_eq!(restored.agents, [(seen, Some(lease)), (silent, None)]);
    assert_eq!(restored.up_until, Some(at(7)));
}

// Agents

pub async fn registered_agent_is_found_by_number_and_name<S: Store>(store: &S) {
    let made = registered(store, "d-1").await;
    assert_eq!(made, device("d-1").into_agent(made.no));
    assert_eq!(stored(store, made.no).await, made);
    let named = store.agent_named(DEFAULT_TENANT, Vendor::Acusight, Kind::Agent, "d-1".to_owned()).await;
    assert_eq!(named.expect("the store reads"), Some(made));
    let unknown = store.agent_named(DEFAULT_TENANT, Vendor::Acusight, Kind::Agent, "D-1".to_owned()).await;
    assert_eq!(unknown.expect("the store reads"), None);
}

pub async fn register_refuses_number_id_and_key_in_use<S: Store>(store: &S) {
    let digest = Digest::of("key");
    store.register(NewAgent { no: Some(7), key: Some(digest), ..device("d-1") }).await.expect("all is free");
    let same_number = store.register(NewAgent { no: Some(7), ..device("d-2") }).await;
    let same_id = store.register(device("d-1")).await;
    let same_key = store.register(NewAgent { key: Some(digest), ..device("d-3") }).await;
    for refused in [same_number, same_id, same_key] {
        assert!(is_taken(&refused), "{refused:?}");
    }
}

pub async fn refused_registration_leaves_nothing<S: Store>(store: &S) {
    registered(store, "d-1").await;
    let first = store.register(NewAgent { key: Some(Digest::of("key")), ..device("d-2") }).await;
    let first = first.expect("all is free");
    let refused = store.register(NewAgent { key: Some(Digest::of("key")), ..device("d-3") }).await;
    assert!(is_taken(&refused));
    let refused = store.register(NewAgent { key: Some(Digest::of("fresh")), ..device("d-1") }).await;
    assert!(is_taken(&refused));

    assert_eq!(key(store, "fresh").await, None);
    assert_eq!(key(store, "key").await, Some(bound(&first)));
    assert_eq!(whole(store).await.agents.len(), 2);
    registered(store, "d-3").await;
}

pub async fn same_id_is_free_in_another_tenant_vendor_and_kind<S: Store>(store: &S) {
    let mut numbers = BTreeSet::from([registered(store, "same").await.no]);
    for other in [
        NewAgent { tenant: OTHER_TENANT, ..device("same") },
        NewAgent { vendor: Vendor::ZStack, ..device("same") },
        NewAgent { kind: Kind::Host, ..device("same") },
    ] {
        let made = store.register(other.clone()).await.expect("the id is free there");
        numbers.insert(made.no);
        let found = store.agent_named(other.tenant, other.vendor, other.kind, "same".to_owned()).await;
        assert_eq!(found.expect("the store reads"), Some(made));
    }
    assert_eq!(numbers.len(), 4);
}

pub async fn chosen_number_is_used_and_later_numbers_differ<S: Store>(store: &S) {
    let chosen = store.register(NewAgent { no: Some(41), ..device("chosen") }).await.expect("free");
    assert_eq!(chosen.no, 41);
    let below = store.register(NewAgent { no: Some(2), ..device("below") }).await.expect("free");
    let huge = store.register(NewAgent { no: Some(No::MAX), ..device("huge") }).await.expect("free");
    let mut numbers = BTreeSet::from([chosen.no, below.no, huge.no]);
    for id in ["a", "b", "c"] {
        let made = registered(store, id).await;
        assert!(made.no > 0 && numbers.insert(made.no), "{numbers:?} {}", made.no);
    }
    let restored: BTreeSet<_> = whole(store).await.agents.iter().map(|(agent, _)| agent.no).collect();
    assert_eq!(restored, numbers);
}

pub async fn agent_without_id_has_its_number_as_id<S: Store>(store: &S) {
    let unnamed = NewAgent { id: None, vendor: Vendor::AgentMc, ..device("") };
    let made = store.register(unnamed.clone()).await.expect("free");
    assert_eq!(made.id, made.no.to_string());
    let chosen = store.register(NewAgent { no: Some(97), ..unnamed }).await.expect("free");
    assert_eq!(chosen.id, "97");
}

pub async fn number_in_use_as_an_id_is_passed_over<S: Store>(store: &S) {
    let first = registered(store, "first").await;
    registered(store, &(first.no + 2).to_string()).await;
    let made = store.register(NewAgent { id: None, ..device("") }).await.expect("another number is free");
    assert_eq!(made.id, made.no.to_string());
}

pub async fn parent_of_another_tenant_is_missing<S: Store>(store: &S) {
    let theirs = store.register(NewAgent { tenant: OTHER_TENANT, ..device("host") }).await.expect("free");
    let refused = store.register(NewAgent { parent: Some(theirs.no), ..device("d-1") }).await;
    assert!(is_missing(&refused));
    let ours = registered(store, "d-1").await;
    for parent in [theirs.no, 9999] {
        let seen = Observation { parent: Some(parent), ..Observation::default() };
        assert!(is_missing(&store.observe(ours.no, seen, at(1)).await));
    }
    assert_eq!(stored(store, ours.no).await, ours);
}

pub async fn observe_merges_facts_and_moves_the_time<S: Store>(store: &S) {
    let before = registered(store, "d-1").await;
    let host = registered(store, "host").await;
    let seen = Observation {
        name: None,
        version: Some("2.0".to_owned()),
        facts: facts(json!({"cores": 8, "ip": "10.0.0.1"})),
        parent: Some(host.no),
    };
    let after = store.observe(before.no, seen, at(9)).await.expect("observed");
    assert_eq!(after.facts, facts(json!({"os": "linux", "cores": 8, "ip": "10.0.0.1"})));
    assert_eq!((after.version.as_deref(), after.parent), (Some("2.0"), Some(host.no)));
    assert_eq!((after.name.as_str(), after.updated_at, after.created_at), ("name of d-1", at(9), at(0)));
    assert_eq!(stored(store, before.no).await, after);
}

pub async fn observe_of_an_unknown_agent_is_missing<S: Store>(store: &S) {
    assert!(is_missing(&store.observe(404, Observation::default(), at(0)).await));
    assert_eq!(store.agent(404).await.expect("the store reads"), None);
}

// Keys, tokens, enrolment

pub async fn known_key_cannot_be_added_again<S: Store>(store: &S) {
    let agent = registered(store, "d-1").await;
    let of_tenant = Credential { agent: None, ..bound(&agent) };
    store.add_key(Digest::of("key"), of_tenant).await.expect("a fresh key");
    assert!(is_taken(&store.add_key(Digest::of("key"), bound(&agent)).await));
    assert_eq!(key(store, "key").await, Some(of_tenant));
    let of_nobody = Credential { agent: Some(404), ..bound(&agent) };
    assert!(is_missing(&store.add_key(Digest::of("other"), of_nobody).await));
    assert_eq!(key(store, "other").await, None);
}

fn token(id: &str, max_uses: u32) -> NewToken {
    NewToken {
        id: id.to_owned(),
        digest: Digest::of(id),
        tenant: DEFAULT_TENANT,
        vendor: Vendor::Achilles,
        expires_at: Some(at(3600)),
        max_uses: Some(max_uses),
        at: at(0),
    }
}

async fn issued<S: Store>(store: &S, id: &str, max_uses: u32) {
    store.issue_token(token(id, max_uses)).await.expect("the token is fresh");
}

/// An enrolment by a newcomer whose key is `key`, `seconds` after the start.
fn newcomer(token: &str, identity: &str, key: &str, seconds: i64) -> Enrolment {
    Enrolment {
        token: Digest::of(token),
        identity: identity.to_owned(),
        repeat_within: Duration::from_secs(600),
        agent: NewAgent {
            vendor: Vendor::Achilles,
            id: Some(format!("agent of {key}")),
            key: Some(Digest::of(key)),
            at: at(seconds),
            ..device("")
        },
    }
}

async fn enrolled<S: Store>(store: &S, enrolment: Enrolment) -> Enrolled {
    store.enroll(enrolment).await.expect("the store answers")
}

async fn newly_enrolled<S: Store>(store: &S, enrolment: Enrolment) -> Agent {
    match enrolled(store, enrolment).await {
        Enrolled::New(agent) => agent,
        other => panic!("not a new agent: {other:?}"),
    }
}

async fn uses<S: Store>(store: &S, id: &str) -> u32 {
    let tokens = store.tokens(DEFAULT_TENANT).await.expect("listed");
    tokens.into_iter().find(|token| token.id == id).expect("the token is listed").uses
}

pub async fn token_is_kept_once_and_listed_latest_first<S: Store>(store: &S) {
    let first = store.issue_token(token("first", 3)).await.expect("fresh");
    assert_eq!(first, token("first", 3).into_token());
    issued(store, "second", 1).await;
    assert!(is_taken(&store.issue_token(NewToken { digest: Digest::of("x"), ..token("first", 1) }).await));
    assert!(is_taken(&store.issue_token(NewToken { id: "x".to_owned(), ..token("first", 1) }).await));
    let theirs = NewToken { tenant: OTHER_TENANT, digest: Digest::of("theirs"), ..token("first", 1) };
    store.issue_token(theirs).await.expect("the id is free in another tenant");

    let listed = store.tokens(DEFAULT_TENANT).await.expect("listed");
    assert_eq!(listed.iter().map(|token| token.id.as_str()).collect::<Vec<_>>(), ["second", "first"]);
    assert_eq!(listed.last(), Some(&first));
}

pub async fn only_the_tenant_revokes_its_token<S: Store>(store: &S) {
    issued(store, "t", 1).await;
    assert!(!store.revoke_token(OTHER_TENANT, "t".to_owned(), at(50)).await.expect("answered"));
    assert!(!store.tokens(DEFAULT_TENANT).await.expect("listed")[0].revoked);
    assert!(!store.revoke_token(DEFAULT_TENANT, "u".to_owned(), at(50)).await.expect("answered"));
    assert!(store.revoke_token(DEFAULT_TENANT, "t".to_owned(), at(50)).await.expect("answered"));
    assert!(store.tokens(DEFAULT_TENANT).await.expect("listed")[0].revoked);
}

pub async fn concurrent_enrolments_make_as_many_agents_as_uses<S: Store>(store: &S) {
    issued(store, "t", 5).await;
    let attempts = (0..32).map(|n| store.enroll(newcomer("t", &format!("host {n}"), &format!("key {n}"), 1)));
    let mut agents = 0;
    for outcome in together(attempts).await {
        match outcome.expect("the store answers") {
            Enrolled::New(_) => agents += 1,
            Enrolled::UsedUp(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((agents, uses(store, "t").await), (5, 5));
    assert_eq!(whole(store).await.agents.len(), 5);
}

pub async fn enrolment_takes_the_tenant_of_the_token<S: Store>(store: &S) {
    store.issue_token(NewToken { tenant: OTHER_TENANT, ..token("t", 1) }).await.expect("fresh");
    let agent = newly_enrolled(store, newcomer("t", "host", "key", 1)).await;
    assert_eq!(agent.tenant, OTHER_TENANT);
    assert_eq!(key(store, "key").await, Some(bound(&agent)));
}

pub async fn enrolment_is_refused_without_a_live_token<S: Store>(store: &S) {
    issued(store, "revoked", 1).await;
    assert!(store.revoke_token(DEFAULT_TENANT, "revoked".to_owned(), at(50)).await.expect("answered"));
    issued(store, "used up", 1).await;
    newly_enrolled(store, newcomer("used up", "first", "first", 1)).await;
    issued(store, "live", 1).await;
    let mut other_vendor = newcomer("live", "host", "key", 1);
    other_vendor.agent.vendor = Vendor::Acusight;

    for (attempt, outcome) in [
        (newcomer("unknown", "host", "key", 2), Enrolled::Refused),
        (newcomer("revoked", "host", "key", 2), Enrolled::Refused),
        (newcomer("revoked", "host", "key", 3600), Enrolled::Refused),
        (newcomer("used up", "host", "key", 2), Enrolled::UsedUp(at(1))),
        (newcomer("used up", "host", "key", 3600), Enrolled::Expired),
        (newcomer("live", "host", "key", 3600), Enrolled::Expired),
        (other_vendor, Enrolled::Refused),
    ] {
        assert_eq!(enrolled(store, attempt).await, outcome);
    }
    assert_eq!(key(store, "key").await, None);
    assert_eq!(uses(store, "live").await, 0);
}

pub async fn failed_enrolment_counts_no_use<S: Store>(store: &S) {
    issued(store, "t", 2).await;
    newly_enrolled(store, newcomer("t", "first", "key", 1)).await;
    let mut same_key = newcomer("t", "second", "key", 1);
    same_key.agent.id = Some("another".to_owned());
    assert!(is_taken(&store.enroll(same_key).await));
    assert_eq!(uses(store, "t").await, 1);
}

pub async fn token_without_bounds_makes_agents_for_ever<S: Store>(store: &S) {
    let issued = NewToken { expires_at: None, max_uses: None, ..token("t", 1) };
    let issued = store.issue_token(issued).await.expect("fresh");
    assert_eq!((issued.expires_at, issued.max_uses, issued.last_used_at), (None, None, None));
    for n in 0..3 {
        newly_enrolled(store, newcomer("t", &format!("host {n}"), &format!("{n}"), 4_000_000_000 + n)).await;
    }
    let listed = store.tokens(DEFAULT_TENANT).await.expect("listed");
    assert_eq!((listed[0].expires_at, listed[0].max_uses, listed[0].uses), (None, None, 3));
    assert_eq!(listed[0].last_used_at, Some(at(4_000_000_002)));
}

/// An enrolment of a device that says its id, with the key `key`, `seconds` after the start.
fn device_with(token: &str, id: &str, key: &str, seconds: i64) -> Enrolment {
    let mut enrolment = newcomer(token, id, key, seconds);
    enrolment.agent.id = Some(id.to_owned());
    enrolment
}

pub async fn id_in_use_is_not_enrolled_again<S: Store>(store: &S) {
    issued(store, "t", 9).await;
    issued(store, "u", 9).await;
    store.register(NewAgent { vendor: Vendor::Achilles, ..device("registered") }).await.expect("free");
    newly_enrolled(store, device_with("t", "signed in", "1", 0)).await;
    store.settle_key(Digest::of("1"), at(1)).await.expect("signed in");
    newly_enrolled(store, device_with("t", "fresh", "2", 0)).await;
    for (token, id, seconds) in [
        ("t", "registered", 2),
        ("t", "registered", 700),
        ("t", "signed in", 2),
        ("t", "signed in", 700),
        ("u", "signed in", 700),
        // Within the window it is the same token that repeats.
        ("u", "fresh", 2),
    ] {
        let outcome = enrolled(store, device_with(token, id, "x", seconds)).await;
        assert_eq!(outcome, Enrolled::Exists, "{token}, {id}, {seconds}");
    }
    assert_eq!((uses(store, "t").await, uses(store, "u").await), (2, 0));
    assert_eq!(key(store, "x").await, None);
    // The id is free in another tenant, and who has no good token is not told of it.
    store.issue_token(NewToken { tenant: OTHER_TENANT, ..token("theirs", 1) }).await.expect("fresh");
    newly_enrolled(store, device_with("theirs", "signed in", "3", 2)).await;
    assert_eq!(enrolled(store, device_with("t", "signed in", "x", 3600)).await, Enrolled::Expired);
    assert_eq!(enrolled(store, device_with("unknown", "signed in", "x", 2)).await, Enrolled::Refused);
}

pub async fn device_that_never_came_is_taken_over_after_the_window<S: Store>(store: &S) {
    issued(store, "t", 9).await;
    issued(store, "u", 1).await;
    let lost = newly_enrolled(store, device_with("t", "d", "1", 0)).await;
    let found = newly_enrolled(store, device_with("u", "d", "2", 601)).await;
    assert_eq!((found.no, uses(store, "t").await, uses(store, "u").await), (lost.no, 1, 1));
    assert_eq!(key(store, "1").await, Some(bound(&lost)), "it may yet come with the first");
    assert_eq!(key(store, "2").await, Some(bound(&lost)));
    // The window is that of the latest, with its token.
    assert_eq!(enrolled(store, device_with("t", "d", "3", 1000)).await, Enrolled::Exists);
    assert_eq!(enrolled(store, device_with("u", "d", "4", 1000)).await, Enrolled::Again(found));
}

pub async fn lost_answer_is_repeated_without_a_use<S: Store>(store: &S) {
    issued(store, "t", 2).await;
    let agent = newly_enrolled(store, newcomer("t", "host", "lost", 1)).await;
    let again = enrolled(store, newcomer("t", "host", "fresh", 601)).await;
    assert_eq!(again, Enrolled::Again(agent.clone()));
    assert_eq!(uses(store, "t").await, 1);
    assert_eq!(key(store, "lost").await, Some(bound(&agent)));
    assert_eq!(key(store, "fresh").await, Some(bound(&agent)));
}

pub async fn repeat_outlives_the_uses_but_not_a_revocation<S: Store>(store: &S) {
    issued(store, "t", 1).await;
    let agent = newly_enrolled(store, newcomer("t", "host", "1", 3500)).await;
    assert_eq!(enrolled(store, newcomer("t", "host", "2", 3501)).await, Enrolled::Again(agent.clone()));
    assert_eq!(enrolled(store, newcomer("t", "host", "3", 3700)).await, Enrolled::Again(agent));
    assert!(store.revoke_token(DEFAULT_TENANT, "t".to_owned(), at(50)).await.expect("answered"));
    assert_eq!(enrolled(store, newcomer("t", "host", "4", 3701)).await, Enrolled::Refused);
    assert_eq!(key(store, "4").await, None);
}

pub async fn repeat_ends_with_its_window<S: Store>(store: &S) {
    issued(store, "t", 2).await;
    let first = newly_enrolled(store, newcomer("t", "host", "1", 0)).await;
    let second = newly_enrolled(store, newcomer("t", "host", "2", 601)).await;
    assert_ne!(first.no, second.no);
    assert_eq!(uses(store, "t").await, 2);
    // The latest is the one to be repeated, and its window is its own.
    assert_eq!(enrolled(store, newcomer("t", "host", "3", 1200)).await, Enrolled::Again(second));
}

pub async fn repeat_is_for_the_same_identity_and_token<S: Store>(store: &S) {
    issued(store, "t", 2).await;
    issued(store, "u", 1).await;
    let first = newly_enrolled(store, newcomer("t", "host", "1", 0)).await;
    let second = newly_enrolled(store, newcomer("t", "other", "2", 0)).await;
    let third = newly_enrolled(store, newcomer("u", "host", "3", 0)).await;
    assert_eq!(BTreeSet::from([first.no, second.no, third.no]).len(), 3);
}

pub async fn repeat_ends_when_the_agent_has_signed_in<S: Store>(store: &S) {
    issued(store, "t", 1).await;
    newly_enrolled(store, newcomer("t", "host", "1", 0)).await;
    store.settle_key(Digest::of("1"), at(1)).await.expect("signed in");
    assert_eq!(enrolled(store, newcomer("t", "host", "2", 2)).await, Enrolled::UsedUp(at(0)));
    assert_eq!(key(store, "2").await, None);
}

pub async fn settling_ends_the_other_keys_of_that_agent_only<S: Store>(store: &S) {
    let agent = registered(store, "d-1").await;
    let other = registered(store, "d-2").await;
    let of_tenant = Credential { agent: None, ..bound(&agent) };
    for (secret, credential) in
        [("used", bound(&agent)), ("unused", bound(&agent)), ("other", bound(&other)), ("tenant", of_tenant)]
    {
        store.add_key(Digest::of(secret), credential).await.expect("a fresh key");
    }
    let settled = store.settle_key(Digest::of("used"), at(3)).await.expect("signed in");
    assert!(settled.activated && !agent.activated);
    assert_eq!(stored(store, agent.no).await, settled);
    assert_eq!(key(store, "used").await, Some(bound(&agent)));
    assert_eq!(key(store, "unused").await, None);
    assert_eq!(key(store, "other").await, Some(bound(&other)));
    assert_eq!(key(store, "tenant").await, Some(of_tenant));
    assert!(!stored(store, other.no).await.activated);
}

pub async fn settling_needs_a_known_key_of_an_agent<S: Store>(store: &S) {
    assert!(matches!(store.settle_key(Digest::of("no key"), at(0)).await, Err(StoreError::Missing("key"))));
    let agent = registered(store, "d-1").await;
    store.add_key(Digest::of("own"), bound(&agent)).await.expect("a fresh key");
    let of_tenant = Credential { agent: None, ..bound(&agent) };
    store.add_key(Digest::of("tenant"), of_tenant).await.expect("a fresh key");
    assert!(is_missing(&store.settle_key(Digest::of("tenant"), at(0)).await));
    assert_eq!(key(store, "own").await, Some(bound(&agent)));
}

pub async fn offer_waits_until_it_is_used<S: Store>(store: &S) {
    let agent =
        store.register(NewAgent { key: Some(Digest::of("old")), ..device("d-1") }).await.expect("free");
    store.settle_key(Digest::of("old"), at(1)).await.expect("signed in");
    let offered = store.offer_key(agent.no, 1, Digest::of("new"), at(50)).await.expect("offered");
    assert!(offered.rotating && offered.rotation == 1);
    // A second wish for a rotation finds the first one's key waiting.
    let again = store.offer_key(agent.no, 2, Digest::of("newer"), at(50)).await.expect("answered");
    assert_eq!((&again, key(store, "newer").await), (&offered, None));
    assert_eq!(key(store, "old").await, Some(bound(&agent)));
    assert_eq!(key(store, "new").await, Some(Credential { candidate: true, ..bound(&agent) }));

    let settled = store.settle_key(Digest::of("new"), at(2)).await.expect("signed in");
    assert!(!settled.rotating && settled.rotation == 1 && settled.activated);
    assert_eq!(key(store, "old").await, None);
    assert_eq!(key(store, "new").await, Some(bound(&agent)));
    let next = store.offer_key(agent.no, 2, Digest::of("newer"), at(50)).await.expect("offered");
    assert!(next.rotating && next.rotation == 2);
}

pub async fn first_key_in_use_does_not_end_the_offer<S: Store>(store: &S) {
    let agent =
        store.register(NewAgent { key: Some(Digest::of("old")), ..device("d-1") }).await.expect("free");
    store.add_key(Digest::of("unused"), bound(&agent)).await.expect("a fresh key");
    store.offer_key(agent.no, 1, Digest::of("new"), at(50)).await.expect("offered");
    // It may have been told of the new key in the answer to this very sign-in.
    let settled = store.settle_key(Digest::of("old"), at(1)).await.expect("signed in");
    assert!(settled.rotating && settled.activated);
    assert_eq!(key(store, "unused").await, None);
    assert_eq!(key(store, "new").await, Some(Credential { candidate: true, ..bound(&agent) }));
}

pub async fn offer_of_a_wrong_number_or_known_key_changes_nothing<S: Store>(store: &S) {
    let agent =
        store.register(NewAgent { key: Some(Digest::of("old")), ..device("d-1") }).await.expect("free");
    for wrong in [0, 2] {
        assert_eq!(
            store.offer_key(agent.no, wrong, Digest::of("new"), at(50)).await.expect("answered"),
            agent
        );
        assert_eq!(key(store, "new").await, None);
    }
    assert!(is_taken(&store.offer_key(agent.no, 1, Digest::of("old"), at(50)).await));
    assert_eq!(stored(store, agent.no).await, agent);
    assert!(is_missing(&store.offer_key(404, 1, Digest::of("new"), at(50)).await));
}

// Leases

fn report(status: &str) -> Report {
    Report {
        status: Some(status.to_owned()),
        metrics: BTreeMap::from([("cpu_percent".to_owned(), 12.5), ("uptime".to_owned(), 86400.0)]),
        notes: BTreeMap::from([("camera".to_owned(), "\"front\"\n0".to_owned())]),
    }
}

async fn leases<S: Store>(store: &S) -> Vec<LeaseRow> {
    whole(store).await.agents.into_iter().filter_map(|(_, lease)| lease).collect()
}

pub async fn later_lease_wins_and_again_is_the_same<S: Store>(store: &S) {
    let agent = registered(store, "d-1").await.no;
    let later = LeaseRow { agent, last_seen: at(9), report: Some(report("later").into()), place: None };
    let earlier = LeaseRow { agent, last_seen: at(8), report: Some(report("earlier").into()), place: None };
    store.flush(vec![earlier.clone()], Vec::new(), at(10)).await.expect("flushed");
    assert_eq!(leases(store).await, std::slice::from_ref(&earlier));
    for rows in [[later.clone()], [earlier], [later.clone()]] {
        store.flush(rows.into(), Vec::new(), at(10)).await.expect("flushed");
        assert_eq!(leases(store).await, std::slice::from_ref(&later));
    }
    // Two check-ins within one tick of the clock: the flush that comes later has the later one.
    let as_late = LeaseRow { report: Some(report("as late").into()), ..later };
    store.flush(vec![as_late.clone()], Vec::new(), at(10)).await.expect("flushed");
    assert_eq!(leases(store).await, [as_late]);
    let silent = LeaseRow { agent, last_seen: at(11), report: None, place: None };
    store.flush(vec![silent.clone()], Vec::new(), at(12)).await.expect("flushed");
    assert_eq!(leases(store).await, [silent]);
}

pub async fn lease_of_an_unknown_agent_is_ignored<S: Store>(store: &S) {
    let agent = registered(store, "d-1").await.no;
    let known = LeaseRow { agent, last_seen: at(1), report: None, place: None };
    let unknown = LeaseRow { agent: 404, ..known.clone() };
    store.flush(vec![unknown, known.clone()], Vec::new(), at(2)).await.expect("flushed");
    assert_eq!(leases(store).await, [known]);
}

pub async fn uptime_does_not_go_back<S: Store>(store: &S) {
    store.flush(Vec::new(), Vec::new(), at(9)).await.expect("flushed");
    store.flush(Vec::new(), Vec::new(), at(8)).await.expect("flushed");
    assert_eq!(whole(store).await.up_until, Some(at(9)));
}

// Work

fn latest(limit: u32) -> WorkFilter {
    WorkFilter { limit, ..WorkFilter::default() }
}

fn work(agent: &Agent, id: &str) -> NewWork {
    NewWork {
        id: id.to_owned(),
        tenant: agent.tenant,
        agent: agent.no,
        key: None,
        kind: "run".to_owned(),
        payload: facts(json!({"command": "true", "args": [1, null, {"deep": "é"}]})),
        priority: 0,
        not_before: None,
        ttl: Duration::from_secs(60),
        timeout: None,
        max_retries: 0,
        at: at(0),
    }
}

async fn queued<S: Store>(store: &S, work: NewWork) -> Work {
    match store.queue(work).await.expect("the id is free") {
        Queued::Now(work) => work,
        other => panic!("not made: {other:?}"),
    }
}

async fn delivered<S: Store>(store: &S, agent: &Agent, delivery: Delivery, seconds: i64) -> Vec<String> {
    let handed_over = store.deliver(agent.no, delivery, at(seconds)).await.expect("delivered");
    handed_over.work.into_iter().map(|work| work.id).collect()
}

fn said(agent: &Agent, id: &str, event: WorkEvent) -> WorkReport {
    WorkReport {
        work: id.to_owned(),
        execution: None,
        tenant: agent.tenant,
        agent: agent.no,
        event,
        step: None,
        result: None,
        findings: Vec::new(),
        at: at(50),
    }
}

fn done(agent: &Agent, id: &str) -> WorkReport {
    WorkReport { result: Some(json!({"exit_code": 0})), ..said(agent, id, WorkEvent::Succeed) }
}

async fn heard<S: Store>(store: &S, report: WorkReport) -> Reported {
    store.report_work(report).await.expect("the store answers")
}

async fn listed<S: Store>(store: &S, agent: &Agent) -> Vec<Work> {
    store.work(agent.tenant, WorkFilter { agent: Some(agent.no), ..latest(1000) }).await.expect("listed")
}

pub async fn work_is_delivered_by_priority_then_age<S: Store>(store: &S) {
    let agent = registered(store, "d-1").await;
    let other = registered(store, "d-2").await;
    queued(store, NewWork { at: at(2), ..work(&agent, "younger") }).await;
    queued(store, NewWork { at: at(1), ..work(&agent, "older") }).await;
    queued(store, NewWork { at: at(1), ..work(&agent, "as old") }).await;
    queued(store, NewWork { priority: 5, at: at(3), ..work(&agent, "urgent") }).await;
    queued(store, NewWork { priority: -5, ..work(&agent, "idle") }).await;
    queued(store, NewWork { priority: 9, ..work(&other, "other's") }).await;

    assert_eq!(delivered(store, &agent, Delivery::One, 4).await, ["urgent"]);
    let all = delivered(store, &agent, Delivery::All, 4).await;
    assert_eq!(all, ["urgent", "older", "as old", "younger", "idle"]);
    assert!(listed(store, &other).await.iter().all(|work| work.state == WorkState::Queued));
    assert!(store.deliver(404, Delivery::All, at(4)).await.expect("delivered") == HandedOver::default());
}

pub async fn one_piece_is_delivered_again_until_its_end<S: Store>(store: &S) {
    let agent = registered(store, "d-1").await;
    queued(store, work(&agent, "first")).await;
    queued(store, work(&agent, "second")).await;
    for _ in 0..2 {
        assert_eq!(delivered(store, &agent, Delivery::One, 1).await, ["first"]);
    }
    let states: Vec<_> = listed(store, &agent).await.into_iter().map(|work| work.state).collect();
    assert_eq!(states, [WorkState::Queued, WorkState::Delivered]);
    heard(store, done(&agent, "first")).await;
    assert_eq!(delivered(store, &agent, Delivery::One, 1).await, ["second"]);
    heard(store, done(&agent, "second")).await;
    assert!(delivered(store, &agent, Delivery::All, 1).await.is_empty());
}

pub async fn delivery_keeps_the_time_of_the_first<S: Store>(store: &S) {
    let agent = registered(store, "d-1").await;
    let made = queued(store, work(&agent, "w")).await;
    assert_eq!(made, work(&agent, "w").into_work(made.no));
    let first = store.deliver(agent.no, Delivery::All, at(5)).await.expect("delivered").work;
    let expected = Work {
        state: WorkState::Delivered,
        delivered_at: Some(at(5)),
        updated_at: at(5),
        ..work(&agent, "w").into_work(made.no)
    };
    assert_eq!(first, std::slice::from_ref(&expected));
    let again = store.deliver(agent.no, Delivery::All, at(6)).await.expect("delivered").work;
    assert_eq!(again, first);
    assert_eq!(listed(store, &agent).await, [expected]);
}

pub async fn overdue_work_expires_and_is_not_delivered<S: Store>(store: &S) {
    let agent = registered(store, "d-1").await;
    queued(store, NewWork { priority: 1, ..work(&agent, "short") }).await;
    queued(store, NewWork { ttl: Duration::from_secs(3600), ..work(&agent, "long") }).await;
    assert_eq!(delivered(store, &agent, Delivery::One, 60).await, ["short"]);
    assert_eq!(delivered(store, &agent, Delivery::One, 61).await, ["long"]);
    let expired = listed(store, &agent).await.pop().expect("listed");
    assert_eq!((expired.id.as_str(), expired.state), ("short", WorkState::Expired));
    assert_eq!((expired.completed_at, expired.result), (Some(at(61)), None));
}

pub async fn work_is_for_an_agent_of_its_tenant<S: Store>(store: &S) {
    let agent = registered(store, "d-1").await;
    assert!(is_missing(&store.queue(NewWork { agent: 404, ..work(&agent, "w") }).await));
    assert!(is_missing(&store.queue(NewWork { tenant: OTHER_TENANT, ..work(&agent, "w") }).await));
    assert!(delivered(store, &agent, Delivery::All, 1).await.is_empty());
}

pub async fn work_id_is_unique_in_a_tenant<S: Store>(store: &S) {
    let agent = registered(store, "d-1").await;
    let theirs = store.register(NewAgent { tenant: OTHER_TENANT, ..device("d-1") }).await.expect("free");
    queued(store, work(&agent, "w")).await;
    assert!(is_taken(&store.queue(work(&agent, "w")).await));
    queued(store, work(&theirs, "w")).await;
    assert_eq!(listed(store, &agent).await.len(), 1);
}

pub async fn outcome_is_taken_once<S: Store>(store: &S) {
    let agent = registered(store, "d-1").await;
    queued(store, work(&agent, "w")).await;
    let handed_over = store.deliver(agent.no, Delivery::One, at(5)).await.expect("delivered").work.remove(0);
    let taken = Work {
        state: WorkState::Succeeded,
        result: Some(json!({"exit_code": 0})),
        completed_at: Some(at(50)),
        updated_at: at(50),
        ..handed_over
    };
    let first = heard(store, done(&agent, "w")).await;
    assert_eq!(first, Reported::Now(taken.clone()));
    let late = WorkReport { result: Some(json!(1)), at: at(51), ..said(&agent, "w", WorkEvent::Fail) };
    assert_eq!(heard(store, late).await, Reported::Before(taken.clone()));
    assert_eq!(listed(store, &agent).await, [taken]);
}

pub async fn outcome_of_undelivered_work_is_not_taken<S: Store>(store: &S) {
    let agent = registered(store, "d-1").await;
    let waiting = queued(store, work(&agent, "w")).await;
    let refused = heard(store, done(&agent, "w")).await;
    let illegal = IllegalTransition { from: WorkState::Queued, event: WorkEvent::Succeed };
    assert_eq!(refused, Reported::Illegal(waiting.clone(), illegal));
    assert_eq!(listed(store, &agent).await, [waiting]);
}

pub async fn outcome_of_expired_work_is_not_taken<S: Store>(store: &S) {
    let agent = registered(store, "d-1").await;
    queued(store, work(&agent, "w")).await;
    assert!(delivered(store, &agent, Delivery::All, 61).await.is_empty());
    let Reported::Before(work) = heard(store, done(&agent, "w")).await else {
        panic!("the work was at its end");
    };
    assert_eq!((work.state, work.result), (WorkState::Expired, None));
}

pub async fn outcome_by_another_agent_is_not_taken<S: Store>(store: &S) {
    let agent = registered(store, "d-1").await;
    let other = registered(store, "d-2").await;
    queued(store, work(&agent, "w")).await;
    delivered(store, &agent, Delivery::All, 1).await;
    assert_eq!(heard(store, done(&other, "w")).await, Reported::NotYours);
    assert_eq!(delivered(store, &agent, Delivery::All, 2).await, ["w"]);
}

pub async fn nobody_learns_of_another_tenants_work<S: Store>(store: &S) {
    let agent = registered(store, "d-1").await;
    let theirs = store.register(NewAgent { tenant: OTHER_TENANT, ..device("d-1") }).await.expect("free");
    queued(store, work(&agent, "w")).await;
    delivered(store, &agent, Delivery::All, 1).await;
    assert_eq!(heard(store, done(&theirs, "w")).await, Reported::Unknown);
    assert_eq!(heard(store, done(&theirs, "none")).await, Reported::Unknown);
    assert!(
        store
            .work(OTHER_TENANT, WorkFilter { agent: Some(agent.no), ..latest(10) })
            .await
            .expect("listed")
            .is_empty()
    );
    assert!(store.work(OTHER_TENANT, latest(10)).await.expect("listed").is_empty());
    assert_eq!(delivered(store, &agent, Delivery::All, 2).await, ["w"]);
}

pub async fn work_is_listed_latest_first_within_the_limit<S: Store>(store: &S) {
    let agent = registered(store, "d-1").await;
    let other = registered(store, "d-2").await;
    for id in ["a", "b", "c"] {
        queued(store, work(&agent, id)).await;
    }
    queued(store, work(&other, "d")).await;
    let ids = |work: Vec<Work>| work.into_iter().map(|work| work.id).collect::<Vec<_>>();
    assert_eq!(ids(store.work(DEFAULT_TENANT, latest(2)).await.expect("listed")), ["d", "c"]);
    assert_eq!(ids(listed(store, &agent).await), ["c", "b", "a"]);
    assert!(store.work(DEFAULT_TENANT, latest(0)).await.expect("listed").is_empty());
}

pub async fn same_key_makes_one_piece_of_work<S: Store>(store: &S) {
    let agent = registered(store, "d-1").await;
    let other = registered(store, "d-2").await;
    let wish = |id: &str| NewWork { key: Some("nightly".to_owned()), ..work(&agent, id) };
    let asked = together((0..8).map(|n| store.queue(wish(&format!("w-{n}"))))).await;
    let asked: Vec<_> = asked.into_iter().map(|queued| queued.expect("the store answers")).collect();
    let made: Vec<_> = asked.iter().filter(|queued| matches!(queued, Queued::Now(_))).collect();
    let [Queued::Now(made)] = &made[..] else { panic!("made {} times", made.len()) };
    for queued in asked.iter().filter(|queued| !matches!(queued, Queued::Now(_))) {
        assert_eq!(queued, &Queued::Before(made.clone()));
    }
    let another = NewWork { priority: 1, ..wish("w-9") };
    assert_eq!(store.queue(another).await.expect("answered"), Queued::Conflict(made.clone()));
    assert_eq!(listed(store, &agent).await, std::slice::from_ref(made));
    queued(store, NewWork { key: Some("nightly".to_owned()), ..work(&other, "other's") }).await;
    // It is the same wish after its end, too: who wants it again takes another key.
    store.cancel_work(DEFAULT_TENANT, made.id.clone(), at(1)).await.expect("answered");
    assert!(matches!(store.queue(wish("w-10")).await, Ok(Queued::Before(work)) if work.state.is_terminal()));
}

pub async fn work_is_not_delivered_before_its_time<S: Store>(store: &S) {
    let agent = registered(store, "d-1").await;
    queued(store, NewWork { not_before: Some(at(100)), priority: 9, ..work(&agent, "later") }).await;
    let early = store.deliver(agent.no, Delivery::All, at(99)).await.expect("delivered");
    assert_eq!(early, HandedOver { due: Some(at(100)), ..HandedOver::default() });
    queued(store, NewWork { ttl: Duration::from_secs(600), ..work(&agent, "now") }).await;
    assert_eq!(delivered(store, &agent, Delivery::All, 99).await, ["now"]);
    assert_eq!(delivered(store, &agent, Delivery::All, 100).await, ["later", "now"]);
    // It is worth doing for a minute from then.
    assert_eq!(delivered(store, &agent, Delivery::All, 160).await, ["later", "now"]);
    assert_eq!(delivered(store, &agent, Delivery::All, 161).await, ["now"]);
}

/// Work of which an execution may take 30 s and the grace of 120 s, and two may follow the first.
fn tried_again(agent: &Agent, id: &str) -> NewWork {
    NewWork {
        timeout: Some(Duration::from_secs(30)),
        max_retries: 2,
        ttl: Duration::from_secs(100_000),
        ..work(agent, id)
    }
}

async fn named<S: Store>(store: &S, agent: &Agent, id: &str) -> (Work, Vec<Execution>) {
    let found = store.work_named(agent.tenant, id.to_owned()).await.expect("the store reads");
    found.expect("the work is there")
}

pub async fn acknowledged_work_is_not_delivered_again<S: Store>(store: &S) {
    let agent = registered(store, "d-1").await;
    queued(store, tried_again(&agent, "w")).await;
    delivered(store, &agent, Delivery::One, 1).await;
    let taken = heard(store, said(&agent, "w", WorkEvent::Acknowledge)).await;
    let Reported::Now(work) = &taken else { panic!("not taken: {taken:?}") };
    assert_eq!((work.state, work.acknowledged_at), (WorkState::Delivered, Some(at(50))));
    let quiet = store.deliver(agent.no, Delivery::One, at(60)).await.expect("delivered");
    assert_eq!(quiet, HandedOver { due: Some(at(151)), ..HandedOver::default() });
    let again = heard(store, WorkReport { at: at(61), ..said(&agent, "w", WorkEvent::Acknowledge) }).await;
    assert_eq!(again, Reported::Before(work.clone()));

    let started = heard(store, WorkReport { at: at(62), ..said(&agent, "w", WorkEvent::Start) }).await;
    assert!(matches!(&started, Reported::Now(work) if work.state == WorkState::Running), "{started:?}");
    let Reported::Now(running) = started else { return };
    let again = heard(store, WorkReport { at: at(63), ..said(&agent, "w", WorkEvent::Start) }).await;
    assert_eq!(again, Reported::Before(running.clone()), "a lost answer is no fault");
    let back = heard(store, WorkReport { at: at(64), ..said(&agent, "w", WorkEvent::Acknowledge) }).await;
    let illegal = IllegalTransition { from: WorkState::Running, event: WorkEvent::Acknowledge };
    assert_eq!(back, Reported::Illegal(running.clone(), illegal));
    assert_eq!(named(store, &agent, "w").await, (running, Vec::new()));
}

pub async fn execution_that_takes_too_long_is_followed_by_another<S: Store>(store: &S) {
    let agent = registered(store, "d-1").await;
    queued(store, tried_again(&agent, "w")).await;
    for number in 1..=3_u32 {
        let from = i64::from(number) * 1000;
        let handed_over = store.deliver(agent.no, Delivery::One, at(from)).await.expect("delivered");
        let numbers: Vec<_> = handed_over.work.iter().map(|work| work.execution_number).collect();
        assert_eq!(numbers, [number]);
        assert_eq!(handed_over.work[0].deadline, Some(at(from + 150)));
        assert_eq!(handed_over.ended.len(), usize::from(number > 1));
    }
    assert!(delivered(store, &agent, Delivery::One, 4000).await.is_empty(), "no execution is left");
    let (work, earlier) = named(store, &agent, "w").await;
    assert_eq!((work.state, work.execution_number), (WorkState::Failed, 3));
    assert_eq!(work.result.as_ref().map(|result| &result["exit_code"]), Some(&json!(-1)));
    let ends: Vec<_> = earlier.iter().map(|e| (e.number, e.state, e.delivered_at, e.ended_at)).collect();
    let failed = WorkState::Failed;
    assert_eq!(ends, [(1, failed, Some(at(1000)), at(2000)), (2, failed, Some(at(2000)), at(3000))]);
}

pub async fn failed_execution_is_followed_by_another_while_allowed<S: Store>(store: &S) {
    let agent = registered(store, "d-1").await;
    queued(store, NewWork { max_retries: 1, ..tried_again(&agent, "w") }).await;
    let failure = |execution| WorkReport {
        execution: Some(execution),
        result: Some(json!({"error": "no"})),
        ..said(&agent, "w", WorkEvent::Fail)
    };
    delivered(store, &agent, Delivery::One, 1).await;
    let first = heard(store, failure(1)).await;
    let Reported::Now(left) = &first else { panic!("not taken: {first:?}") };
    assert_eq!((left.state, left.execution_number), (WorkState::Failed, 1));
    assert_eq!(heard(store, failure(1)).await, Reported::Before(left.clone()), "said again");
    assert_eq!(named(store, &agent, "w").await.0.state, WorkState::Queued);
    delivered(store, &agent, Delivery::One, 51).await;
    let last = heard(store, failure(2)).await;
    assert!(matches!(last, Reported::Now(work) if work.state == WorkState::Failed));
    let (work, earlier) = named(store, &agent, "w").await;
    assert_eq!((work.state, work.execution_number, earlier.len()), (WorkState::Failed, 2, 1));
}

pub async fn late_outcome_of_an_earlier_execution_does_not_end_the_newer<S: Store>(store: &S) {
    let agent = registered(store, "d-1").await;
    queued(store, tried_again(&agent, "w")).await;
    delivered(store, &agent, Delivery::One, 0).await;
    let outcome =
        |execution, seconds| WorkReport { execution: Some(execution), at: at(seconds), ..done(&agent, "w") };
    // It has taken too long by the time its word arrives, and nobody had looked.
    let late = heard(store, outcome(1, 151)).await;
    assert!(matches!(&late, Reported::Before(work) if work.state == WorkState::Failed), "{late:?}");
    assert_eq!(named(store, &agent, "w").await.0.state, WorkState::Queued);
    delivered(store, &agent, Delivery::One, 152).await;
    assert_eq!(heard(store, outcome(1, 153)).await, late);
    assert_eq!(heard(store, outcome(3, 153)).await, Reported::Unknown);
    let (work, _) = named(store, &agent, "w").await;
    assert_eq!((work.state, work.execution_number), (WorkState::Delivered, 2));
    let taken = heard(store, outcome(2, 154)).await;
    assert!(matches!(taken, Reported::Now(work) if work.state == WorkState::Succeeded));
}

pub async fn work_is_called_off_from_any_live_state<S: Store>(store: &S) {
    let agent = registered(store, "d-1").await;
    let theirs = store.register(NewAgent { tenant: OTHER_TENANT, ..device("d-1") }).await.expect("free");
    for id in ["running", "delivered", "queued"] {
        queued(store, work(&agent, id)).await;
        if id != "queued" {
            delivered(store, &agent, Delivery::All, 1).await;
        }
        if id == "running" {
            heard(store, said(&agent, id, WorkEvent::Start)).await;
        }
        let cancel = || store.cancel_work(DEFAULT_TENANT, id.to_owned(), at(51));
        let first = cancel().await.expect("answered");
        let Reported::Now(work) = &first else { panic!("{id}: {first:?}") };
        assert_eq!((work.state, work.completed_at), (WorkState::Canceled, Some(at(51))));
        assert_eq!(cancel().await.expect("answered"), Reported::Before(work.clone()));
        assert_eq!(heard(store, done(&agent, id)).await, Reported::Before(work.clone()));
        let foreign = store.cancel_work(theirs.tenant, id.to_owned(), at(51)).await;
        assert_eq!(foreign.expect("answered"), Reported::Unknown);
    }
    assert!(delivered(store, &agent, Delivery::All, 52).await.is_empty());
    queued(store, work(&agent, "done")).await;
    delivered(store, &agent, Delivery::All, 52).await;
    heard(store, done(&agent, "done")).await;
    let illegal = IllegalTransition { from: WorkState::Succeeded, event: WorkEvent::Cancel };
    let refused = store.cancel_work(DEFAULT_TENANT, "done".to_owned(), at(53)).await.expect("answered");
    assert!(matches!(refused, Reported::Illegal(_, why) if why == illegal));
}

pub async fn of_outcome_and_cancellation_at_once_one_wins<S: Store>(store: &S) {
    let agent = registered(store, "d-1").await;
    for n in 0..8 {
        let id = format!("w-{n}");
        queued(store, work(&agent, &id)).await;
        delivered(store, &agent, Delivery::All, 1).await;
        let reports = (0..4).map(|m| {
            let (id, agent) = (id.clone(), &agent);
            async move {
                if (m + n) % 2 == 0 {
                    store.cancel_work(DEFAULT_TENANT, id, at(50)).await
                } else {
                    store.report_work(done(agent, &id)).await
                }
            }
        });
        let answers = together(reports).await;
        let taken = answers.iter().filter(|answer| matches!(answer, Ok(Reported::Now(_)))).count();
        assert_eq!(taken, 1, "{answers:?}");
        let end = named(store, &agent, &id).await.0;
        assert!(matches!(end.state, WorkState::Succeeded | WorkState::Canceled));
        assert_eq!(end.result.is_some(), end.state == WorkState::Succeeded);
    }
}

pub async fn polls_at_once_deliver_one_execution<S: Store>(store: &S) {
    let agent = registered(store, "d-1").await;
    queued(store, tried_again(&agent, "w")).await;
    let polls = together((0..8).map(|n| store.deliver(agent.no, Delivery::One, at(n)))).await;
    for poll in polls {
        let work = poll.expect("delivered").work;
        assert_eq!(work.iter().map(|work| work.execution_number).collect::<Vec<_>>(), [1]);
    }
    // As late as any of them, it takes too long: whoever looks first begins the next execution, once.
    let polls = together((0..8).map(|_| store.deliver(agent.no, Delivery::One, at(500)))).await;
    let polls: Vec<_> = polls.into_iter().map(|poll| poll.expect("delivered")).collect();
    assert!(polls.iter().all(|poll| poll.work[0].execution_number == 2));
    assert_eq!(polls.iter().map(|poll| poll.ended.len()).sum::<usize>(), 1);
    assert_eq!(named(store, &agent, "w").await.1.len(), 1);
}

pub async fn sweep_moves_what_is_due_and_nothing_else<S: Store>(store: &S) {
    let agent = registered(store, "d-1").await;
    let other = registered(store, "d-2").await;
    queued(store, tried_again(&agent, "again")).await;
    queued(store, NewWork { max_retries: 0, ..tried_again(&agent, "once") }).await;
    queued(store, NewWork { timeout: None, ..tried_again(&agent, "for ever") }).await;
    delivered(store, &agent, Delivery::All, 0).await;
    heard(store, WorkReport { at: at(1), ..said(&agent, "once", WorkEvent::Start) }).await;
    queued(store, work(&other, "unbegun")).await;
    queued(store, NewWork { at: at(200), ..work(&other, "young") }).await;
    let sweep = |seconds, limit| store.sweep_work(at(seconds), limit);
    assert_eq!(sweep(60, 100).await.expect("swept"), Swept::default());
    // What is due longest comes first.
    let first = sweep(200, 1).await.expect("swept");
    assert_eq!(first, Swept { agents: Vec::new(), moved: 1 });
    assert_eq!(named(store, &other, "unbegun").await.0.state, WorkState::Expired);
    let rest = sweep(200, 100).await.expect("swept");
    assert_eq!(rest, Swept { agents: vec![agent.no], moved: 2 });
    assert_eq!(sweep(200, 100).await.expect("swept"), Swept::default());
    let (again, earlier) = named(store, &agent, "again").await;
    assert_eq!((again.state, again.execution_number, earlier.len()), (WorkState::Queued, 2, 1));
    assert_eq!(named(store, &agent, "once").await.0.state, WorkState::Failed);
    assert_eq!(named(store, &agent, "for ever").await.0.state, WorkState::Delivered);
    assert_eq!(named(store, &other, "young").await.0.state, WorkState::Queued);
}

pub async fn downtime_puts_deadlines_off_once<S: Store>(store: &S) {
    let agent = registered(store, "d-1").await;
    queued(store, tried_again(&agent, "w")).await;
    delivered(store, &agent, Delivery::One, 0).await;
    store.flush(Vec::new(), Vec::new(), at(10)).await.expect("flushed");
    store.excuse(Downtime { from: at(10), to: at(610) }).await.expect("excused");
    assert_eq!(named(store, &agent, "w").await.0.deadline, Some(at(750)));
    assert_eq!(whole(store).await.up_until, Some(at(610)));
    // It had taken too long before the server went away.
    store.excuse(Downtime { from: at(800), to: at(900) }).await.expect("excused");
    assert_eq!(named(store, &agent, "w").await.0.deadline, Some(at(750)));
}

fn found(id: &str, control: Option<&str>) -> Finding {
    Finding {
        id: id.to_owned(),
        test: "bundle".to_owned(),
        control: control.map(str::to_owned),
        exit_code: 0xc000_0005,
        compliant: control.map(|_| false),
        detail: facts(json!({"severity": "high"})),
    }
}

pub async fn step_that_cannot_follow_changes_nothing<S: Store>(store: &S) {
    const QUEUED: Stage = (WorkState::Queued, false);
    const DELIVERED: Stage = (WorkState::Delivered, false);
    const RUNNING: Stage = (WorkState::Running, true);
    let agent = registered(store, "d-1").await;
    queued(store, work(&agent, "w")).await;
    let word = |event, from, to| WorkReport {
        step: Some(WorkStep { from, to }),
        result: Some(json!({"exit_code": 7})),
        ..said(&agent, "w", event)
    };
    let succeed = || word(WorkEvent::Succeed, &[RUNNING], (WorkState::Succeeded, true));
    // The table has this one, the step has not.
    let deliver = |from| word(WorkEvent::Deliver, from, DELIVERED);
    assert!(matches!(heard(store, deliver(&[])).await, Reported::Illegal(work, _) if work.stage() == QUEUED));
    assert!(
        matches!(heard(store, deliver(&[QUEUED])).await, Reported::Now(work) if work.stage() == DELIVERED)
    );
    assert!(
        matches!(heard(store, deliver(&[QUEUED])).await, Reported::Before(work) if work.stage() == DELIVERED)
    );
    let Reported::Illegal(stands, illegal) = heard(store, succeed()).await else { panic!("it is not begun") };
    assert_eq!((stands.stage(), illegal.from), (DELIVERED, WorkState::Delivered));
    let (stored, _) = named(store, &agent, "w").await;
    assert_eq!((stored.stage(), stored.result), (DELIVERED, None));
    let started = heard(store, word(WorkEvent::Start, &[DELIVERED], RUNNING)).await;
    assert!(matches!(started, Reported::Now(work) if work.stage() == RUNNING));
    assert!(
        matches!(heard(store, succeed()).await, Reported::Now(work) if work.state == WorkState::Succeeded)
    );
    for end in [succeed(), deliver(&[]), word(WorkEvent::Fail, &[], (WorkState::Failed, true))] {
        assert!(
            matches!(heard(store, end).await, Reported::Before(work) if work.state == WorkState::Succeeded)
        );
    }
}

pub async fn secrets_are_forgotten_when_nobody_needs_them<S: Store>(store: &S) {
    let agent = registered(store, "d-1").await;
    let payload = facts(json!({"command": "env", "env_vars": {"TOKEN": "s3cret"}}));
    let wish = |id: &str| NewWork {
        payload: payload.clone(),
        key: Some(id.to_owned()),
        ttl: Duration::from_secs(10_000),
        ..work(&agent, id)
    };
    for (id, max_retries) in [("once", 0), ("twice", 1)] {
        queued(store, NewWork { max_retries, ..wish(id) }).await;
        let handed_over = |at| store.deliver(agent.no, Delivery::All, at);
        for seconds in [1, 2] {
            let handed_over = handed_over(at(seconds)).await.expect("delivered").work;
            assert_eq!(handed_over[0].payload, payload, "{id}: it may not have arrived");
        }
        heard(store, said(&agent, id, WorkEvent::Acknowledge)).await;
        let kept = |(work, _): (Work, _)| work.payload.contains_key(SECRETS);
        assert_eq!(
            kept(named(store, &agent, id).await),
            max_retries > 0,
            "{id}: while it may be tried again"
        );
        if max_retries > 0 {
            heard(store, said(&agent, id, WorkEvent::Fail)).await;
            assert_eq!(
                handed_over(at(60)).await.expect("delivered").work[0].payload,
                payload,
                "{id}: once more"
            );
        }
        heard(store, WorkReport { at: at(61), ..done(&agent, id) }).await;
        let (ended, _) = named(store, &agent, id).await;
        assert_eq!(ended.payload, facts(json!({"command": "env"})), "{id}: at its end");
        // Asked for again, it is the same wish.
        let again = store.queue(NewWork { max_retries, ..wish(id) }).await.expect("the key is known");
        assert_eq!(again, Queued::Before(ended), "{id}");
    }
    // Work that nobody ever had, too.
    queued(store, wish("never")).await;
    store.cancel_work(agent.tenant, "never".to_owned(), at(70)).await.expect("called off");
    assert_eq!(named(store, &agent, "never").await.0.payload, facts(json!({"command": "env"})));
}

pub async fn work_of_silent_agents_is_given_up<S: Store>(store: &S) {
    let agent = registered(store, "d-1").await;
    let other = registered(store, "d-2").await;
    let long = |agent: &Agent, id: &str| NewWork { ttl: Duration::from_secs(100_000), ..work(agent, id) };
    queued(store, NewWork { max_retries: 1, priority: 9, ..long(&agent, "running") }).await;
    queued(store, NewWork { priority: 8, ..long(&agent, "downloading") }).await;
    queued(store, NewWork { priority: 7, ..long(&agent, "assigned") }).await;
    queued(store, long(&other, "other's")).await;
    delivered(store, &agent, Delivery::All, 1).await;
    delivered(store, &other, Delivery::All, 1).await;
    queued(store, NewWork { at: at(2), ..long(&agent, "waiting") }).await;
    heard(store, said(&agent, "running", WorkEvent::Start)).await;
    heard(store, said(&agent, "downloading", WorkEvent::Acknowledge)).await;
    heard(store, said(&other, "other's", WorkEvent::Start)).await;

    let give_up = |seconds| store.give_up_work(vec![agent.no, 404], at(seconds));
    let swept = give_up(500).await.expect("given up");
    assert_eq!(swept, Swept { agents: vec![agent.no], moved: 2 });
    let (running, earlier) = named(store, &agent, "running").await;
    assert_eq!((running.state, running.execution_number), (WorkState::Queued, 2));
    assert_eq!((earlier.len(), earlier[0].state, earlier[0].ended_at), (1, WorkState::Failed, at(500)));
    let (downloading, _) = named(store, &agent, "downloading").await;
    assert_eq!((downloading.state, downloading.completed_at), (WorkState::Failed, Some(at(500))));
    for result in [earlier[0].result.as_ref(), downloading.result.as_ref()] {
        let result = result.and_then(Value::as_object).expect("the server says what came of it");
        let names: Vec<_> = result.keys().map(String::as_str).collect();
        assert_eq!(names, ["error", "execution_duration_ms", "exit_code", "stderr", "stdout"]);
        assert!(result["error"].as_str().is_some_and(|error| error.contains("silent")));
    }
    // What nobody has begun waits for its agent, and others have nothing to do with it.
    for (id, state) in [("assigned", WorkState::Delivered), ("waiting", WorkState::Queued)] {
        assert_eq!(named(store, &agent, id).await.0.state, state, "{id}");
    }
    assert_eq!(named(store, &other, "other's").await.0.state, WorkState::Running);
    assert_eq!(give_up(501).await.expect("given up"), Swept::default(), "once");
}

pub async fn findings_are_kept_once_and_found_by_what_they_are_of<S: Store>(store: &S) {
    let agent = registered(store, "d-1").await;
    let other = registered(store, "d-2").await;
    for (agent, id) in [(&agent, "w-1"), (&other, "w-2")] {
        queued(store, work(agent, id)).await;
        delivered(store, agent, Delivery::All, 1).await;
        let bundle = ["c-1", "c-2", "c-1"].map(|control| found(&format!("{id}::{control}"), Some(control)));
        let report = WorkReport { findings: bundle.to_vec(), ..done(agent, id) };
        assert!(matches!(heard(store, report.clone()).await, Reported::Now(_)));
        let changed = vec![found(&format!("{id}::c-3"), Some("c-3"))];
        assert!(matches!(
            heard(store, WorkReport { findings: changed, ..report }).await,
            Reported::Before(_)
        ));
    }
    let asked = async |filter: FindingFilter| -> Vec<FoundRow> {
        store.findings(DEFAULT_TENANT, filter).await.expect("the store reads")
    };
    let ids = |rows: &[FoundRow]| rows.iter().map(|row| row.finding.id.clone()).collect::<Vec<_>>();
    let any = FindingFilter { limit: 100, ..FindingFilter::default() };
    let all = asked(any.clone()).await;
    assert_eq!(ids(&all), ["w-2::c-2", "w-2::c-1", "w-1::c-2", "w-1::c-1"]);
    let last = FoundRow {
        no: all[3].no,
        tenant: DEFAULT_TENANT,
        agent: agent.no,
        work: "w-1".to_owned(),
        execution: 1,
        finding: found("w-1::c-1", Some("c-1")),
        at: at(50),
    };
    assert_eq!(all[3], last);
    let of_agent = FindingFilter { agent: Some(agent.no), ..any.clone() };
    assert_eq!(ids(&asked(of_agent).await), ["w-1::c-2", "w-1::c-1"]);
    let of_work = FindingFilter { work: Some("w-2".to_owned()), ..any.clone() };
    assert_eq!(ids(&asked(of_work).await), ["w-2::c-2", "w-2::c-1"]);
    let of_control = FindingFilter { control: Some("c-1".to_owned()), ..any.clone() };
    assert_eq!(ids(&asked(of_control).await), ["w-2::c-1", "w-1::c-1"]);
    let next = FindingFilter { before: Some(all[1].no), limit: 1, ..any.clone() };
    assert_eq!(ids(&asked(next).await), ["w-1::c-2"]);
    assert!(store.findings(OTHER_TENANT, any).await.expect("the store reads").is_empty());
}

pub async fn model_action_that_was_called_off_is_not_made_again_by_itself<S: Store>(store: &S) {
    let device = device_to_run(store, "m-2").await;
    check_in(store, &device, Some("m-1"), 10).await;
    store.cancel_work(DEFAULT_TENANT, "action 10".to_owned(), at(11)).await.expect("answered");
    for seconds in [12, 13] {
        assert!(check_in(store, &device, Some("m-1"), seconds).await.handed_over.work.is_empty());
    }
    assert_eq!(listed(store, &device).await.len(), 1);
    store.set_desired_model(device.no, "m-2".to_owned(), at(14)).await.expect("the model is there");
    let wished_again = check_in(store, &device, Some("m-1"), 15).await;
    assert_eq!(actions(&wished_again), [("action 15", "m-2")]);
}

// Models and releases

fn model(id: &str) -> Model {
    Model {
        id: id.to_owned(),
        tenant: DEFAULT_TENANT,
        name: "detector".to_owned(),
        version: "3".to_owned(),
        place: FilePlace::Url(format!("https://models.example/{id}")),
        file_ext: Some("onnx".to_owned()),
        label_map: None,
        created_at: at(0),
    }
}

/// A device that is to run the model, among three that are there.
async fn device_to_run<S: Store>(store: &S, wish: &str) -> Agent {
    for id in ["m-1", "m-2", "m-3"] {
        store.add_model(model(id)).await.expect("the id is free");
    }
    let device = registered(store, "d-1").await;
    store.set_desired_model(device.no, wish.to_owned(), at(1)).await.expect("the model is there")
}

async fn check_in<S: Store>(store: &S, device: &Agent, runs: Option<&str>, seconds: i64) -> Reconciled {
    let report = ModelReport {
        agent: device.no,
        model: runs.map(str::to_owned),
        action: format!("action {seconds}"),
        ttl: Duration::from_secs(60),
        at: at(seconds),
    };
    store.reconcile_model(report).await.expect("reconciled")
}

/// The model actions handed over: their ids and models.
fn actions(reconciled: &Reconciled) -> Vec<(&str, &str)> {
    let action = |work: &Work| work.kind == MODEL_UPDATE && work.state == WorkState::Delivered;
    assert!(reconciled.handed_over.work.iter().all(action));
    let actions = reconciled.handed_over.work.iter();
    actions.filter_map(|work| Some((work.id.as_str(), work.payload["model_id"].as_str()?))).collect()
}

async fn states<S: Store>(store: &S, agent: &Agent) -> Vec<(String, WorkState)> {
    listed(store, agent).await.into_iter().map(|work| (work.id, work.state)).collect()
}

pub async fn device_without_a_desired_model_gets_no_action<S: Store>(store: &S) {
    let device = registered(store, "d-1").await;
    queued(store, work(&device, "other work")).await;
    let reconciled = check_in(store, &device, Some("own model"), 5).await;
    assert_eq!(reconciled.agent.current_model.as_deref(), Some("own model"));
    assert_eq!(reconciled.agent.updated_at, at(5));
    assert_eq!(stored(store, device.no).await, reconciled.agent);
    let ids: Vec<_> = reconciled.handed_over.work.iter().map(|work| work.id.as_str()).collect();
    assert_eq!(ids, ["other work"]);
    let unknown = ModelReport {
        agent: 404,
        model: None,
        action: "a".to_owned(),
        ttl: Duration::from_secs(60),
        at: at(5),
    };
    assert!(is_missing(&store.reconcile_model(unknown).await));
}

pub async fn other_model_makes_one_action<S: Store>(store: &S) {
    let device = device_to_run(store, "m-2").await;
    assert_eq!((device.desired_model.as_deref(), device.updated_at), (Some("m-2"), at(1)));
    let first = check_in(store, &device, Some("m-1"), 10).await;
    assert_eq!(actions(&first), [("action 10", "m-2")]);
    assert_eq!(first.handed_over.work[0].payload, model("m-2").payload());
    assert_eq!(first.handed_over.work[0].created_at, at(10));
    let second = check_in(store, &device, Some("m-1"), 20).await;
    assert_eq!(second.handed_over.work, first.handed_over.work);
    assert_eq!(listed(store, &device).await, first.handed_over.work);
}

pub async fn reported_model_completes_its_action<S: Store>(store: &S) {
    let device = device_to_run(store, "m-2").await;
    check_in(store, &device, Some("m-1"), 10).await;
    let done = check_in(store, &device, Some("m-2"), 20).await;
    assert!(done.handed_over.work.is_empty());
    assert_eq!(done.agent.current_model.as_deref(), Some("m-2"));
    let action = listed(store, &device).await.remove(0);
    assert_eq!((action.state, action.completed_at), (WorkState::Succeeded, Some(at(20))));
    assert!(check_in(store, &device, Some("m-2"), 30).await.handed_over.work.is_empty());
    assert_eq!(listed(store, &device).await.len(), 1);
}

pub async fn changed_wish_cancels_the_older_action<S: Store>(store: &S) {
    let device = device_to_run(store, "m-2").await;
    check_in(store, &device, Some("m-1"), 10).await;
    store.set_desired_model(device.no, "m-3".to_owned(), at(15)).await.expect("the model is there");
    let changed = check_in(store, &device, Some("m-1"), 20).await;
    assert_eq!(actions(&changed), [("action 20", "m-3")]);
    let [newer, older] = &states(store, &device).await[..] else { panic!("there are two actions") };
    assert_eq!(newer, &("action 20".to_owned(), WorkState::Delivered));
    assert_eq!(older, &("action 10".to_owned(), WorkState::Canceled));
    // Back to what it runs: nothing is left to be done, and nothing may take it away from there.
    store.set_desired_model(device.no, "m-1".to_owned(), at(25)).await.expect("the model is there");
    assert!(check_in(store, &device, Some("m-1"), 30).await.handed_over.work.is_empty());
    assert!(states(store, &device).await.iter().all(|(_, state)| *state == WorkState::Canceled));
}

pub async fn silent_device_keeps_its_last_known_model<S: Store>(store: &S) {
    let device = device_to_run(store, "m-2").await;
    check_in(store, &device, Some("m-2"), 10).await;
    let silent = check_in(store, &device, None, 20).await;
    assert_eq!(silent.agent.current_model.as_deref(), Some("m-2"));
    assert_eq!(silent.agent.updated_at, at(10));
    assert!(silent.handed_over.work.is_empty());
    let never_said = registered(store, "d-2").await;
    store.set_desired_model(never_said.no, "m-2".to_owned(), at(21)).await.expect("the model is there");
    assert_eq!(actions(&check_in(store, &never_said, None, 30).await), [("action 30", "m-2")]);
}

pub async fn overdue_model_action_is_made_anew<S: Store>(store: &S) {
    let device = device_to_run(store, "m-2").await;
    check_in(store, &device, Some("m-1"), 10).await;
    let later = check_in(store, &device, Some("m-1"), 71).await;
    assert_eq!(actions(&later), [("action 71", "m-2")]);
    assert_eq!(states(store, &device).await[1], ("action 10".to_owned(), WorkState::Expired));
}

pub async fn model_of_another_tenant_is_missing<S: Store>(store: &S) {
    let device = registered(store, "d-1").await;
    store.add_model(Model { tenant: OTHER_TENANT, ..model("m-1") }).await.expect("the id is free");
    for id in ["m-1", "none"] {
        assert!(is_missing(&store.set_desired_model(device.no, id.to_owned(), at(1)).await));
    }
    assert_eq!(stored(store, device.no).await, device);
    store.add_model(model("m-1")).await.expect("the id is free here");
    assert!(is_missing(&store.set_desired_model(404, "m-1".to_owned(), at(1)).await));
}

pub async fn model_id_is_unique_in_a_tenant<S: Store>(store: &S) {
    store.add_model(model("m-1")).await.expect("the id is free");
    assert!(is_taken(&store.add_model(model("m-1")).await));
    store.add_model(Model { tenant: OTHER_TENANT, ..model("m-1") }).await.expect("the id is free there");
}

pub async fn latest_release_is_the_one_registered_last<S: Store>(store: &S) {
    let release = |version: &str, os: &str, seconds| Release {
        no: 0,
        tenant: DEFAULT_TENANT,
        version: version.to_owned(),
        os: os.to_owned(),
        arch: "amd64".to_owned(),
        sha256: [7; 32],
        signature: [8; 64],
        size: 1 << 40,
        download_url: Some("https://releases.example/agent".to_owned()),
        mandatory: true,
        created_at: at(seconds),
    };
    let latest = |tenant, os: &str, arch: &str| store.latest_release(tenant, os.to_owned(), arch.to_owned());
    assert_eq!(latest(DEFAULT_TENANT, "linux", "amd64").await.expect("read"), None);
    store.add_release(release("2.0", "linux", 9)).await.expect("kept");
    // A step back is a release like any other, whatever its version or the clock say.
    let last = store.add_release(release("1.9", "linux", 8)).await.expect("kept");
    store.add_release(release("3.0", "windows", 10)).await.expect("kept");
    let theirs = Release { tenant: OTHER_TENANT, ..release("4.0", "linux", 11) };
    store.add_release(theirs).await.expect("kept");
    let found = latest(DEFAULT_TENANT, "linux", "amd64").await.expect("read");
    assert_eq!(found, Some(Release { no: last.no, ..release("1.9", "linux", 8) }));
    assert_eq!(latest(DEFAULT_TENANT, "linux", "arm64").await.expect("read"), None);
}

// Images

fn image(device: &Agent, n: u32, seconds: i64) -> NewImage {
    NewImage {
        id: format!("image {} {n}", device.no),
        batch: format!("batch {} {n}", device.no),
        agent: device.no,
        storage_key: format!("raw/{n}"),
        filename: format!("{n}.jpg"),
        width: 1920,
        height: 1080,
        model: [Some("m-1".to_owned()), None, Some("3".to_owned())],
        annotations: vec![Annotation {
            class: Some("cat".to_owned()),
            confidence: Some(0.75),
            bounds: Some([0.5, 0.5, 0.25, 0.25]),
        }],
        at: at(seconds),
    }
}

const SMALL: BatchLimits = BatchLimits { images: 2, age: Duration::from_secs(60), quota: 1000 };

async fn recorded<S: Store>(store: &S, image: NewImage, limits: BatchLimits) -> Recorded {
    store.record_image(image, limits).await.expect("the store answers")
}

async fn batch_of<S: Store>(store: &S, device: &Agent, n: u32, seconds: i64) -> String {
    match recorded(store, image(device, n, seconds), SMALL).await {
        Recorded::Now { image, batch } if image == format!("image {} {n}", device.no) => batch,
        other => panic!("not recorded: {other:?}"),
    }
}

pub async fn same_storage_key_is_the_same_image<S: Store>(store: &S) {
    let device = registered(store, "d-1").await;
    let other = registered(store, "d-2").await;
    let batch = batch_of(store, &device, 1, 0).await;
    for seconds in [1, 1000] {
        let again = NewImage { storage_key: "raw/1".to_owned(), ..image(&device, 2, seconds) };
        let before = Recorded::Before { image: format!("image {} 1", device.no), batch: batch.clone() };
        assert_eq!(recorded(store, again, SMALL).await, before);
    }
    // It took no slot: there is still one for another image.
    assert_eq!(batch_of(store, &device, 3, 2).await, batch);
    let of_other = NewImage { storage_key: "raw/1".to_owned(), ..image(&other, 1, 3) };
    assert!(matches!(recorded(store, of_other, SMALL).await, Recorded::Now { .. }));
}

pub async fn full_batch_is_followed_by_another<S: Store>(store: &S) {
    let device = registered(store, "d-1").await;
    let mut batches = Vec::new();
    for n in 0..5 {
        batches.push(batch_of(store, &device, n, 0).await);
    }
    let name = |n: u32| format!("batch {} {n}", device.no);
    assert_eq!(batches, [name(0), name(0), name(2), name(2), name(4)]);
}

pub async fn old_batch_is_followed_by_another<S: Store>(store: &S) {
    let device = registered(store, "d-1").await;
    let first = batch_of(store, &device, 0, 0).await;
    assert_eq!(batch_of(store, &device, 1, 60).await, first);
    let device = registered(store, "d-2").await;
    let first = batch_of(store, &device, 0, 0).await;
    let second = batch_of(store, &device, 1, 61).await;
    assert_ne!(first, second);
    assert_eq!(batch_of(store, &device, 2, 62).await, second);
}

pub async fn batches_are_per_device<S: Store>(store: &S) {
    let one = registered(store, "d-1").await;
    let other = registered(store, "d-2").await;
    assert_ne!(batch_of(store, &one, 0, 0).await, batch_of(store, &other, 0, 0).await);
}

pub async fn full_quota_takes_nothing_new<S: Store>(store: &S) {
    let device = registered(store, "d-1").await;
    let other = registered(store, "d-2").await;
    let limits = BatchLimits { quota: 2, ..SMALL };
    for n in 0..2 {
        assert!(matches!(recorded(store, image(&device, n, 0), limits).await, Recorded::Now { .. }));
    }
    for _ in 0..2 {
        assert_eq!(recorded(store, image(&device, 2, 0), limits).await, Recorded::Full);
    }
    assert!(matches!(recorded(store, image(&device, 1, 0), limits).await, Recorded::Before { .. }));
    assert!(matches!(recorded(store, image(&other, 0, 0), limits).await, Recorded::Now { .. }));
    let more = BatchLimits { quota: 3, ..SMALL };
    assert!(matches!(recorded(store, image(&device, 2, 0), more).await, Recorded::Now { .. }));
}

pub async fn concurrent_images_fill_batches_exactly<S: Store>(store: &S) {
    let device = registered(store, "d-1").await;
    let limits = BatchLimits { images: 10, ..BatchLimits::default() };
    let mut batches = BTreeMap::new();
    for outcome in together((0..50).map(|n| store.record_image(image(&device, n, 0), limits))).await {
        match outcome.expect("the store answers") {
            Recorded::Now { batch, .. } => *batches.entry(batch).or_insert(0) += 1,
            other => panic!("not recorded: {other:?}"),
        }
    }
    assert_eq!(batches.into_values().collect::<Vec<_>>(), [10; 5]);
}

pub async fn image_of_an_unknown_device_is_missing<S: Store>(store: &S) {
    let device = device("d-1").into_agent(404);
    assert!(is_missing(&store.record_image(image(&device, 0, 0), SMALL).await));
}

// Hosts

fn hosted(no: Option<No>, key: &str) -> HostedAgent {
    HostedAgent { no, key: key.to_owned(), seen: Observation::default() }
}

fn host_report(fingerprint: &str, agents: Vec<HostedAgent>) -> HostReport {
    HostReport {
        tenant: DEFAULT_TENANT,
        bound: None,
        fingerprint: fingerprint.to_owned(),
        host: Observation {
            name: Some(format!("host {fingerprint}")),
            facts: facts(json!({"cpu_cores": 8})),
            ..Observation::default()
        },
        agents,
        limits: HostLimits::default(),
        updates: Vec::new(),
        commands: true,
        at: at(100),
    }
}

async fn reported<S: Store>(store: &S, report: HostReport) -> Hosted {
    store.report_host(report).await.expect("the store answers")
}

async fn taken<S: Store>(store: &S, report: HostReport) -> (Agent, Vec<Agent>, Vec<No>) {
    match reported(store, report).await {
        Hosted::Taken { host, agents, all, .. } => {
            let agents: Option<Vec<_>> = agents.into_iter().collect();
            (host, agents.expect("there is room for all"), all)
        }
        other => panic!("not taken: {other:?}"),
    }
}

async fn numbered<S: Store>(store: &S, no: No, tenant: No) -> Agent {
    let agent = NewAgent { no: Some(no), tenant, vendor: Vendor::AgentMc, id: None, ..device("") };
    store.register(agent).await.expect("free")
}

pub async fn host_report_makes_host_and_agents<S: Store>(store: &S) {
    numbered(store, 7, DEFAULT_TENANT).await;
    let seen = Observation {
        name: Some("Jarvis".to_owned()),
        version: Some("2.1".to_owned()),
        facts: facts(json!({"emoji": "🤖"})),
        parent: None,
    };
    let fresh = HostedAgent { seen: seen.clone(), ..hosted(None, "jarvis") };
    let known = HostedAgent { seen, ..hosted(Some(7), "seven") };
    let (host, agents, all) = taken(store, host_report("f-1", vec![fresh, known])).await;

    assert_eq!((host.kind, host.vendor, host.id.as_str()), (Kind::Host, Vendor::AgentMc, "f-1"));
    assert_eq!((host.name.as_str(), host.created_at), ("host f-1", at(100)));
    assert_eq!(host.facts, facts(json!({"cpu_cores": 8})));
    let [jarvis, seven] = &agents[..] else { panic!("two agents were reported") };
    assert_eq!(seven.no, 7);
    assert_eq!(jarvis.id, jarvis.no.to_string());
    for agent in [jarvis, seven] {
        assert_eq!((agent.name.as_str(), agent.version.as_deref()), ("Jarvis", Some("2.1")));
        assert_eq!((agent.parent, agent.kind, agent.updated_at), (Some(host.no), Kind::Agent, at(100)));
        assert_eq!(agent.facts["emoji"], json!("🤖"));
        assert_eq!(&stored(store, agent.no).await, agent);
    }
    assert_eq!(jarvis.facts[HOSTED_KEY], json!("jarvis"));
    assert_eq!(BTreeSet::from_iter(all), BTreeSet::from([jarvis.no, 7]));
    assert_eq!(stored(store, host.no).await, host);
}

pub async fn host_report_changes_what_it_says<S: Store>(store: &S) {
    let (first, ..) = taken(store, host_report("f-1", vec![hosted(None, "a")])).await;
    let mut later = host_report("f-1", vec![hosted(None, "b"), hosted(None, "a")]);
    later.at = at(200);
    later.host = Observation {
        version: Some("9".to_owned()),
        facts: facts(json!({"ram": 4})),
        ..Observation::default()
    };
    later.agents[1].seen.name = Some("renamed".to_owned());
    let (host, agents, all) = taken(store, later).await;
    assert_eq!(host.no, first.no);
    assert_eq!((host.name.as_str(), host.version.as_deref()), ("host f-1", Some("9")));
    assert_eq!(host.facts, facts(json!({"cpu_cores": 8, "ram": 4})));
    assert_eq!((host.created_at, host.updated_at), (at(100), at(200)));
    assert_eq!(agents[1].name, "renamed");
    assert_eq!((agents[0].created_at, agents[1].created_at), (at(200), at(100)));
    assert_eq!(all.len(), 2);
}

pub async fn repeated_host_report_changes_nothing<S: Store>(store: &S) {
    let first = taken(store, host_report("f-1", vec![hosted(None, "a")])).await;
    let mut again = host_report("f-1", vec![hosted(None, "a")]);
    again.at = at(200);
    assert_eq!(taken(store, again).await, first);
}

pub async fn hosted_agent_without_number_is_found_by_its_key<S: Store>(store: &S) {
    let (_, first, _) = taken(store, host_report("f-1", vec![hosted(None, "a"), hosted(None, "a")])).await;
    assert_eq!(first[0], first[1]);
    let (_, again, all) = taken(store, host_report("f-1", vec![hosted(None, "a")])).await;
    assert_eq!((again[0].no, all), (first[0].no, vec![first[0].no]));
    let (_, elsewhere, _) = taken(store, host_report("f-2", vec![hosted(None, "a")])).await;
    assert_ne!(elsewhere[0].no, first[0].no);
    let mut theirs = host_report("f-1", vec![hosted(None, "a")]);
    theirs.tenant = OTHER_TENANT;
    let (host, agents, _) = taken(store, theirs).await;
    assert_eq!((host.tenant, agents[0].tenant), (OTHER_TENANT, OTHER_TENANT));
    assert_ne!(agents[0].no, first[0].no);
}

pub async fn number_of_no_agent_of_the_tenant_is_unknown<S: Store>(store: &S) {
    let theirs = numbered(store, 7, OTHER_TENANT).await;
    let device = registered(store, "d-1").await;
    let (host, ..) = taken(store, host_report("f-0", Vec::new())).await;
    let before = whole(store).await;
    for no in [theirs.no, device.no, host.no, 404] {
        let mixed = host_report("f-1", vec![hosted(None, "a"), hosted(Some(no), "b")]);
        assert_eq!(reported(store, mixed).await, Hosted::UnknownAgent);
    }
    assert_eq!(whole(store).await, before);
}

pub async fn key_bound_to_a_host_is_good_for_that_host_only<S: Store>(store: &S) {
    let (one, ..) = taken(store, host_report("f-1", Vec::new())).await;
    let (two, ..) = taken(store, host_report("f-2", Vec::new())).await;
    let before = whole(store).await;
    for fingerprint in ["f-2", "f-3"] {
        let report = host_report(fingerprint, vec![hosted(None, "a")]);
        let report = HostReport { bound: Some(one.no), ..report };
        assert_eq!(reported(store, report).await, Hosted::OtherHost);
    }
    assert_eq!(whole(store).await, before);
    let own = HostReport { bound: Some(two.no), ..host_report("f-2", vec![hosted(None, "a")]) };
    let (host, agents, _) = taken(store, own).await;
    assert_eq!((host.no, agents[0].parent), (two.no, Some(two.no)));
}

pub async fn bound_key_cannot_take_an_agent_of_another_host<S: Store>(store: &S) {
    numbered(store, 7, DEFAULT_TENANT).await;
    numbered(store, 8, DEFAULT_TENANT).await;
    taken(store, host_report("f-1", vec![hosted(Some(7), "a")])).await;
    let (two, ..) = taken(store, host_report("f-2", Vec::new())).await;
    let before = whole(store).await;
    let grab = host_report("f-2", vec![hosted(None, "b"), hosted(Some(7), "a")]);
    assert_eq!(reported(store, HostReport { bound: Some(two.no), ..grab }).await, Hosted::OtherAgent);
    assert_eq!(whole(store).await, before);
    // One that is on no host yet is nobody else's.
    let adopt = host_report("f-2", vec![hosted(Some(8), "a")]);
    let (_, agents, all) = taken(store, HostReport { bound: Some(two.no), ..adopt }).await;
    assert_eq!((agents[0].parent, all), (Some(two.no), vec![8]));
}

pub async fn tenant_key_moves_an_agent<S: Store>(store: &S) {
    numbered(store, 7, DEFAULT_TENANT).await;
    let (one, ..) = taken(store, host_report("f-1", vec![hosted(Some(7), "a")])).await;
    let (two, agents, all) = taken(store, host_report("f-2", vec![hosted(Some(7), "a")])).await;
    assert_eq!((agents[0].parent, all), (Some(two.no), vec![7]));
    let (host, _, left) = taken(store, host_report("f-1", Vec::new())).await;
    assert_eq!((host.no, left), (one.no, Vec::new()));
}

#[cfg(test)]
mod tests {
    /// A behaviour that is written and not listed would never run.
    #[test]
    fn every_behaviour_is_listed() {
        let source = include_str!("contract.rs");
        let (list, behaviours) = source.split_once("const OTHER_TENANT").unwrap();
        let listed = list.lines().filter(|line| line.starts_with("            ") && line.contains('_'));
        let mut listed: Vec<_> = listed.map(str::trim).filter(|line| !line.contains(' ')).collect();
        listed.sort_unstable();
        let parts = [
            include_str!("contract/by_hand.rs"),
            include_str!("contract/catalogue.rs"),
            include_str!("contract/fleet.rs"),
            include_str!("contract/hosts.rs"),
            include_str!("contract/journal.rs"),
            include_str!("contract/kept.rs"),
            include_str!("contract/standing.rs"),
        ];
        let lines = behaviours.lines().chain(parts.into_iter().flat_map(str::lines));
        let written = lines.filter_map(|line| line.strip_prefix("pub async fn "));
        let mut written: Vec<_> = written.filter_map(|line| line.split('<').next()).collect();
        written.sort_unstable();
        assert_eq!(listed, written);
    }
}
