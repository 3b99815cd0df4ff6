//! t
#[path = "changes/large.rs"]
mod large;
use fleetwire_spec::changes::*;
use fleetwire_spec::document::Document;
use fleetwire_spec::inclusion::{Prover, Settings};
use std::time::Instant;
#[test]
fn time() {
    for n in [330] {
        let t = [large::document(n, false).to_string(), large::document(n, true).to_string()];
        let d = [0, 1].map(|i| Document::parse("l.json", t[i].as_bytes()).unwrap());
        let s = Instant::now();
        let c = compare(&d[0], &d[1], &Options::default(), &mut Prover::new(Settings::default())).unwrap();
        println!("{n} ops {} kB diff {:?} questions {} findings {}", t[0].len() / 1000, s.elapsed(), c.questions, c.findings.len());
    }
    for n in [20usize, 40, 80] {
        let t = [0, 1].map(|g| {
            let mut v = large::document(n, g == 1);
            for i in 0..n {
                for (k, j) in [(i + 1) % n, (i + 7) % n, (i * 3) % n].into_iter().enumerate() {
                    v["components"]["schemas"][format!("resource{i}")]["properties"][format!("link{k}")] =
                        serde_json::json!({"anyOf": [{"type": "string"}, {"$ref": format!("#/components/schemas/resource{j}")}]});
                }
            }
            v.to_string()
        });
        let d = [0, 1].map(|i| Document::parse("l.json", t[i].as_bytes()).unwrap());
        let s = Instant::now();
        let c = compare(&d[0], &d[1], &Options::default(), &mut Prover::new(Settings::default())).unwrap();
        let worst = c.findings.iter().filter(|f| !f.reasons.is_empty()).count();
        println!("linked {n} ops {} kB diff {:?} questions {} findings {} undecided {worst}", t[0].len() / 1000, s.elapsed(), c.questions, c.findings.len());
    }
}
