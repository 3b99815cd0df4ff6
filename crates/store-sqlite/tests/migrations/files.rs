//! Releases, models and the signing key from before files were held.

use fleetwire_server_core::domain::{DEFAULT_TENANT, FilePlace};
use fleetwire_server_core::keys::{Digest, Foundation};
use fleetwire_server_core::store::{Catalogue, Founding};
use fleetwire_store_sqlite::SqliteStore;

use crate::left_by;

#[tokio::test]
async fn what_was_registered_by_address_stays_and_the_foundation_signs_first() {
    let (_folder, path) = left_by(
        3,
        "INSERT INTO foundation (id, rotation, signing, operator)
         VALUES (1, zeroblob(32), unhex(replace(hex(zeroblob(32)), '00', '07')), zeroblob(32));
         INSERT INTO releases (tenant, version, os, arch, sha256, signature, size, download_url, mandatory,
             created_at)
         VALUES (1, '1.0', 'linux', 'amd64', zeroblob(32), zeroblob(64), 5, 'https://x.example/a', 1, 1000);
         INSERT INTO models (tenant, id, name, version, download_url, created_at)
         VALUES (1, 'm', 'n', '1', 'https://x.example/m', 1000);",
    );

    let store = SqliteStore::open(&path).unwrap();
    let release = store.latest_release(DEFAULT_TENANT, "linux".to_owned(), "amd64".to_owned());
    let release = release.await.unwrap().unwrap();
    assert_eq!((release.no, release.download_url.as_deref()), (1, Some("https://x.example/a")));
    assert!(release.mandatory);
    let models = store.models(DEFAULT_TENANT).await.unwrap();
    assert_eq!(models[0].place, FilePlace::Url("https://x.example/m".to_owned()));
    // A later start finds the secrets that are there.
    let fresh = Foundation { rotation: [1; 32], signing: [2; 32], operator: Digest([3; 32]) };
    let (kept, first) = store.found(fresh).await.unwrap();
    assert_eq!((kept.signing, first), ([7; 32], false));
    let keys = store.signing_keys().await.unwrap();
    assert_eq!(keys.iter().map(|key| (key.no, key.seed)).collect::<Vec<_>>(), [(1, [7; 32])]);
    assert_eq!((keys[0].created_at, keys[0].retired_at), (None, None));
    store.close().unwrap();
}
