//! What kinds of objects a document consists of, and where each of them stands.

use std::collections::{BTreeSet, VecDeque};

use crate::document::{Dialect, Document, Place, ReferenceError};

/// A kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Document,
    Components,
    PathItem,
    Operation,
    Parameter,
    Header,
    RequestBody,
    Response,
    MediaType,
    Encoding,
    Example,
    SecurityScheme,
    Link,
    Callback,
    Schema,
}

/// How a member holds objects of a kind.
#[derive(Clone, Copy)]
enum Holds {
    /// It is one.
    One,
    /// It is a list of them.
    List,
    /// It is an object of them by name.
    Names,
    /// It is an object of them by name, in which extensions may stand.
    NamesAndExtensions,
    /// It is one, or a list of them.
    OneOrList,
    /// It is an object of them and of lists of texts.
    NamesOrLists,
}

use Holds::{List, Names, NamesAndExtensions, NamesOrLists, One, OneOrList};

const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

const SCHEMA: &[(&str, Holds)] = &[
    ("$defs", Names),
    ("additionalItems", One),
    ("additionalProperties", One),
    ("allOf", List),
    ("anyOf", List),
    ("contains", One),
    ("contentSchema", One),
    ("definitions", Names),
    ("dependencies", NamesOrLists),
    ("dependentSchemas", Names),
    ("else", One),
    ("if", One),
    ("items", OneOrList),
    ("not", One),
    ("oneOf", List),
    ("patternProperties", Names),
    ("prefixItems", List),
    ("properties", Names),
    ("propertyNames", One),
    ("then", One),
    ("unevaluatedItems", One),
    ("unevaluatedProperties", One),
];

const fn members(kind: Kind) -> &'static [(&'static str, Holds, Kind)] {
    match kind {
        Kind::Document => &[
            ("components", One, Kind::Components),
            ("paths", NamesAndExtensions, Kind::PathItem),
            ("webhooks", Names, Kind::PathItem),
        ],
        Kind::Components => &[
            ("callbacks", Names, Kind::Callback),
            ("examples", Names, Kind::Example),
            ("headers", Names, Kind::Header),
            ("links", Names, Kind::Link),
            ("parameters", Names, Kind::Parameter),
            ("pathItems", Names, Kind::PathItem),
            ("requestBodies", Names, Kind::RequestBody),
            ("responses", Names, Kind::Response),
            ("schemas", Names, Kind::Schema),
            ("securitySchemes", Names, Kind::SecurityScheme),
        ],
        Kind::PathItem => &[
            ("delete", One, Kind::Operation),
            ("get", One, Kind::Operation),
            ("head", One, Kind::Operation),
            ("options", One, Kind::Operation),
            ("parameters", List, Kind::Parameter),
            ("patch", One, Kind::Operation),
            ("post", One, Kind::Operation),
            ("put", One, Kind::Operation),
            ("trace", One, Kind::Operation),
        ],
        Kind::Operation => &[
            ("callbacks", Names, Kind::Callback),
            ("parameters", List, Kind::Parameter),
            ("requestBody", One, Kind::RequestBody),
            ("responses", NamesAndExtensions, Kind::Response),
        ],
        Kind::Parameter | Kind::Header => &[
            ("content", Names, Kind::MediaType),
            ("examples", Names, Kind::Example),
            ("schema", One, Kind::Schema),
        ],
        Kind::RequestBody => &[("content", Names, Kind::MediaType)],
        Kind::Response => &[
            ("content", Names, Kind::MediaType),
            ("headers", Names, Kind::Header),
            ("links", Names, Kind::Link),
        ],
        Kind::MediaType => &[
            ("encoding", Names, Kind::Encoding),
            ("examples", Names, Kind::Example),
            ("schema", One, Kind::Schema),
        ],
        Kind::Encoding => &[("headers", Names, Kind::Header)],
        Kind::Example | Kind::SecurityScheme | Kind::Link | Kind::Callback | Kind::Schema => &[],
    }
}

