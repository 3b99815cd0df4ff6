//! Tokens that were made when each had a time and a number of uses.

use fleetwire_server_core::domain::DEFAULT_TENANT;
use fleetwire_server_core::store::Keys;
use fleetwire_store_sqlite::SqliteStore;

use crate::{at, left_by};

#[tokio::test]
async fn tokens_of_an_earlier_version_keep_their_bounds_and_know_their_last_use() {
    let (_folder, path) = left_by(
        3,
        "INSERT INTO agents (no, tenant, vendor, kind, id, name, facts, labels, disabled, activated, rotation,
             rotating, created_at, updated_at)
         VALUES (1, 1, 'achilles', 'agent', 'a', 'a', '{}', '{}', 0, 1, 0, 0, 0, 0);
         INSERT INTO tokens (no, digest, id, tenant, vendor, expires_at, max_uses, uses, revoked, created_at)
         VALUES (1, x'00', 'unused', 1, 'achilles', 9000, 3, 0, 0, 1000),
                (2, x'01', 'used', 1, 'achilles', 8000, 2, 2, 1, 2000);
         INSERT INTO enrolments (token, identity, agent, at) VALUES (2, 'x', 1, 3000), (2, 'y', 1, 4000);",
    );

    let store = SqliteStore::open(&path).unwrap();
    let tokens = store.tokens(DEFAULT_TENANT).await.unwrap();
    let ids: Vec<_> = tokens.iter().map(|token| token.id.as_str()).collect();
    assert_eq!(ids, ["used", "unused"]);
    assert_eq!((tokens[0].expires_at, tokens[0].max_uses, tokens[0].uses), (Some(at(8000)), Some(2), 2));
    assert_eq!((tokens[0].last_used_at, tokens[0].revoked), (Some(at(4000)), true));
    assert_eq!(
        (tokens[1].expires_at, tokens[1].max_uses, tokens[1].last_used_at),
        (Some(at(9000)), Some(3), None)
    );
    store.close().unwrap();
}
