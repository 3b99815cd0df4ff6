//! The one list of operations.

/// Generates, for each vendor, the link of a chain of macros that collects the operations of the vendors
/// which are switched on.
macro_rules! operations {
    ($d:tt $($feature:literal $link:ident -> $next:ident { $($module:ident::$op:ident,)* })*) => { $(
        #[cfg(feature = $feature)]
        #[doc(hidden)]
        #[macro_export]
        macro_rules! $link {
            ($d visit:ident $d pre:tt [$d($d found:tt)*]) => {
                $d crate::$next! { $d visit $d pre [$d($d found)* $($d crate::$module::$op,)*] }
            };
        }
        #[cfg(not(feature = $feature))]
        #[doc(hidden)]
        #[macro_export]
        macro_rules! $link {
            ($d visit:ident $d pre:tt $d found:tt) => { $d crate::$next! { $d visit $d pre $d found } };
        }
    )* };
}

operations! { $
    "acusight" __acusight_operations -> __zstack_operations {
        acusight::Checkin,
        acusight::NotifyImage,
        acusight::Provision,
        acusight::DeviceCheckin,
        acusight::DeviceSelf,
    }
    "zstack" __zstack_operations -> __agentmc_operations {
        zstack::Heartbeat,
        zstack::Register,
        zstack::AutoRegisterHeartbeat,
        zstack::ListByLifecycleStatus,
        zstack::SendAction,
        zstack::GetActionResult,
    }
    "agentmc" __agentmc_operations -> __achilles_operations {
        agentmc::Heartbeat,
        agentmc::Instructions,
    }
    "achilles" __achilles_operations -> __visit_operations {
        achilles::Enroll,
        achilles::Heartbeat,
        achilles::PollTasks,
        achilles::ReportResult,
        achilles::ReportStatus,
        achilles::CheckUpdate,
        achilles::Version,
        achilles::DownloadUpdate,
        achilles::DownloadBinary,
    }
}

#[doc(hidden)]
#[macro_export]
macro_rules! __visit_operations {
    ($visit:ident [$($pre:tt)*] [$($op:path,)*]) => { $visit! { [$($pre)*] $($op,)* } };
}

/// Expands a macro over the types of all operations whose vendors are switched on.
///
/// `for_each_endpoint!(visit!(tokens))` becomes `visit! { [tokens] Op1, Op2, … }`.
///
/// ```
/// use fleetwire_protocol::Endpoint;
/// macro_rules! ids { ([] $($op:path,)*) => { [$(<$op as Endpoint>::ID),*] } }
/// let ids = fleetwire_protocol::for_each_endpoint!(ids!());
/// assert!(ids.contains(&"acusight.checkin"));
/// ```
#[macro_export]
macro_rules! for_each_endpoint {
    ($visit:ident ! ($($pre:tt)*)) => { $crate::__acusight_operations! { $visit [$($pre)*] [] } };
}