/// The objects of a document, each once, however often it is referred to.
pub(super) struct Outline<'a> {
    /// In the order in which they are met from the root. References are objects of the kind that they refer to.
    pub(super) objects: Vec<(Kind, Place<'a>)>,
    /// References that lead nowhere.
    pub(super) broken: Vec<ReferenceError>,
}

impl<'a> Outline<'a> {
    pub(super) fn of(document: &'a Document) -> Self {
        let root = if document.dialect().is_openapi() { Kind::Document } else { Kind::Schema };
        let mut outline = Self { objects: Vec::new(), broken: Vec::new() };
        let mut seen = BTreeSet::new();
        let mut waiting = VecDeque::from([(root, document.root())]);
        while let Some((kind, place)) = waiting.pop_front() {
            if !seen.insert((kind, place.pointer().to_owned())) {
                continue;
            }
            outline.look(kind, &place, &mut waiting);
            outline.objects.push((kind, place));
        }
        outline
    }

    fn look(&mut self, kind: Kind, place: &Place<'a>, waiting: &mut VecDeque<(Kind, Place<'a>)>) {
        if let Some(target) = place.text("$ref") {
            match place.follow(target) {
                Ok(target) => {
                    if let Err(error) = place.resolved() {
                        self.broken.push(error);
                    }
                    waiting.push_back((kind, target));
                }
                Err(error) => self.broken.push(error),
            }
            // Nothing stands beside a reference but in a schema and a path item of newer versions.
            let alone = matches!(place.document().dialect(), Dialect::OpenApi30 | Dialect::Draft07);
            if (kind != Kind::Schema || alone) && kind != Kind::PathItem {
                return;
            }
        }
        if let (Kind::Schema, Some(target)) = (kind, place.text("$dynamicRef")) {
            match place.follow(target) {
                Ok(target) => waiting.push_back((kind, target)),
                Err(error) => self.broken.push(error),
            }
        }
        let mut queue = |kind: Kind, place: Option<Place<'a>>| {
            waiting.extend(place.into_iter().map(|place| (kind, place)));
        };
        match kind {
            Kind::Schema => {
                for (member, holds) in SCHEMA {
                    held(place.get(member), *holds, |place| queue(kind, Some(place)));
                }
            }
            // Its keys are expressions.
            Kind::Callback => {
                for (name, item) in place.members().filter(|(name, _)| !name.starts_with("x-")) {
                    if name != "$ref" {
                        queue(Kind::PathItem, Some(item));
                    }
                }
            }
            _ => {
                for (member, holds, inner) in members(kind) {
                    held(place.get(member), *holds, |place| queue(*inner, Some(place)));
                }
            }
        }
    }

    /// The objects of a kind that are no references.
    pub(super) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Place<'a>> {
        let whole = move |(other, place): &&(Kind, Place<'a>)| *other == kind && place.text("$ref").is_none();
        self.objects.iter().filter(whole).map(|(_, place)| place)
    }

    /// The schemas, references among them.
    pub(super) fn schemas(&self) -> impl Iterator<Item = &Place<'a>> {
        self.objects.iter().filter(|(kind, _)| *kind == Kind::Schema).map(|(_, place)| place)
    }
}

fn held<'a>(member: Option<Place<'a>>, holds: Holds, mut each: impl FnMut(Place<'a>)) {
    let Some(member) = member else { return };
    match holds {
        OneOrList if member.value().is_array() => member.items().for_each(each),
        One | OneOrList => each(member),
        List => member.items().for_each(each),
        Names => member.members().for_each(|(_, place)| each(place)),
        NamesAndExtensions => {
            member.members().filter(|(name, _)| !name.starts_with("x-")).for_each(|(_, place)| each(place));
        }
        NamesOrLists => {
            member
                .members()
                .filter(|(_, place)| !place.value().is_array())
                .for_each(|(_, place)| each(place));
        }
    }
}

/// The operations of a path item.
pub(super) fn operations<'a>(item: &Place<'a>) -> impl Iterator<Item = (&'static str, Place<'a>)> {
    let item = item.clone();
    METHODS.into_iter().filter_map(move |method| Some((method, item.get(method)?)))
}
