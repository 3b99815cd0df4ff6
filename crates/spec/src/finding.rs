use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::source::Origin;

/// One disagreement between two of the three documents: source, committed, generated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// What kind of disagreement it is.
    pub id: Kind,
    /// How bad it is.
    pub severity: Severity,
    /// What it makes necessary.
    pub fix: Fix,
    /// The vendor whose documents disagree; none for a file that belongs to no vendor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    /// Our id of the operation (`acusight.checkin`), or its request line where we do not have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// The part of the operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub side: Option<Side>,
    /// Where in the message: a JSON pointer in which `*` stands for every item of a list and every value of a
    /// map. For a parameter or header its name, for a file its path, for a deviation its place in the list.
    pub pointer: String,
    /// What the source says, after the deviations; for a file, what is committed.
    pub source: String,
    /// Where the source says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// What we say; for a file, what is generated.
    pub ours: String,
    /// A document that proves it, for a claim that is false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub witness: Option<Value>,
    /// What to do.
    pub advice: String,
}

impl Finding {
    /// Whether generating again settles it, or somebody must think.
    #[must_use]
    pub const fn fix(&self) -> Fix {
        self.fix
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.severity, self.id)?;
        if let Some(side) = &self.side {
            write!(f, " in {side}")?;
        }
        if !self.pointer.is_empty() {
            write!(f, " at {}", self.pointer)?;
        }
        let (theirs, ours) = match self.fix {
            Fix::Generate => ("committed", "generated"),
            Fix::Think => ("source", "ours"),
        };
        write!(f, "\n  {theirs:<10} {}", self.source)?;
        if let Some(origin) = &self.origin {
            write!(f, "  [{origin}]")?;
        }
        write!(f, "\n  {ours:<10} {}", self.ours.replace('\n', "\n    "))?;
        write!(f, "\n  {:<10} {}", "do", self.advice)
    }
}

/// How bad a finding is. Either fails a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Peers would misunderstand each other, or nothing can be said.
    Error,
    /// The documents disagree on a name that does not travel, are merely stale, or do not say enough.
    Warning,
    /// A difference that breaks nobody.
    Info,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        })
    }
}

/// What a finding makes necessary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fix {
    /// The committed files are stale: `cargo xtask generate`.
    Generate,
    /// Something is broken: a type, a transcription or a deviation must change.
    Think,
}

/// A part of an operation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// What the caller sends.
    Request,
    /// An answer, by its status as the source writes it (`200`, `2XX`, `default`).
    Response(String),
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request => f.write_str("request"),
            Self::Response(status) => write!(f, "response {status}"),
        }
    }
}

