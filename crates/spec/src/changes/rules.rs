use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::finding::Severity;

/// What a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Area {
    /// Paths, methods, ids, tags, deprecation.
    Operations,
    /// Parameters of path, query, header and cookie.
    Parameters,
    /// Bodies of requests, their media types and encodings.
    Bodies,
    /// Statuses, headers, links and media types of answers.
    Responses,
    /// Security schemes and what operations require of them.
    Security,
    /// The addresses of the document.
    Servers,
    /// Callbacks and webhooks, in which the server calls.
    Callbacks,
    /// Whatever stands inside a schema.
    Schemas,
    /// The version of the document.
    Version,
    /// The list of accepted findings.
    Acceptance,
}

impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Operations => "operations",
            Self::Parameters => "parameters",
            Self::Bodies => "bodies",
            Self::Responses => "responses",
            Self::Security => "security",
            Self::Servers => "servers",
            Self::Callbacks => "callbacks",
            Self::Schemas => "schemas",
            Self::Version => "version",
            Self::Acceptance => "acceptance",
        })
    }
}

/// Which way a message goes, seen from the peers of the old document: they stay as they are, and the other end
/// takes the new document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Peers send it: what the old document let them send, the new one must still accept.
    Request,
    /// Peers receive it: what the new document sends, the old one must have promised.
    Response,
}

impl Direction {
    /// The other way.
    pub(crate) const fn reversed(self) -> Self {
        match self {
            Self::Request => Self::Response,
            Self::Response => Self::Request,
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Request => "request",
            Self::Response => "response",
        })
    }
}

/// What the table says of a rule.
struct Row {
    id: &'static str,
    area: Area,
    direction: Option<Direction>,
    severity: Severity,
    otherwise: Option<Severity>,
    statement: &'static str,
    advice: &'static str,
}

macro_rules! direction {
    (-) => {
        None
    };
    ($direction:ident) => {
        Some(Direction::$direction)
    };
}

macro_rules! otherwise {
    () => {
        None
    };
    ($severity:ident) => {
        Some(Severity::$severity)
    };
}

macro_rules! rules {
    ($($name:ident = $id:literal, $area:ident, $direction:tt, $severity:ident $(/ $otherwise:ident)?,
       $statement:literal, $advice:literal;)+) => {
        /// The rules. Their ids are stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Rule { $(#[doc = $statement] $name,)+ }

        impl Rule {
            /// Every rule, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            const fn row(self) -> &'static Row {
                match self {
                    $(Self::$name => &Row {
                        id: $id,
                        area: Area::$area,
                        direction: direction!($direction),
                        severity: Severity::$severity,
                        otherwise: otherwise!($($otherwise)?),
                        statement: $statement,
                        advice: $advice,
                    },)+
                }
            }
        }
    };
}

