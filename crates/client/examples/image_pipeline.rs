//! A camera that runs a model: it is provisioned, fetches the models that it is given, and says what it has seen.
//!
//! `cargo run -p fleetwire-client --example image_pipeline --features ureq -- URL TOKEN DEVICE FOLDER < seen`
//!
//! A line of `seen` is an image that lies in the store already, and what was found on it: storage key, width, height,
//! class, confidence, and the centre, width and height of the box as shares of the image.

use std::error::Error;
use std::fs;
use std::io::{BufRead, stdin};
use std::path::PathBuf;
use std::thread;

use fleetwire_client::UreqTransport;
use fleetwire_client::acusight::{Acusight, Agent};
use fleetwire_client::download::Download;
use fleetwire_client::protocol::acusight::{
    AnnotationData, CheckinRequest, DeviceAction, ImageNotificationRequest,
};
use fleetwire_client::work::{Context, WorkError};

fn main() -> Result<(), Box<dyn Error>> {
    let [url, token, device, folder] = &std::env::args().skip(1).collect::<Vec<_>>()[..] else {
        return Err("image_pipeline URL TOKEN DEVICE FOLDER".into());
    };
    let (folder, device) = (PathBuf::from(folder), device.clone());
    fs::create_dir_all(&folder)?;
    let (models, current) = (folder.join("models"), folder.join("current-model"));
    fs::create_dir_all(&models)?;

    let (name, known) = (device.clone(), current.clone());
    let report = move || {
        let mut report = CheckinRequest::new(name.as_str());
        // The server takes the update for done when it reads this.
        report.current_model_id = fs::read_to_string(&known).ok().map(Into::into);
        report
    };
    let update = move |action: &DeviceAction, context: &Context<Acusight>| {
        let failed = |error: &dyn Error| WorkError::Failed(error.to_string());
        let (Some(model), Some(url)) = (&action.model_id, &action.download_url) else {
            return Err(WorkError::Refused("it names no model or no address".to_owned()));
        };
        let context = context.clone();
        let download = Download::at(url, &models, "model").map_err(|error| failed(&error))?;
        let download = download.limit(1 << 30).stop_if(move || context.is_called_off());
        let transport = UreqTransport::new().map_err(|error| failed(&error))?;
        download.fetch_blocking(&transport).map_err(|error| failed(&error))?;
        fs::write(&current, model.as_str()).map_err(|error| failed(&error))
    };
    let agent = Agent::provision(url, token.as_str(), device.as_str())?
        .describe(|info| info.name = Some("camera".to_owned()))
        .report(report)
        .on("model_update", update);

    let handle = agent.handle();
    thread::spawn(move || {
        for line in stdin().lock().lines().map_while(Result::ok) {
            if let Some(image) = seen(&device, &line) {
                // It waits on the disk until the server has taken it.
                handle.post(image);
            }
        }
    });
    agent.run_blocking_in(folder.join("state"))?;
    Ok(())
}

/// Reads a line; `None` if it is none of ours.
fn seen(device: &str, line: &str) -> Option<ImageNotificationRequest> {
    let words: Vec<_> = line.split_whitespace().collect();
    let [key, width, height, class, figures @ ..] = &words[..] else { return None };
    let filename = key.rsplit('/').next()?;
    let mut image =
        ImageNotificationRequest::new(device, filename, *key, width.parse().ok()?, height.parse().ok()?);
    let figures: Vec<f64> = figures.iter().map(|figure| figure.parse().ok()).collect::<Option<_>>()?;
    let [confidence, x, y, width, height] = figures[..] else { return None };
    let mut found = AnnotationData::default();
    found.class_value = Some((*class).to_owned());
    found.confidence = Some(confidence.into());
    (found.x_center, found.y_center) = (Some(x.into()), Some(y.into()));
    (found.width, found.height) = (Some(width.into()), Some(height.into()));
    image.annotations.push(found);
    Some(image)
}
