use std::collections::HashMap;
use std::fmt;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, ValidationError, Validator};
use serde_json::Value;

use super::bundle::Bundle;
use crate::document::Dialect;
use crate::schema::{Arena, Lexicon, SchemaId};

/// Where a schema comes from.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    /// From a document (its number) and a place in it.
    Read(usize, String),
    All(Vec<SchemaId>),
    Any(Vec<SchemaId>),
    Not(SchemaId),
    /// From another, by a change that only takes away.
    Narrowed(SchemaId),
}

/// The second judge: the `jsonschema` crate on what stands in the documents, not on what was made of it here.
#[derive(Default)]
pub(super) struct Judge {
    pub(super) origins: HashMap<SchemaId, Origin>,
    read: HashMap<SchemaId, Option<(Validator, Bundle)>>,
    exported: HashMap<SchemaId, Option<Validator>>,
}

/// What the judge looks at.
pub(super) struct Files<'a> {
    pub(super) arena: &'a Arena,
    pub(super) lexicons: &'a mut [Lexicon],
    /// Whether formats are demands.
    pub(super) formats: bool,
}

/// Where a document is refused.
pub(super) struct Refusal {
    pub(super) pointer: String,
    pub(super) keyword: String,
    pub(super) schema: String,
}

impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Judge").field("origins", &self.origins).finish_non_exhaustive()
    }
}

impl Judge {
    /// Whether a schema accepts a value; `None` if that cannot be judged.
    pub(super) fn accepts(&mut self, files: &mut Files<'_>, schema: SchemaId, value: &Value) -> Option<bool> {
        self.accepts_within(files, schema, value, 0)
    }

    fn accepts_within(
        &mut self,
        files: &mut Files<'_>,
        schema: SchemaId,
        value: &Value,
        depth: usize,
    ) -> Option<bool> {
        if depth > 100 {
            return None;
        }
        let next = depth + 1;
        match self.origins.get(&schema).cloned() {
            Some(Origin::Read(document, pointer)) => {
                let judged = self.read(files, schema, document, &pointer)?;
                Some(judged.0.is_valid(value))
            }
            Some(Origin::All(parts)) => parts
                .into_iter()
                .try_fold(true, |all, part| Some(all & self.accepts_within(files, part, value, next)?)),
            Some(Origin::Any(parts)) => parts
                .into_iter()
                .try_fold(false, |any, part| Some(any | self.accepts_within(files, part, value, next)?)),
            Some(Origin::Not(inner)) => Some(!self.accepts_within(files, inner, value, next)?),
            Some(Origin::Narrowed(inner)) => {
                Some(self.accepts_within(files, inner, value, next)? && self.exported(files, schema, value)?)
            }
            None => self.exported(files, schema, value),
        }
    }

    fn read(
        &mut self,
        files: &mut Files<'_>,
        schema: SchemaId,
        document: usize,
        pointer: &str,
    ) -> Option<&(Validator, Bundle)> {
        let formats = files.formats;
        make_room(&mut self.read, schema);
        self.read
            .entry(schema)
            .or_insert_with(|| {
                let lexicon = files.lexicons.get_mut(document)?;
                let draft = match lexicon.dialect {
                    Dialect::Draft07 => Draft::Draft7,
                    _ => Draft::Draft202012,
                };
                let bundle = Bundle::new(lexicon, pointer)?;
                Some((validator(&bundle.schema, draft, formats)?, bundle))
            })
            .as_ref()
    }

    fn exported(&mut self, files: &Files<'_>, schema: SchemaId, value: &Value) -> Option<bool> {
        make_room(&mut self.exported, schema);
        let validator = self
            .exported
            .entry(schema)
            .or_insert_with(|| validator(&files.arena.export(schema)?, Draft::Draft202012, files.formats));
        Some(validator.as_ref()?.is_valid(value))
    }

    /// Where and why a schema that was read refuses a value.
    pub(super) fn refusal(
        &mut self,
        files: &mut Files<'_>,
        schema: SchemaId,
        value: &Value,
    ) -> Option<Refusal> {
        let Some(Origin::Read(document, pointer)) = self.origins.get(&schema).cloned() else { return None };
        let (validator, bundle) = self.read(files, schema, document, &pointer)?;
        let errors: Vec<_> = validator.iter_errors(value).collect();
        let error = meant(errors.first()?);
        let place = bundle.place(error.schema_path().as_str());
        Some(Refusal {
            pointer: error.instance_path().as_str().to_owned(),
            keyword: error.kind().keyword().to_owned(),
            schema: place.unwrap_or(pointer),
        })
    }
}

/// Validators that are kept: each may hold all the schemas of a document.
const KEPT: usize = 16;

fn make_room<T>(kept: &mut HashMap<SchemaId, T>, wanted: SchemaId) {
    if kept.len() >= KEPT && !kept.contains_key(&wanted) {
        kept.clear();
    }
}

fn validator(schema: &Value, draft: Draft, formats: bool) -> Option<Validator> {
    jsonschema::options().with_draft(draft).should_validate_formats(formats).build(schema).ok()
}

/// The fault that an alternative finds which the value was meant for, where there is but one: of those that do not
/// refuse the value for being of another type, the one that finds the fewest faults.
fn meant<'e>(error: &'e ValidationError<'e>) -> &'e ValidationError<'e> {
    let (ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context }) =
        error.kind()
    else {
        return error;
    };
    let at = error.instance_path().as_str();
    let is_other = |branch: &&Vec<ValidationError<'_>>| {
        branch.iter().any(|error| {
            let kind = error.kind();
            error.instance_path().as_str() == at
                && matches!(kind, ValidationErrorKind::Type { .. } | ValidationErrorKind::Constant { .. })
        })
    };
    let meant_for: Vec<_> = context.iter().filter(|branch| !is_other(branch)).collect();
    let fewest = meant_for.iter().map(|branch| branch.len()).min();
    let mut best = meant_for.iter().filter(|branch| Some(branch.len()) == fewest);
    match (best.next(), best.next()) {
        (Some(branch), None) => branch.first().map_or(error, meant),
        _ => error,
    }
}