// Name = id, area, direction, severity / severity where inclusion proves that nothing breaks, statement, advice.
rules! {
    OperationRemoved = "operation-removed", Operations, -, Error,
        "An operation is gone that was not deprecated.",
        "keep it, or deprecate it with a sunset first";
    OperationRemovedBeforeSunset = "operation-removed-before-sunset", Operations, -, Error,
        "A deprecated operation is gone before the day of its `x-sunset`.",
        "keep it until its sunset";
    OperationRemovedWithoutSunset = "operation-removed-without-sunset", Operations, -, Warning,
        "A deprecated operation is gone that never said until when it would stay, or whose day is not known to have come.",
        "state `x-sunset` when you deprecate an operation";
    OperationRemovedAfterSunset = "operation-removed-after-sunset", Operations, -, Info,
        "A deprecated operation is gone, its sunset having passed.",
        "nothing";
    OperationAdded = "operation-added", Operations, -, Info,
        "There is an operation more.",
        "nothing";
    OperationMoved = "operation-moved", Operations, -, Error,
        "An operation, known by its `operationId`, is answered under another path or method.",
        "answer under the old path as well";
    PathParameterRenamed = "path-parameter-renamed", Operations, -, Info,
        "A parameter of a path has another name, which does not travel.",
        "nothing; generated clients name an argument otherwise";
    OperationIdChanged = "operation-id-changed", Operations, -, Warning,
        "An operation has another `operationId`, from which generated clients make the names of their functions.",
        "keep the id, or tell those who generate clients";
    TagsChanged = "tags-changed", Operations, -, Info,
        "An operation has other tags.",
        "nothing; generated clients may group it otherwise";
    OperationDeprecated = "operation-deprecated", Operations, -, Info,
        "An operation is deprecated and says until when it stays.",
        "nothing";
    OperationDeprecatedWithoutSunset = "operation-deprecated-without-sunset", Operations, -, Warning,
        "An operation is deprecated and does not say until when it stays.",
        "state the day as `x-sunset: YYYY-MM-DD`";
    OperationReinstated = "operation-reinstated", Operations, -, Info,
        "An operation is no longer deprecated.",
        "nothing";
    SunsetBroughtForward = "sunset-brought-forward", Operations, -, Error,
        "The sunset of a deprecated operation is earlier than it was promised to be.",
        "keep the day that peers were told";
    SunsetPutOff = "sunset-put-off", Operations, -, Info,
        "The sunset of a deprecated operation is later than it was, or is no longer stated.",
        "nothing";

    ParameterRemoved = "parameter-removed", Parameters, Request, Warning,
        "A parameter is gone that peers may still send.",
        "say what becomes of requests that carry it";
    ParameterAdded = "parameter-added", Parameters, Request, Info,
        "There is an optional parameter more.",
        "nothing";
    ParameterAddedRequired = "parameter-added-required", Parameters, Request, Error,
        "There is a required parameter more, which peers do not send.",
        "make it optional";
    ParameterBecameRequired = "parameter-became-required", Parameters, Request, Error,
        "A parameter is required that peers could leave out.",
        "keep it optional";
    ParameterBecameOptional = "parameter-became-optional", Parameters, Request, Info,
        "A parameter may be left out that was required.",
        "nothing";
    ParameterMoved = "parameter-moved", Parameters, Request, Error,
        "A parameter is read from another place of the request.",
        "read it from the old place as well";
    ParameterSerializationChanged = "parameter-serialization-changed", Parameters, Request, Error,
        "A parameter is written otherwise: its `style`, `explode`, `allowReserved` or media type changed.",
        "keep the old way, or add a parameter of another name";
    ParameterDeprecated = "parameter-deprecated", Parameters, Request, Info,
        "A parameter is deprecated.",
        "nothing";

    RequestBodyRemoved = "request-body-removed", Bodies, Request, Error,
        "An operation no longer takes a body.",
        "keep taking the body";
    RequestBodyAdded = "request-body-added", Bodies, Request, Info,
        "An operation takes a body, which may be left out.",
        "nothing";
    RequestBodyAddedRequired = "request-body-added-required", Bodies, Request, Error,
        "An operation requires a body that peers do not send.",
        "make the body optional";
    RequestBodyBecameRequired = "request-body-became-required", Bodies, Request, Error,
        "A body is required that peers could leave out.",
        "keep the body optional";
    RequestBodyBecameOptional = "request-body-became-optional", Bodies, Request, Info,
        "A body may be left out that was required.",
        "nothing";
    RequestMediaTypeRemoved = "request-media-type-removed", Bodies, Request, Error,
        "A body is no longer taken in a media type in which peers send it.",
        "keep taking the media type";
    RequestMediaTypeAdded = "request-media-type-added", Bodies, Request, Info,
        "A body is taken in one more media type.",
        "nothing";
    EncodingChanged = "encoding-changed", Bodies, -, Warning,
        "The parts of a form or multipart body are encoded otherwise.",
        "keep the encoding";

    ResponseSuccessRemoved = "response-success-removed", Responses, Response, Error,
        "A status of success is gone that peers wait for.",
        "keep answering with it";
    ResponseSuccessAdded = "response-success-added", Responses, Response, Warning,
        "There is a status of success more that peers were not told of.",
        "make sure that peers treat it as they treat the status they know";
    ResponseFailureRemoved = "response-failure-removed", Responses, Response, Info,
        "A status of failure is gone.",
        "nothing";
    ResponseFailureAdded = "response-failure-added", Responses, Response, Info,
        "There is a status of failure more; peers treat it as the first of its class.",
        "nothing";
    ResponseBodyRemoved = "response-body-removed", Responses, Response, Error,
        "An answer no longer has a body.",
        "keep sending the body";
    ResponseBodyAdded = "response-body-added", Responses, Response, Info,
        "An answer has a body that had none.",
        "nothing";
    ResponseMediaTypeRemoved = "response-media-type-removed", Responses, Response, Error,
        "An answer no longer comes in a media type in which peers read it.",
        "keep answering in the media type";
    ResponseMediaTypeAdded = "response-media-type-added", Responses, Response, Info,
        "An answer comes in one more media type.",
        "nothing; send it only to those who ask for it";
    ResponseHeaderRemoved = "response-header-removed", Responses, Response, Error,
        "An answer no longer has a header that was promised.",
        "keep sending the header";
    ResponseOptionalHeaderRemoved = "response-optional-header-removed", Responses, Response, Warning,
        "An answer no longer has a header that it could have.",
        "make sure that nobody relies on the header";
    ResponseHeaderAdded = "response-header-added", Responses, Response, Info,
        "An answer has a header more.",
        "nothing";
    ResponseHeaderBecameOptional = "response-header-became-optional", Responses, Response, Error,
        "A header may be missing that was promised.",
        "keep sending the header";
    ResponseHeaderBecameRequired = "response-header-became-required", Responses, Response, Info,
        "A header is promised that could be missing.",
        "nothing";
    LinkRemoved = "link-removed", Responses, Response, Info,
        "An answer no longer describes a link to another operation.",
        "nothing";
    LinkAdded = "link-added", Responses, Response, Info,
        "An answer describes one more link to another operation.",
        "nothing";
    LinkChanged = "link-changed", Responses, Response, Info,
        "A link to another operation is described otherwise.",
        "nothing";

    SecuritySchemeRemoved = "security-scheme-removed", Security, -, Info,
        "A security scheme is no longer defined; the operations that took it have findings of their own.",
        "nothing";
    SecuritySchemeAdded = "security-scheme-added", Security, -, Info,
        "There is a security scheme more.",
        "nothing";
    SecuritySchemeChanged = "security-scheme-changed", Security, Request, Error,
        "Credentials of a scheme are sent otherwise: its type, place, name or address changed.",
        "define a second scheme and take both";
    CredentialsRefused = "credentials-refused", Security, Request, Error,
        "An operation no longer takes a set of credentials that it took.",
        "keep taking it";
    CredentialsAccepted = "credentials-accepted", Security, Request, Info,
        "An operation takes one more set of credentials.",
        "nothing";
    AnonymousRefused = "anonymous-refused", Security, Request, Error,
        "An operation asks for credentials that anybody could call.",
        "keep it open, or add another operation";
    AnonymousAccepted = "anonymous-accepted", Security, Request, Warning,
        "Anybody may call an operation that asked for credentials.",
        "make sure that this is meant";
    ScopeRequired = "scope-required", Security, Request, Error,
        "An operation asks for a scope or role that it did not ask for.",
        "grant it to all who hold the others, or do without";
    ScopeDropped = "scope-dropped", Security, Request, Info,
        "An operation no longer asks for a scope or role.",
        "nothing";

    ServerRemoved = "server-removed", Servers, -, Warning,
        "The document no longer lists an address under which it is served.",
        "keep serving it as long as peers use it";
    ServerAdded = "server-added", Servers, -, Info,
        "The document lists one more address.",
        "nothing";

    CallbackRemoved = "callback-removed", Callbacks, -, Warning,
        "A callback or webhook is gone for which peers may wait.",
        "keep calling it";
    CallbackAdded = "callback-added", Callbacks, -, Info,
        "There is a callback or webhook more.",
        "nothing";
    CallbackChanged = "callback-changed", Callbacks, -, Warning,
        "A callback or webhook has other parameters, statuses, media types or marks.",
        "make sure that those who are called can do with it";

    RequestMemberAdded = "request-member-added", Schemas, Request, Error / Info,
        "Peers may send a member more.",
        "nothing";
    RequestMemberAddedRequired = "request-member-added-required", Schemas, Request, Error / Info,
        "Peers must send a member that they do not know of.",
        "make the member optional";
    RequestOpenMemberNamed = "request-open-member-named", Schemas, Request, Warning / Info,
        "An object that is declared open says what a member must be, under whose name peers may send something else.",
        "accept anything under the name, or make sure that nobody uses it otherwise";
    RequestMemberRemoved = "request-member-removed", Schemas, Request, Error / Warning,
        "A member is no longer named that peers may send: refused where the object is closed, else ignored.",
        "keep the member, or say what becomes of it";
    RequestMemberRenamed = "request-member-renamed", Schemas, Request, Error / Warning,
        "A member that peers send goes by another name.",
        "accept the old name as well";
    RequestMemberBecameRequired = "request-member-became-required", Schemas, Request, Error / Info,
        "A member is required that peers could leave out.",
        "keep the member optional";
    RequestMemberBecameOptional = "request-member-became-optional", Schemas, Request, Info,
        "A member may be left out that was required.",
        "nothing";
    RequestMemberBecameReadOnly = "request-member-became-read-only", Schemas, Request, Warning,
        "A member that peers send is for answers only.",
        "say what becomes of it in requests";
    RequestMemberBecameWritable = "request-member-became-writable", Schemas, Request, Info,
        "A member is no longer for answers only.",
        "nothing";
    RequestMemberDeprecated = "request-member-deprecated", Schemas, Request, Info,
        "A member that peers send is deprecated.",
        "nothing";
    RequestTypeNarrowed = "request-type-narrowed", Schemas, Request, Error / Info,
        "A value that peers send may be of fewer types.",
        "keep accepting the old types";
    RequestTypeWidened = "request-type-widened", Schemas, Request, Info,
        "A value that peers send may be of more types.",
        "nothing";
    RequestTypeChanged = "request-type-changed", Schemas, Request, Error / Info,
        "A value that peers send must be of another type.",
        "accept the old type as well";
    RequestBecameNullable = "request-became-nullable", Schemas, Request, Info,
        "A value that peers send may be null.",
        "nothing";
    RequestBecameNotNullable = "request-became-not-nullable", Schemas, Request, Error / Info,
        "A value that peers send may no longer be null.",
        "keep accepting null";
    RequestWordAdded = "request-word-added", Schemas, Request, Info,
        "Peers may send a word more.",
        "nothing";
    RequestWordRemoved = "request-word-removed", Schemas, Request, Error / Info,
        "A word is no longer accepted that peers send.",
        "keep accepting the word";
    RequestKnownWordAdded = "request-known-word-added", Schemas, Request, Info,
        "An open list of words that peers send (`x-extensible-enum`, `x-known-values`) has one more.",
        "nothing";
    RequestKnownWordRemoved = "request-known-word-removed", Schemas, Request, Warning,
        "An open list of words that peers send (`x-extensible-enum`, `x-known-values`) has one less.",
        "say what becomes of the word";
    RequestConstraintTightened = "request-constraint-tightened", Schemas, Request, Error / Info,
        "A bound on what peers send is narrower: a range, a length, a count, a step or uniqueness.",
        "keep the old bound";
    RequestConstraintLoosened = "request-constraint-loosened", Schemas, Request, Info,
        "A bound on what peers send is wider.",
        "nothing";
    RequestPatternChanged = "request-pattern-changed", Schemas, Request, Error / Info,
        "A text that peers send must match another pattern.",
        "keep accepting what the old pattern matches";
    RequestFormatChanged = "request-format-changed", Schemas, Request, Error / Warning,
        "A value that peers send has another format, or one at all.",
        "keep accepting the old format";
    RequestObjectClosed = "request-object-closed", Schemas, Request, Error / Info,
        "Members are refused that an object does not name.",
        "keep ignoring them";
    RequestObjectOpened = "request-object-opened", Schemas, Request, Info,
        "Members are accepted that an object does not name.",
        "nothing";
    RequestBranchAdded = "request-branch-added", Schemas, Request, Error / Info,
        "There is an alternative more for what peers send.",
        "keep alternatives apart that accept the same value, where exactly one must match";
    RequestBranchRemoved = "request-branch-removed", Schemas, Request, Error / Info,
        "There is an alternative less for what peers send.",
        "keep accepting the alternative";
    RequestDefaultChanged = "request-default-changed", Schemas, Request, Warning,
        "What is left out of a request is taken for something else.",
        "keep the default";
    RequestDiscriminatorChanged = "request-discriminator-changed", Schemas, Request, Warning,
        "The member that tells the alternatives of a request apart is another, or its words are.",
        "keep the old words";
    RequestSchemaChanged = "request-schema-changed", Schemas, Request, Error / Info,
        "Another keyword of a schema of what peers send changed.",
        "keep accepting what was accepted";
    RequestNarrowed = "request-narrowed", Schemas, Request, Error,
        "A document is refused that was accepted, and no single difference explains it.",
        "compare the two schemas by hand with the witness";
    RequestUndecided = "request-undecided", Schemas, Request, Warning,
        "It is not known whether everything that was accepted still is.",
        "compare the two schemas by hand";

    ResponseMemberAdded = "response-member-added", Schemas, Response, Error / Info,
        "Peers receive a member more: a break where they were promised that there is no other.",
        "nothing, unless the object was closed";
    ResponseMemberRemoved = "response-member-removed", Schemas, Response, Error / Warning,
        "Peers no longer receive a member: a break where it was promised.",
        "keep sending the member";
    ResponseMemberRenamed = "response-member-renamed", Schemas, Response, Error / Warning,
        "A member that peers receive goes by another name.",
        "send both names";
    ResponseMemberBecameRequired = "response-member-became-required", Schemas, Response, Info,
        "A member is promised that could be missing.",
        "nothing";
    ResponseMemberBecameOptional = "response-member-became-optional", Schemas, Response, Error / Info,
        "A member may be missing that was promised.",
        "keep sending the member";
    ResponseMemberBecameWriteOnly = "response-member-became-write-only", Schemas, Response, Warning,
        "A member that peers receive is for requests only.",
        "keep sending the member";
    ResponseMemberBecameReadable = "response-member-became-readable", Schemas, Response, Info,
        "A member is no longer for requests only.",
        "nothing";
    ResponseMemberDeprecated = "response-member-deprecated", Schemas, Response, Info,
        "A member that peers receive is deprecated.",
        "nothing";
    ResponseTypeNarrowed = "response-type-narrowed", Schemas, Response, Info,
        "A value that peers receive may be of fewer types.",
        "nothing";
    ResponseTypeWidened = "response-type-widened", Schemas, Response, Error / Info,
        "A value that peers receive may be of more types than they were told.",
        "keep sending the old types only";
    ResponseTypeChanged = "response-type-changed", Schemas, Response, Error / Info,
        "A value that peers receive is of another type.",
        "keep the type, or send the new one under another name";
    ResponseBecameNullable = "response-became-nullable", Schemas, Response, Error / Info,
        "A value that peers receive may be null.",
        "do not send null";
    ResponseBecameNotNullable = "response-became-not-nullable", Schemas, Response, Info,
        "A value that peers receive is never null.",
        "nothing";
    ResponseWordAdded = "response-word-added", Schemas, Response, Error / Info,
        "Peers receive a word that is not on the closed list they were given.",
        "declare lists that grow as open (`x-extensible-enum`)";
    ResponseWordRemoved = "response-word-removed", Schemas, Response, Info,
        "Peers no longer receive a word.",
        "nothing";
    ResponseKnownWordAdded = "response-known-word-added", Schemas, Response, Info,
        "An open list of words that peers receive (`x-extensible-enum`, `x-known-values`) has one more.",
        "nothing";
    ResponseKnownWordRemoved = "response-known-word-removed", Schemas, Response, Info,
        "An open list of words that peers receive (`x-extensible-enum`, `x-known-values`) has one less.",
        "nothing";
    ResponseConstraintTightened = "response-constraint-tightened", Schemas, Response, Info,
        "A bound on what peers receive is narrower.",
        "nothing";
    ResponseConstraintLoosened = "response-constraint-loosened", Schemas, Response, Error / Info,
        "A bound on what peers receive is wider: a range, a length, a count, a step or uniqueness.",
        "keep the old bound";
    ResponsePatternChanged = "response-pattern-changed", Schemas, Response, Error / Info,
        "A text that peers receive matches another pattern.",
        "keep to the old pattern";
    ResponseFormatChanged = "response-format-changed", Schemas, Response, Error / Warning,
        "A value that peers receive has another format, or none any more.",
        "keep the format";
    ResponseObjectClosed = "response-object-closed", Schemas, Response, Info,
        "Peers receive no member that an object does not name.",
        "nothing";
    ResponseObjectOpened = "response-object-opened", Schemas, Response, Error / Warning,
        "Peers may receive members of which they were told that there are none.",
        "keep the object closed, or name the members";
    ResponseBranchAdded = "response-branch-added", Schemas, Response, Error / Info,
        "There is an alternative more in what peers receive.",
        "do not send it to peers that do not know it";
    ResponseBranchRemoved = "response-branch-removed", Schemas, Response, Error / Info,
        "There is an alternative less in what peers receive.",
        "keep alternatives apart that accept the same value, where exactly one must match";
    ResponseDefaultChanged = "response-default-changed", Schemas, Response, Warning,
        "What is left out of an answer stands for something else.",
        "send the value";
    ResponseDiscriminatorChanged = "response-discriminator-changed", Schemas, Response, Warning,
        "The member that tells the alternatives of an answer apart is another, or its words are.",
        "keep the old words";
    ResponseSchemaChanged = "response-schema-changed", Schemas, Response, Error / Info,
        "Another keyword of a schema of what peers receive changed.",
        "keep to what was promised";
    ResponseWidened = "response-widened", Schemas, Response, Error,
        "Peers may receive a document that they were not promised, and no single difference explains it.",
        "compare the two schemas by hand with the witness";
    ResponseUndecided = "response-undecided", Schemas, Response, Warning,
        "It is not known whether everything that peers receive was promised to them.",
        "compare the two schemas by hand";

    VersionNotBumped = "version-not-bumped", Version, -, Error,
        "Something breaks, and the major number of `info.version` is the old one (below 1.0.0 the minor counts).",
        "raise the major version, or keep what breaks";
    VersionWentBack = "version-went-back", Version, -, Warning,
        "`info.version` is lower than it was.",
        "make sure that OLD and NEW are not the wrong way round";
    VersionUndecidable = "version-undecidable", Version, -, Warning,
        "Something breaks, and `info.version` is no number of three parts from which a major bump could be told.",
        "number the document major.minor.patch";

    AcceptanceNeedless = "acceptance-needless", Acceptance, -, Error,
        "An accepted finding is not found any more.",
        "delete it from the list";
    AcceptanceIncomplete = "acceptance-incomplete", Acceptance, -, Error,
        "An accepted finding has no reason or no date.",
        "say why and since when it is accepted";
    AcceptanceExpired = "acceptance-expired", Acceptance, -, Error,
        "A finding was accepted until a day that has passed.",
        "settle the finding, or accept it anew";
    AcceptanceUnknown = "acceptance-unknown", Acceptance, -, Error,
        "The list of accepted findings names a rule that there is not.",
        "correct the id of the rule";
}

