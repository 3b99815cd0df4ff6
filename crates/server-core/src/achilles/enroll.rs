use std::collections::BTreeMap;

use fleetwire_protocol::Fault;
use fleetwire_protocol::achilles::{AgentKey, Answer, Enroll, EnrollData};
use fleetwire_validation::Checked;
use serde_json::{Map, json};

use super::organisation;
use crate::catalogue::RELEASE_KEY;
use crate::domain::{DEFAULT_TENANT, Enrolment, Kind, NewAgent, Vendor};
use crate::keys::Digest;
use crate::store::Store;
use crate::{Core, Handle, Origin};

impl<S: Store> Handle<Enroll> for Core<S> {
    async fn handle(
        &self,
        (): (),
        origin: &Origin<'_>,
        call: Checked<Enroll>,
    ) -> Result<Answer<EnrollData>, Fault> {
        let at = call.at();
        let request = call.into_inner().body;
        let key = AgentKey::from(self.mint(AgentKey::PREFIX));
        let mut facts = Map::new();
        facts.insert("hostname".to_owned(), json!(request.hostname));
        facts.insert("os".to_owned(), json!(request.os));
        facts.insert("arch".to_owned(), json!(request.arch));
        facts.insert(RELEASE_KEY.to_owned(), json!(self.release_key()));
        let enrolment = Enrolment {
            token: Digest::of(request.token.expose()),
            identity: json!([request.hostname, request.os, request.arch]).to_string(),
            repeat_within: self.config.repeat_enrolment_within,
            agent: NewAgent {
                // The store puts the token's tenant here.
                tenant: DEFAULT_TENANT,
                vendor: Vendor::Achilles,
                kind: Kind::Agent,
                no: None,
                id: Some(self.new_id()),
                parent: None,
                name: request.hostname,
                version: Some(request.agent_version),
                facts,
                labels: BTreeMap::new(),
                key: Some(Digest::of(key.expose())),
                at,
            },
        };
        let agent = self.enroll(enrolment).await?;

        let mut data = EnrollData::new(agent.id.as_str(), key);
        let release_key = self.release_key_of(&agent);
        data.public_key = Some(release_key.clone());
        data.update_public_key = Some(release_key);
        data.org_id = Some(organisation(agent.tenant));
        data.server_url = Some(origin.url());
        data.poll_interval = u32::try_from(self.config.poll_interval.as_secs()).ok();
        Ok(Answer::new(data))
    }
}
