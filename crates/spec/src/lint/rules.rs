use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::finding::Severity;

/// What the table says of a rule.
struct Row {
    id: &'static str,
    severity: Severity,
    statement: &'static str,
    advice: &'static str,
}

macro_rules! rules {
    ($($name:ident = $id:literal, $severity:ident, $statement:literal, $advice:literal;)+) => {
        /// What is looked for in one document. The ids are stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum LintRule { $(#[doc = $statement] $name,)+ }

        impl LintRule {
            /// Every rule, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            const fn row(self) -> &'static Row {
                match self {
                    $(Self::$name => &Row {
                        id: $id,
                        severity: Severity::$severity,
                        statement: $statement,
                        advice: $advice,
                    },)+
                }
            }
        }
    };
}

// Name = id, severity, statement, advice.
rules! {
    ReferenceUnresolved = "reference-unresolved", Error,
        "A reference leads nowhere, in a circle or onto a network.",
        "correct the reference";
    SchemaUnreadable = "schema-unreadable", Error,
        "A schema cannot be read.",
        "correct the schema";
    FieldMissing = "field-missing", Error,
        "An object lacks a field that OpenAPI demands of it.",
        "add the field";

    ExampleInvalid = "example-invalid", Error,
        "An example does not satisfy its own schema.",
        "correct the example, or the schema if the example is right";
    DefaultInvalid = "default-invalid", Error,
        "A default does not satisfy its own schema.",
        "correct the default, or the schema if the default is right";
    ExampleUnchecked = "example-unchecked", Info,
        "An example cannot be held against its schema: it is in another file, or in a media type that is no JSON.",
        "nothing; make sure by hand that it is right";

    SchemaUnsatisfiable = "schema-unsatisfiable", Error,
        "No document satisfies a schema.",
        "find the two demands that contradict each other";
    RequiredUnknown = "required-unknown", Error,
        "A member is required that the object, being closed, refuses.",
        "name the member among the properties, or do not require it";
    EnumType = "enum-type", Error,
        "A word of an enum is of another type than the schema, so that it can never be sent.",
        "quote the word, or correct the type";
    PatternMalformed = "pattern-malformed", Error,
        "A pattern is no regular expression.",
        "correct the pattern";
    FormatType = "format-type", Warning,
        "A format is about another type than the schema, so that it says nothing.",
        "correct the type or the format";
    OneOfOverlap = "one-of-overlap", Warning,
        "A document satisfies two branches of a `oneOf`, which refuses it therefore.",
        "tell the branches apart by a required member with a `const`, or write `anyOf`";
    NullableWithoutType = "nullable-without-type", Warning,
        "`nullable` stands in a schema without `type`, where OpenAPI 3.0 gives it no meaning.",
        "put the `type` beside it";
    NullableEnum = "nullable-enum", Warning,
        "A schema is nullable and its enum lacks null, so that null is refused after all.",
        "add null to the enum";
    KeywordForeign = "keyword-foreign", Warning,
        "A keyword has no meaning in the version that the document is written in.",
        "write it as that version does";
    KeywordMalformed = "keyword-malformed", Error,
        "The value of a keyword is of another type than the version that the document is written in demands.",
        "write it as that version does";
    DiscriminatorOptional = "discriminator-optional", Error,
        "The property that tells schemas apart may be missing from one of them.",
        "require the property in every one of the schemas";
    DiscriminatorUnresolved = "discriminator-unresolved", Error,
        "A discriminator maps a word to a schema that is not there.",
        "correct the mapping";

    OperationIdDuplicate = "operation-id-duplicate", Error,
        "Two operations have the same `operationId`.",
        "give each an id of its own";
    PathAmbiguous = "path-ambiguous", Error,
        "Two paths differ in nothing but the names of their parameters.",
        "merge them";
    PathOverlap = "path-overlap", Warning,
        "A request matches two paths, neither of which is plainer than the other.",
        "make one of the paths plainer";
    PathParameterMissing = "path-parameter-missing", Error,
        "A path has a parameter that the operation does not declare.",
        "declare the parameter";
    PathParameterSuperfluous = "path-parameter-superfluous", Error,
        "An operation declares a parameter of the path that the path does not have.",
        "remove the parameter, or put it into the path";
    PathParameterOptional = "path-parameter-optional", Error,
        "A parameter of a path is not said to be required, which it must be.",
        "write `required: true`";
    ParameterDuplicate = "parameter-duplicate", Error,
        "A parameter is declared twice in one list.",
        "remove one of the two";
    ResponsesEmpty = "responses-empty", Error,
        "An operation has no responses.",
        "say what it answers";
    ResponseSuccessMissing = "response-success-missing", Warning,
        "An operation has neither a status of success nor a default.",
        "say what it answers when all is well";
    ResponseDescriptionMissing = "response-description-missing", Warning,
        "A response has no description, which OpenAPI demands.",
        "say when it is sent";
    StatusMalformed = "status-malformed", Error,
        "A response stands under a key that is no status, no class of them such as `4XX`, and not `default`.",
        "correct the key";
    SecurityUndeclared = "security-undeclared", Error,
        "Credentials are demanded by a security scheme that is not declared.",
        "declare the scheme among the components";
    UnauthorizedUndocumented = "unauthorized-undocumented", Info,
        "An operation asks for credentials and does not say what it answers without them.",
        "describe the answer 401";
    ComponentUnused = "component-unused", Info,
        "Nothing refers to a component.",
        "remove it, if nobody else refers to it";

    Undecided = "undecided", Info,
        "It is not known whether a rule is broken.",
        "nothing; the message says what stands in the way";
}

impl LintRule {
    /// The stable id.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.row().id
    }

    /// How bad it is when it is broken.
    #[must_use]
    pub const fn severity(self) -> Severity {
        self.row().severity
    }

    /// What is said of a document that breaks it, in one sentence.
    #[must_use]
    pub const fn statement(self) -> &'static str {
        self.row().statement
    }

    /// What to do about it.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        self.row().advice
    }
}

impl fmt::Display for LintRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for LintRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl FromStr for LintRule {
    type Err = UnknownLintRule;

    fn from_str(id: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.iter().find(|rule| rule.as_str() == id);
        known.copied().ok_or_else(|| UnknownLintRule(id.to_owned()))
    }
}

/// There is no rule of that id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no rule `{0}`")]
pub struct UnknownLintRule(pub String);
