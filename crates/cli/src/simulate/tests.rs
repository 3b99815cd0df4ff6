use super::*;

fn base(url: &str, is_root: bool, vendor: Vendor) -> Result<String> {
    Address::read(url, is_root)?.of(vendor, None)
}

#[test]
fn with_an_operators_token_any_address_of_the_server_leads_to_each_vendor() {
    for url in [
        "http://h:1",
        "http://h:1/",
        " http://h:1/achilles ",
        "http://h:1/acusight/api/",
        "http://h:1/agentmc/api/v1",
    ] {
        assert_eq!(Address::read(url, true).unwrap().root(), "http://h:1", "{url}");
        assert_eq!(base(url, true, Vendor::Acusight).unwrap(), "http://h:1/acusight/api");
        assert_eq!(base(url, true, Vendor::ZStack).unwrap(), "http://h:1/zstack");
    }
    assert_eq!(base("http://h:1/fleet", true, Vendor::Achilles).unwrap(), "http://h:1/fleet/achilles");
}

#[test]
fn without_one_the_address_is_the_base_as_it_is() {
    assert_eq!(base("http://h:1/api/", false, Vendor::Acusight).unwrap(), "http://h:1/api");
    assert_eq!(base("http://h:1", false, Vendor::Acusight).unwrap(), "http://h:1");
}

#[test]
fn agents_report_to_where_they_are_known_if_that_is_where_the_address_leads() {
    let address = Address::read("http://h:1/acusight/api", false).unwrap();
    let known = Some("http://h:1/acusight/api");
    assert_eq!(address.of(Vendor::Acusight, known).unwrap(), "http://h:1/acusight/api");
    // By the address of the server alone, which no token says to be one.
    let address = Address::read("http://h:1", false).unwrap();
    assert_eq!(address.of(Vendor::Acusight, known).unwrap(), "http://h:1/acusight/api");
    let elsewhere = address.of(Vendor::Acusight, Some("http://other/acusight/api")).unwrap_err().to_string();
    assert!(elsewhere.contains("known at http://other/acusight/api"), "{elsewhere}");
}

#[test]
fn agents_that_do_not_divide_fall_to_the_first() {
    assert_eq!([0, 1, 2, 3].map(|place| share_of(10, place, 4)), [3, 3, 2, 2]);
    assert_eq!([0, 1, 2, 3].map(|place| share_of(1, place, 4)), [1, 0, 0, 0]);
}

#[test]
fn times_are_seconds_or_have_a_unit() {
    for (text, millis) in [("60", 60_000), ("0.5", 500), ("90s", 90_000), ("10m", 600_000), ("1h", 3_600_000)]
    {
        assert_eq!(seconds(text), Ok(Duration::from_millis(millis)), "{text}");
    }
    for text in ["", "-1", "0", "s", "1e99", "NaN", "inf", "5x", "ü", "31000m0"] {
        assert!(seconds(text).is_err(), "{text}");
    }
    assert_eq!(seconds_or_none("0"), Ok(Duration::ZERO));
    assert!(seconds("721h").is_err());
}

#[test]
fn figures_out_of_range_are_refused() {
    assert!(rate("0").is_err() && rate("-1").is_err() && rate("NaN").is_err() && rate("1e8").is_err());
    assert_eq!(rate("2.5"), Ok(2.5));
    assert!(share("1.1").is_err() && share("NaN").is_err());
    assert_eq!(share("0.01"), Ok(0.01));
}

#[tokio::test]
async fn a_token_says_whose_it_is_or_is_told_whose() {
    let tokens =
        |given: &[&str]| Tokens::new(&given.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
    let several = tokens(&["apt_1", " acht_2", "zstack=t=3", ""]).unwrap();
    assert!(several.operator().is_none());
    let of = async |vendor| several.of(vendor, false, "http://h:1", 1).await;
    assert_eq!(of(Vendor::Acusight).await.unwrap(), "apt_1");
    assert_eq!(of(Vendor::Achilles).await.unwrap(), "acht_2");
    assert_eq!(of(Vendor::ZStack).await.unwrap(), "t=3");
    let missing = of(Vendor::AgentMc).await.unwrap_err().to_string();
    assert!(missing.contains("fleetwire keys create agentmc"), "{missing}");

    let other = tokens(&["whatever"]).unwrap();
    assert_eq!(other.of(Vendor::AgentMc, true, "", 1).await.unwrap(), "whatever");
    assert!(other.of(Vendor::AgentMc, false, "", 1).await.is_err());
    assert_eq!(tokens(&["fwo_1"]).unwrap().operator(), Some("fwo_1"));
    for twice in [["apt_1", "apt_2"], ["fwo_1", "fwo_2"], ["a", "b"]] {
        let error = tokens(&twice).err().unwrap().to_string();
        assert!(!error.contains(twice[0]) || twice[0] == "a", "{error}");
    }
}
