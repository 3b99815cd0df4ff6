use super::super::rules::{Direction, Rule};

/// What differs between two schemas for the same value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    MemberAdded,
    MemberAddedRequired,
    OpenMemberNamed,
    MemberRemoved,
    MemberRenamed,
    MemberBecameRequired,
    MemberBecameOptional,
    BecameReadOnly,
    BecameWriteOnly,
    /// No longer read-only.
    BecameWritable,
    /// No longer write-only.
    BecameReadable,
    Deprecated,
    TypeNarrowed,
    TypeWidened,
    TypeChanged,
    BecameNullable,
    BecameNotNullable,
    WordAdded,
    WordRemoved,
    KnownWordAdded,
    KnownWordRemoved,
    Tightened,
    Loosened,
    PatternChanged,
    FormatChanged,
    FormatAdded,
    FormatDropped,
    ObjectClosed,
    ObjectOpened,
    BranchAdded,
    BranchRemoved,
    DefaultChanged,
    DiscriminatorChanged,
    OtherChanged,
}

impl Kind {
    /// The rule for what goes this way; none where it says nothing about it.
    pub(super) const fn rule(self, direction: Direction) -> Option<Rule> {
        use Direction::{Request, Response};
        Some(match (self, direction) {
            (Self::MemberAdded, Request) => Rule::RequestMemberAdded,
            (Self::MemberAddedRequired, Request) => Rule::RequestMemberAddedRequired,
            (Self::OpenMemberNamed, Request) => Rule::RequestOpenMemberNamed,
            (Self::MemberAdded | Self::MemberAddedRequired | Self::OpenMemberNamed, Response) => {
                Rule::ResponseMemberAdded
            }
            (Self::MemberRemoved, Request) => Rule::RequestMemberRemoved,
            (Self::MemberRemoved, Response) => Rule::ResponseMemberRemoved,
            (Self::MemberRenamed, Request) => Rule::RequestMemberRenamed,
            (Self::MemberRenamed, Response) => Rule::ResponseMemberRenamed,
            (Self::MemberBecameRequired, Request) => Rule::RequestMemberBecameRequired,
            (Self::MemberBecameRequired, Response) => Rule::ResponseMemberBecameRequired,
            (Self::MemberBecameOptional, Request) => Rule::RequestMemberBecameOptional,
            (Self::MemberBecameOptional, Response) => Rule::ResponseMemberBecameOptional,
            (Self::BecameReadOnly, Request) => Rule::RequestMemberBecameReadOnly,
            (Self::BecameWritable, Request) => Rule::RequestMemberBecameWritable,
            (Self::BecameWriteOnly, Response) => Rule::ResponseMemberBecameWriteOnly,
            (Self::BecameReadable, Response) => Rule::ResponseMemberBecameReadable,
            (Self::BecameReadOnly | Self::BecameWritable, Response)
            | (Self::BecameWriteOnly | Self::BecameReadable, Request) => return None,
            (Self::Deprecated, Request) => Rule::RequestMemberDeprecated,
            (Self::Deprecated, Response) => Rule::ResponseMemberDeprecated,
            (Self::TypeNarrowed, Request) => Rule::RequestTypeNarrowed,
            (Self::TypeNarrowed, Response) => Rule::ResponseTypeNarrowed,
            (Self::TypeWidened, Request) => Rule::RequestTypeWidened,
            (Self::TypeWidened, Response) => Rule::ResponseTypeWidened,
            (Self::TypeChanged, Request) => Rule::RequestTypeChanged,
            (Self::TypeChanged, Response) => Rule::ResponseTypeChanged,
            (Self::BecameNullable, Request) => Rule::RequestBecameNullable,
            (Self::BecameNullable, Response) => Rule::ResponseBecameNullable,
            (Self::BecameNotNullable, Request) => Rule::RequestBecameNotNullable,
            (Self::BecameNotNullable, Response) => Rule::ResponseBecameNotNullable,
            (Self::WordAdded, Request) => Rule::RequestWordAdded,
            (Self::WordAdded, Response) => Rule::ResponseWordAdded,
            (Self::WordRemoved, Request) => Rule::RequestWordRemoved,
            (Self::WordRemoved, Response) => Rule::ResponseWordRemoved,
            (Self::KnownWordAdded, Request) => Rule::RequestKnownWordAdded,
            (Self::KnownWordAdded, Response) => Rule::ResponseKnownWordAdded,
            (Self::KnownWordRemoved, Request) => Rule::RequestKnownWordRemoved,
            (Self::KnownWordRemoved, Response) => Rule::ResponseKnownWordRemoved,
            (Self::Tightened, Request) => Rule::RequestConstraintTightened,
            (Self::Tightened | Self::FormatAdded, Response) => Rule::ResponseConstraintTightened,
            (Self::Loosened | Self::FormatDropped, Request) => Rule::RequestConstraintLoosened,
            (Self::Loosened, Response) => Rule::ResponseConstraintLoosened,
            (Self::PatternChanged, Request) => Rule::RequestPatternChanged,
            (Self::PatternChanged, Response) => Rule::ResponsePatternChanged,
            (Self::FormatChanged | Self::FormatAdded, Request) => Rule::RequestFormatChanged,
            (Self::FormatChanged | Self::FormatDropped, Response) => Rule::ResponseFormatChanged,
            (Self::ObjectClosed, Request) => Rule::RequestObjectClosed,
            (Self::ObjectClosed, Response) => Rule::ResponseObjectClosed,
            (Self::ObjectOpened, Request) => Rule::RequestObjectOpened,
            (Self::ObjectOpened, Response) => Rule::ResponseObjectOpened,
            (Self::BranchAdded, Request) => Rule::RequestBranchAdded,
            (Self::BranchAdded, Response) => Rule::ResponseBranchAdded,
            (Self::BranchRemoved, Request) => Rule::RequestBranchRemoved,
            (Self::BranchRemoved, Response) => Rule::ResponseBranchRemoved,
            (Self::DefaultChanged, Request) => Rule::RequestDefaultChanged,
            (Self::DefaultChanged, Response) => Rule::ResponseDefaultChanged,
            (Self::DiscriminatorChanged, Request) => Rule::RequestDiscriminatorChanged,
            (Self::DiscriminatorChanged, Response) => Rule::ResponseDiscriminatorChanged,
            (Self::OtherChanged, Request) => Rule::RequestSchemaChanged,
            (Self::OtherChanged, Response) => Rule::ResponseSchemaChanged,
        })
    }

    /// Whether it is about what a value may be, so that schemas which accept the same values do not differ in it.
    pub(super) const fn is_about_values(self) -> bool {
        matches!(
            self,
            Self::TypeNarrowed
                | Self::TypeWidened
                | Self::TypeChanged
                | Self::BecameNullable
                | Self::BecameNotNullable
                | Self::WordAdded
                | Self::WordRemoved
                | Self::Tightened
                | Self::Loosened
                | Self::PatternChanged
                | Self::ObjectClosed
                | Self::ObjectOpened
                | Self::BranchAdded
                | Self::BranchRemoved
                | Self::OtherChanged
        )
    }
}