macro_rules! kinds {
    ($($(#[$meta:meta])* $name:ident = $id:literal, $severity:ident, $fix:ident;)+) => {
        /// The kinds of findings. Their ids are stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[non_exhaustive]
        pub enum Kind { $($(#[$meta])* #[serde(rename = $id)] $name,)+ }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The stable id.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $id,)+ }
            }

            /// How bad it is.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)+ }
            }

            /// What it makes necessary.
            #[must_use]
            pub const fn fix(self) -> Fix {
                match self { $(Self::$name => Fix::$fix,)+ }
            }
        }
    };
}

kinds! {
    /// The source has an operation that we do not have.
    OperationLost = "operation-lost", Error, Think;
    /// We have an operation that the source does not have.
    OperationAdded = "operation-added", Error, Think;
    /// The same operation under another path.
    PathDiffers = "path-differs", Error, Think;
    /// The same path under another method.
    MethodDiffers = "method-differs", Error, Think;
    /// Another operation id than the source's.
    OperationIdDiffers = "operation-id-differs", Warning, Think;
    /// Other tags than the source's.
    TagsDiffer = "tags-differ", Warning, Think;
    /// The source has a parameter that we do not have.
    ParameterLost = "parameter-lost", Error, Think;
    /// We have a parameter that the source does not have.
    ParameterAdded = "parameter-added", Error, Think;
    /// The same parameter under another name.
    ParameterRenamed = "parameter-renamed", Error, Think;
    /// The source has a body and we have none.
    BodyLost = "body-lost", Error, Think;
    /// We have a body and the source has none.
    BodyAdded = "body-added", Error, Think;
    /// The source has a media type that we do not have.
    MediaTypeLost = "media-type-lost", Error, Think;
    /// We have a media type that the source does not have.
    MediaTypeAdded = "media-type-added", Error, Think;
    /// The source has a member that we do not have.
    MemberLost = "member-lost", Error, Think;
    /// We have a member that the source does not have.
    MemberAdded = "member-added", Error, Think;
    /// The same member under another name.
    MemberRenamed = "member-renamed", Error, Think;
    /// Other types.
    TypeDiffers = "type-differs", Error, Think;
    /// Required at one end and optional at the other.
    RequiredDiffers = "required-differs", Error, Think;
    /// The source has a word that we do not know.
    WordLost = "word-lost", Error, Think;
    /// We have a word that the source does not have.
    WordAdded = "word-added", Error, Think;
    /// The source bounds a value, and we do not, or otherwise.
    BoundLost = "bound-lost", Error, Think;
    /// We bound a value and the source does not.
    BoundAdded = "bound-added", Error, Think;
    /// The source has a status that we do not have.
    StatusLost = "status-lost", Error, Think;
    /// We have a status that the source does not have.
    StatusAdded = "status-added", Error, Think;
    /// An answer of the source has a header that ours does not have.
    HeaderLost = "header-lost", Error, Think;
    /// An answer of ours has a header that the source's does not have.
    HeaderAdded = "header-added", Error, Think;
    /// The same header under another name.
    HeaderRenamed = "header-renamed", Error, Think;
    /// The source takes a set of credentials that we do not take.
    SecurityLost = "security-lost", Error, Think;
    /// We take a set of credentials that the source does not take.
    SecurityAdded = "security-added", Error, Think;
    /// The source has a security scheme that we do not have.
    SchemeLost = "scheme-lost", Error, Think;
    /// We have a security scheme that the source does not have.
    SchemeAdded = "scheme-added", Error, Think;
    /// The same security scheme under another name.
    SchemeRenamed = "scheme-renamed", Warning, Think;
    /// A security scheme of another type, place or header.
    SchemeDiffers = "scheme-differs", Error, Think;
    /// A claim of inclusion is false, and a document shows it.
    ClaimRefuted = "claim-refuted", Error, Think;
    /// A claim of inclusion is neither proved nor refuted.
    ClaimUndecided = "claim-undecided", Error, Think;
    /// A schema of ours says of a document what our code does not do with it.
    SchemaUntrue = "schema-untrue", Error, Think;
    /// Something that a released version promised is no longer so.
    BaselineBroken = "baseline-broken", Error, Think;
    /// A deviation that changes nothing when it is left out.
    DeviationNeedless = "deviation-needless", Error, Think;
    /// A deviation that cannot be applied.
    DeviationMisplaced = "deviation-misplaced", Error, Think;
    /// A generated file is not there.
    FileMissing = "file-missing", Warning, Generate;
    /// A file in a generated folder that nothing generates.
    FileExtra = "file-extra", Warning, Generate;
    /// A committed file is not what is generated.
    FileDiffers = "file-differs", Warning, Generate;
}

impl Kind {
    /// What to do about a finding of this kind.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::OperationLost => "add the operation (docs/add-an-operation.md)",
            Self::OperationAdded => "transcribe where the operation comes from, or take it off the list",
            Self::PathDiffers | Self::MethodDiffers | Self::OperationIdDiffers => {
                "correct the operation's constant, or the transcription if that was misread"
            }
            Self::TagsDiffer => "give the operation the source's tags",
            Self::ParameterLost | Self::HeaderLost => "carry it, or remove it by a deviation that says why",
            Self::ParameterAdded | Self::HeaderAdded => "drop it, or add it by a deviation that says why",
            Self::ParameterRenamed | Self::MemberRenamed | Self::HeaderRenamed => {
                "use the source's name, or correct the transcription if that was misread"
            }
            Self::BodyLost | Self::BodyAdded => "correct the operation's Request or Reply",
            Self::MediaTypeLost | Self::MediaTypeAdded => {
                "carry the source's media types, or say in a deviation why not"
            }
            Self::MemberLost => "add a field for it, or remove it by a deviation that says why",
            Self::MemberAdded => "drop the field, or add the member by a deviation that says why",
            Self::TypeDiffers => "take the source's type, or replace it by a deviation that says why",
            Self::RequiredDiffers => "take over the source's mark, or change it by a deviation that says why",
            Self::WordLost => "add the word to the list, or remove it by a deviation that says why",
            Self::WordAdded => "drop the word, or add it by a deviation that says why",
            Self::BoundLost => "add a rule for it, or remove it by a deviation that says why",
            Self::BoundAdded => {
                "say in the rule that it is ours, or add the bound by a deviation that says why"
            }
            Self::StatusLost => "answer with it, or remove it by a deviation that says why",
            Self::StatusAdded => "do not publish it, or add it by a deviation that says why",
            Self::SecurityLost | Self::SecurityAdded => {
                "take the source's credentials, or say in a deviation what we take besides"
            }
            Self::SchemeLost | Self::SchemeAdded | Self::SchemeRenamed | Self::SchemeDiffers => {
                "describe the scheme as the source does, or say in a deviation why not"
            }
            Self::ClaimRefuted => {
                "correct the type or its rules, or the transcription, or say in a deviation why we differ"
            }
            Self::ClaimUndecided => "say the same by keywords that can be decided",
            Self::SchemaUntrue => "correct the schema of the type, so that it says what the code does",
            Self::BaselineBroken => "put it back, or name it under *Breaking* in CHANGELOG.md",
            Self::DeviationNeedless => "delete it from schemas/deviations.toml",
            Self::DeviationMisplaced => "correct it in schemas/deviations.toml, or delete it",
            Self::FileMissing | Self::FileExtra | Self::FileDiffers => "cargo xtask generate",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
