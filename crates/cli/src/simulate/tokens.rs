//! What takes agents in.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use fleetwire_client::ReqwestTransport;
use fleetwire_server_core::domain::Vendor;
use http::Method;
use serde_json::{Value, json};

use crate::operator::Api;

/// What tokens and keys of each vendor begin with.
const BEGINNINGS: [(&str, Vendor); 4] = [
    ("acht_", Vendor::Achilles),
    ("apt_", Vendor::Acusight),
    ("zsk_", Vendor::ZStack),
    ("cc_", Vendor::AgentMc),
];
/// How long a token lives that is made for a run, in seconds.
const TOKEN_LIVES: u32 = 3600;
/// The most agents that a token can be made for; beyond that it is made for any number.
const MOST_USES: usize = 100_000;

/// The tokens that were given. Nothing of them is shown.
pub(super) struct Tokens {
    operator: Option<String>,
    vendors: BTreeMap<Vendor, String>,
    /// One that does not say whose it is.
    other: Option<String>,
}

impl Tokens {
    pub(super) fn new(given: &[String]) -> Result<Self> {
        let mut tokens = Self { operator: None, vendors: BTreeMap::new(), other: None };
        for text in given.iter().map(|text| text.trim()).filter(|text| !text.is_empty()) {
            let named = text.split_once('=').and_then(|(name, token)| Some((Vendor::parse(name)?, token)));
            let known = || BEGINNINGS.iter().find(|(beginning, _)| text.starts_with(beginning));
            let before = if let Some((vendor, token)) = named {
                tokens.vendors.insert(vendor, token.to_owned())
            } else if text.starts_with("fwo_") {
                tokens.operator.replace(text.to_owned())
            } else if let Some((_, vendor)) = known() {
                tokens.vendors.insert(*vendor, text.to_owned())
            } else {
                tokens.other.replace(text.to_owned())
            };
            if before.is_some() {
                bail!("two tokens are for the same; VENDOR=TOKEN says whose one is");
            }
        }
        Ok(tokens)
    }

    pub(super) fn operator(&self) -> Option<&str> {
        self.operator.as_deref()
    }

    /// What takes in agents of a vendor: what was given, or what an operator has made for it.
    pub(super) async fn of(
        &self,
        vendor: Vendor,
        is_only: bool,
        root: &str,
        missing: usize,
    ) -> Result<String> {
        let other = self.other.as_ref().filter(|_| is_only);
        if let Some(token) = self.vendors.get(&vendor).or(other) {
            return Ok(token.clone());
        }
        let Some(operator) = &self.operator else {
            let made_by = match vendor {
                Vendor::Achilles | Vendor::Acusight => "tokens",
                Vendor::ZStack | Vendor::AgentMc => "keys",
            };
            bail!(
                "no token for agents of {vendor}: pass one by --token or FLEETWIRE_TOKEN, made by `fleetwire {made_by} create \
                 {vendor}`, or an operator's token, with which this makes its own"
            );
        };
        let api = Api::new(root, Some(operator), ReqwestTransport::new().context("TLS cannot be set up")?)?;
        let (path, member, wish) = match vendor {
            Vendor::Achilles | Vendor::Acusight => {
                let uses = (missing <= MOST_USES).then_some(missing);
                (
                    "tokens",
                    "token",
                    json!({"vendor": vendor.as_str(), "ttl_seconds": TOKEN_LIVES, "max_uses": uses}),
                )
            }
            Vendor::ZStack | Vendor::AgentMc => ("keys", "key", json!({"vendor": vendor.as_str()})),
        };
        let made = api.send(Method::POST, &[path], &wish).await?;
        made.get(member)
            .and_then(Value::as_str)
            .map(str::to_owned)
            .with_context(|| format!("the server made no {member} for agents of {vendor}"))
    }
}
