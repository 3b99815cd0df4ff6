use std::borrow::Cow;

use crate::Violations;

/// Where a parameter travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParamPlace {
    /// In the path.
    Path,
    /// In the query.
    Query,
    /// In a header.
    Header,
}

/// A parameter in plain terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Param {
    /// Its name on the wire.
    pub name: &'static str,
    /// Where it travels.
    pub place: ParamPlace,
    /// Whether a request without it is refused.
    pub required: bool,
    /// What it says.
    pub description: &'static str,
    /// The words that are known of it, if it is a word; others are read too.
    pub words: &'static [&'static str],
}

/// What a request carries besides its body and its credentials.
pub trait Params: Sized + Send + Sync + 'static {
    /// The parameters, in the order of the path, then the query, then the headers.
    const LIST: &'static [Param];

    /// Hands each parameter that is present to `put`.
    fn write(&self, put: &mut dyn FnMut(&'static Param, &str));

    /// Reads the parameters through `get`.
    ///
    /// # Errors
    /// Every required parameter that is missing.
    fn read<'a>(get: &dyn Fn(&Param) -> Option<Cow<'a, str>>) -> Result<Self, Violations>;
}

impl Params for () {
    const LIST: &'static [Param] = &[];
    fn write(&self, _: &mut dyn FnMut(&'static Param, &str)) {}
    fn read<'a>(_: &dyn Fn(&Param) -> Option<Cow<'a, str>>) -> Result<Self, Violations> {
        Ok(())
    }
}

/// Declares the parameters of an operation.
#[cfg(any(feature = "zstack", feature = "agentmc", feature = "achilles"))]
macro_rules! params {
    ($(#[$meta:meta])* pub struct $name:ident {
        $($(#[doc = $doc:literal])+ $need:ident $place:ident $wire:literal => $field:ident: $type:ty $([$word:ident])?,)+
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[cfg_attr(feature = "arbitrary", derive(proptest_derive::Arbitrary))]
        pub struct $name {
            $($(#[doc = $doc])+ pub $field: $crate::params::params!(@type $need $type),)+
        }

        impl $crate::Params for $name {
            const LIST: &'static [$crate::Param] = &[
                $($crate::Param {
                    name: $wire,
                    place: $crate::ParamPlace::$place,
                    required: $crate::params::params!(@required $need),
                    description: concat!($($doc),+),
                    words: $crate::params::params!(@words $type $(, $word)?),
                },)+
            ];
            fn write(&self, put: &mut dyn FnMut(&'static $crate::Param, &str)) {
                let mut list = Self::LIST.iter();
                $(if let Some(param) = list.next() {
                    $crate::params::params!(@write $need put, param, &self.$field);
                })+
            }
            fn read<'a>(
                get: &dyn Fn(&$crate::Param) -> Option<std::borrow::Cow<'a, str>>,
            ) -> Result<Self, $crate::Violations> {
                let mut missing = Vec::new();
                let mut list = Self::LIST.iter();
                $(let $field: Option<$type> = list.next().and_then(|param| {
                    let value = get(param);
                    if value.is_none() && param.required {
                        missing.push($crate::Violation::missing_param(param));
                    }
                    value.map(|text| <$type>::from(text.as_ref()))
                });)+
                match ($($crate::params::params!(@read $need $field),)+) {
                    ($(Some($field),)+) => Ok(Self { $($field),+ }),
                    _ => Err($crate::Violations::from(missing)),
                }
            }
        }
    };
    (@type required $type:ty) => { $type };
    (@type optional $type:ty) => { Option<$type> };
    (@words $type:ty, word) => { <$type as $crate::wire::Word>::KNOWN };
    (@words $type:ty) => { &[] };
    (@required required) => { true };
    (@required optional) => { false };
    (@write required $put:ident, $param:ident, $value:expr) => { $put($param, $value.as_ref()) };
    (@write optional $put:ident, $param:ident, $value:expr) => {
        if let Some(value) = $value { $put($param, value.as_ref()) }
    };
    (@read required $field:ident) => { $field };
    (@read optional $field:ident) => { Some($field) };
}
#[cfg(any(feature = "zstack", feature = "agentmc", feature = "achilles"))]
pub(crate) use params;