impl Rule {
    /// The stable id, in kebab-case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.row().id
    }

    /// What it is about.
    #[must_use]
    pub const fn area(self) -> Area {
        self.row().area
    }

    /// Which way the message goes that it judges; none where no message is judged. In callbacks and webhooks the
    /// server calls, and what it sends is judged by the rules for responses.
    #[must_use]
    pub const fn direction(self) -> Option<Direction> {
        self.row().direction
    }

    /// How bad a finding of this rule is, unless re-graded.
    #[must_use]
    pub const fn severity(self) -> Severity {
        self.row().severity
    }

    /// How bad it is where inclusion proves that the difference breaks nothing; none for a rule that asks no such
    /// question.
    #[must_use]
    pub const fn otherwise(self) -> Option<Severity> {
        self.row().otherwise
    }

    /// What the rule finds, in one sentence.
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

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// There is no rule of this id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no rule `{0}`")]
pub struct UnknownRule(pub String);

impl FromStr for Rule {
    type Err = UnknownRule;

    fn from_str(id: &str) -> Result<Self, UnknownRule> {
        Self::ALL.iter().copied().find(|rule| rule.as_str() == id).ok_or_else(|| UnknownRule(id.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_are_unique_kebab_case_and_read_back() {
        let ids: BTreeSet<_> = Rule::ALL.iter().map(|rule| rule.as_str()).collect();
        assert_eq!(ids.len(), Rule::ALL.len());
        for rule in Rule::ALL {
            let id = rule.as_str();
            assert!(id.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{id}");
            assert_eq!(id.parse(), Ok(*rule));
        }
        assert!("operation-vanished".parse::<Rule>().is_err());
    }

    #[test]
    fn rule_that_asks_for_inclusion_is_milder_where_nothing_breaks() {
        for rule in Rule::ALL {
            if let Some(otherwise) = rule.otherwise() {
                assert!(rule.severity() < otherwise, "{rule}");
                assert_eq!(rule.area(), Area::Schemas, "{rule}");
            }
        }
    }

    #[test]
    fn schema_rules_say_which_way_they_look() {
        for rule in Rule::ALL.iter().filter(|rule| rule.area() == Area::Schemas) {
            let direction = rule.direction().unwrap();
            assert!(rule.as_str().starts_with(&direction.to_string()), "{rule}");
        }
    }
}
