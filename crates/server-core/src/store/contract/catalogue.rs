//! What every store must keep of what agents fetch.

use super::*;
use crate::domain::{Binary, FileKind, FilePlace, Freed, HeldFile};

fn file(byte: u8) -> HeldFile {
    HeldFile { sha256: [byte; 32], size: u64::from(byte) << 32 }
}

fn freed(kind: FileKind, byte: u8) -> Freed {
    Freed::Object(kind.object(&[byte; 32]))
}

fn held_release(version: &str, byte: u8) -> Release {
    Release {
        no: 0,
        tenant: DEFAULT_TENANT,
        version: version.to_owned(),
        os: "linux".to_owned(),
        arch: "amd64".to_owned(),
        sha256: [byte; 32],
        signature: [8; 64],
        size: 7,
        download_url: None,
        mandatory: false,
        created_at: at(0),
    }
}

pub async fn release_is_listed_and_removed_with_its_file<S: Store>(store: &S) {
    let first = store.add_release(held_release("1.0", 1)).await.expect("kept");
    let same = store.add_release(held_release("1.1", 1)).await.expect("kept");
    let elsewhere = Release { download_url: Some("https://x.example".to_owned()), ..held_release("1.2", 2) };
    let elsewhere = store.add_release(elsewhere).await.expect("kept");
    assert!(first.no < same.no && same.no < elsewhere.no);
    let list = store.releases(DEFAULT_TENANT).await.expect("read");
    assert_eq!(list, [elsewhere.clone(), same.clone(), first.clone()]);
    assert_eq!(store.releases(OTHER_TENANT).await.expect("read"), []);

    assert!(is_missing(&store.remove_release(OTHER_TENANT, same.no).await));
    assert_eq!(store.remove_release(DEFAULT_TENANT, elsewhere.no).await.expect("there"), Freed::No);
    assert_eq!(store.remove_release(DEFAULT_TENANT, same.no).await.expect("there"), Freed::No);
    let latest = store.latest_release(DEFAULT_TENANT, "linux".to_owned(), "amd64".to_owned());
    assert_eq!(latest.await.expect("read"), Some(first.clone()), "the one before is offered again");
    let last = store.remove_release(DEFAULT_TENANT, first.no).await.expect("there");
    assert_eq!(last, freed(FileKind::Release, 1));
    assert!(is_missing(&store.remove_release(DEFAULT_TENANT, first.no).await));
}

pub async fn model_that_is_held_goes_with_its_file_unless_it_is_wanted<S: Store>(store: &S) {
    let device = registered(store, "d-1").await;
    let held = |id: &str| Model { place: FilePlace::Held(file(3)), ..model(id) };
    store.add_model(held("m-1")).await.expect("the id is free");
    store.add_model(held("m-2")).await.expect("the id is free");
    store.add_model(model("m-0")).await.expect("the id is free");
    let list = store.models(DEFAULT_TENANT).await.expect("read");
    assert_eq!(list, [model("m-0"), held("m-1"), held("m-2")]);

    store.set_desired_model(device.no, "m-1".to_owned(), at(1)).await.expect("there");
    assert!(is_taken(&store.remove_model(DEFAULT_TENANT, "m-1".to_owned()).await));
    assert_eq!(store.models(DEFAULT_TENANT).await.expect("read").len(), 3, "nothing has changed");
    store.set_desired_model(device.no, "m-0".to_owned(), at(2)).await.expect("there");
    assert_eq!(store.remove_model(DEFAULT_TENANT, "m-1".to_owned()).await.expect("there"), Freed::No);
    let last = store.remove_model(DEFAULT_TENANT, "m-2".to_owned()).await.expect("there");
    assert_eq!(last, freed(FileKind::Model, 3));
    assert!(is_missing(&store.remove_model(DEFAULT_TENANT, "m-2".to_owned()).await));
    assert!(is_missing(&store.remove_model(OTHER_TENANT, "m-0".to_owned()).await));
}

pub async fn binary_is_replaced_by_the_next_of_its_name<S: Store>(store: &S) {
    let binary = |tenant, name: &str, byte, seconds| Binary {
        tenant,
        name: name.to_owned(),
        file: file(byte),
        created_at: at(seconds),
    };
    let named = |tenant, name: &str| store.binary(tenant, name.to_owned());
    let b1 = binary(DEFAULT_TENANT, "b", 1, 0);
    assert_eq!(store.put_binary(b1.clone()).await.expect("kept"), Freed::No);
    let theirs = binary(OTHER_TENANT, "b", 1, 0);
    assert_eq!(store.put_binary(theirs.clone()).await.expect("kept"), Freed::No);
    let again = binary(DEFAULT_TENANT, "b", 1, 1);
    assert_eq!(store.put_binary(again).await.expect("kept"), Freed::No, "the same file is in use");
    let other = binary(DEFAULT_TENANT, "b", 2, 2);
    assert_eq!(
        store.put_binary(other.clone()).await.expect("kept"),
        Freed::No,
        "so it is by the other tenant"
    );
    assert_eq!(named(DEFAULT_TENANT, "b").await.expect("read"), Some(other.clone()));
    assert_eq!(named(OTHER_TENANT, "b").await.expect("read"), Some(theirs));
    assert_eq!(named(DEFAULT_TENANT, "B").await.expect("read"), None);

    let a = binary(DEFAULT_TENANT, "a", 9, 3);
    store.put_binary(a.clone()).await.expect("kept");
    assert_eq!(store.binaries(DEFAULT_TENANT).await.expect("read"), [a, other]);
    let removed = store.remove_binary(OTHER_TENANT, "b".to_owned()).await.expect("there");
    assert_eq!(removed, freed(FileKind::Binary, 1));
    assert!(is_missing(&store.remove_binary(OTHER_TENANT, "b".to_owned()).await));
    let replaced = store.put_binary(binary(DEFAULT_TENANT, "a", 8, 4)).await.expect("kept");
    assert_eq!(replaced, freed(FileKind::Binary, 9));
}

pub async fn signing_key_is_kept_and_retired_once<S: Store>(store: &S) {
    assert_eq!(store.signing_keys().await.expect("read"), []);
    let foundation = Foundation { rotation: [1; 32], signing: [2; 32], operator: Digest([3; 32]) };
    for _ in 0..2 {
        store.found(foundation.clone()).await.expect("kept");
        let [first] = &store.signing_keys().await.expect("read")[..] else {
            panic!("the foundation's is the first")
        };
        assert_eq!((first.no, first.seed, first.created_at, first.retired_at), (1, [2; 32], None, None));
    }
    let second = store.add_signing_key([4; 32], at(5)).await.expect("kept");
    assert_eq!((second.no, second.seed, second.created_at), (2, [4; 32], Some(at(5))));
    assert!(is_missing(&store.retire_signing_key(3, at(6)).await));
    for seconds in [7, 8] {
        let retired = store.retire_signing_key(1, at(seconds)).await.expect("there");
        assert_eq!((retired.no, retired.retired_at), (1, Some(at(7))));
    }
    let keys = store.signing_keys().await.expect("read");
    assert_eq!(
        keys.iter().map(|key| (key.no, key.retired_at)).collect::<Vec<_>>(),
        [(1, Some(at(7))), (2, None)]
    );
}
