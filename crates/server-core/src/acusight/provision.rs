use std::collections::BTreeMap;

use fleetwire_protocol::Fault;
use fleetwire_protocol::acusight::{Acusight, DeviceKey, Enveloped, Provision, ProvisionData};
use fleetwire_validation::Checked;
use serde_json::{Map, json};

use crate::domain::{DEFAULT_TENANT, Enrolment, Kind, NewAgent, Vendor};
use crate::keys::Digest;
use crate::store::Store;
use crate::{Core, Handle, Origin};

impl<S: Store> Handle<Provision> for Core<S> {
    async fn handle(
        &self,
        (): (),
        origin: &Origin<'_>,
        call: Checked<Provision>,
    ) -> Result<Enveloped<ProvisionData>, Fault> {
        let at = call.at();
        let request = call.into_inner().body;
        let device = request.device_info;
        let key = DeviceKey::from(self.mint(DeviceKey::PREFIX));
        let mut facts = Map::new();
        if !device.extra.0.is_empty() {
            facts.insert("device_info".to_owned(), json!(device.extra));
        }
        if let Some(address) = device.ip_address {
            facts.insert("ip_address".to_owned(), json!(address));
        }
        let enrolment = Enrolment {
            token: Digest::of(request.token.expose()),
            identity: json!([device.device_id]).to_string(),
            repeat_within: self.config.repeat_enrolment_within,
            agent: NewAgent {
                // The store puts the token's tenant here.
                tenant: DEFAULT_TENANT,
                vendor: Vendor::Acusight,
                kind: Kind::Agent,
                no: None,
                id: Some(device.device_id.as_str().to_owned()),
                parent: None,
                name: device.name.unwrap_or_else(|| format!("device {}", device.device_id.as_str())),
                version: device.agent_version,
                facts,
                labels: BTreeMap::new(),
                key: Some(Digest::of(key.expose())),
                at,
            },
        };
        let agent = self.enroll(enrolment).await?;
        // Devices add the paths of the operations to it.
        let endpoint = format!("{}{}", origin.url(), <Acusight as fleetwire_protocol::Vendor>::BASE);
        Ok(Enveloped::new(ProvisionData::new(agent.id.as_str(), key, endpoint)))
    }
}
