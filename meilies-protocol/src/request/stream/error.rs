//! Why a command about a stream or a group is refused before it is executed.

use crate::limits::{IDEMPOTENCY_DURATION_S_MAX, IDEMPOTENCY_KEYS_MAX};

/// A refused argument of the Streams family, in Redis' words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamRequestError {
    /// An option of a trim is negative.
    #[error("The {option} argument must be >= 0.")]
    Negative {
        /// Which.
        option: &'static str,
    },
    /// A stream is to be trimmed in two ways.
    #[error("syntax error, MAXLEN and MINID options at the same time are not compatible")]
    TrimTwice,
    /// XTRIM without a way to trim.
    #[error("syntax error, XTRIM must be called with a trimming strategy")]
    TrimMissing,
    /// A limit of a trim without a trim.
    #[error("syntax error, LIMIT cannot be used without specifying a trimming strategy")]
    LimitAlone,
    /// A limit of a trim that is exact.
    #[error("syntax error, LIMIT cannot be used without the special ~ option")]
    LimitExact,
    /// XADD is given the id that no event has.
    #[error("The ID specified in XADD must be greater than 0-0")]
    NewIdZero,
    /// XADD is to know repetitions by two ways.
    #[error("syntax error, IDMP/IDMPAUTO specified multiple times")]
    IdempotencyTwice,
    /// XADD is to know repetitions and is given an id.
    #[error("syntax error, IDMP/IDMPAUTO can be used only with auto-generated IDs")]
    IdempotencyWithId,
    /// A range begins behind the greatest id.
    #[error("invalid start ID for the interval")]
    RangeStart,
    /// A range ends before the least id.
    #[error("invalid end ID for the interval")]
    RangeEnd,
    /// XREAD has not as many ids as streams.
    #[error(
        "Unbalanced 'xread' list of streams: for each stream key an ID, '+', or '$' must be \
         specified."
    )]
    ReadUnbalanced,
    /// XREADGROUP has not as many ids as streams.
    #[error(
        "Unbalanced 'xreadgroup' list of streams: for each stream key an ID or '>' must be \
         specified."
    )]
    GroupReadUnbalanced,
    /// XREAD is given what only XREADGROUP understands.
    #[error(
        "The > ID can be specified only when calling XREADGROUP using the GROUP <group> \
         <consumer> option."
    )]
    NewWithoutGroup,
    /// XREADGROUP is given what only XREAD understands.
    #[error(
        "The {id} ID is meaningless in the context of XREADGROUP: you want to read the history of \
         this consumer by specifying a proper ID, or use the > ID to get new messages. The {id} ID \
         would just return an empty result set."
    )]
    IdOfXRead {
        /// `$` or `+`.
        id: char,
    },
    /// An option of XREADGROUP is given to XREAD.
    #[error("The {option} option is only supported by XREADGROUP. You called XREAD instead.")]
    OptionOfGroup {
        /// Which.
        option: &'static str,
    },
    /// A bound of all that is read together is not above 0.
    #[error("{option} must be a positive integer")]
    ReadBound {
        /// Which.
        option: &'static str,
    },
    /// Less is wanted of all the streams than of each.
    #[error("MAXCOUNT must be greater than or equal to COUNT")]
    ReadBoundBelowCount,
    /// XREADGROUP without a group.
    #[error("Missing GROUP option for XREADGROUP")]
    GroupMissing,
    /// XSETID is given a negative number of events.
    #[error("entries_added must be positive")]
    EntriesAdded,
    /// XSETID is given a deleted event behind the last one.
    #[error("The ID specified in XSETID is smaller than the provided max_deleted_entry_id")]
    DeletedBehindLast,
    /// XADD is given a producer without a name.
    #[error("syntax error, {option} requires a non-empty producer ID")]
    ProducerEmpty {
        /// In which option.
        option: &'static str,
    },
    /// XADD is given an empty key.
    #[error("syntax error, IDMP requires a non-empty idempotent ID")]
    KeyEmpty,
    /// XCFGSET is to set nothing.
    #[error("At least one parameter must be specified")]
    NothingSet,
    /// XCFGSET is to set the same twice.
    #[error("{option} specified multiple times")]
    SetTwice {
        /// What.
        option: &'static str,
    },
    /// XCFGSET is given a time that is too short or too long.
    #[error("IDMP-DURATION must be between 1 and {IDEMPOTENCY_DURATION_S_MAX} seconds")]
    Duration,
    /// XCFGSET is to keep no keys, or too many.
    #[error("IDMP-MAXSIZE must be between 1 and {IDEMPOTENCY_KEYS_MAX} entries")]
    KeysKept,
    /// XGROUP is given a negative number of events.
    #[error("value for ENTRIESREAD must be positive or -1")]
    EntriesRead,
    /// The time for which an event must have been pending is no number.
    #[error("Invalid min-idle-time argument for {command}")]
    MinIdle {
        /// Whose.
        command: &'static str,
    },
    /// The time behind XREADGROUP's `CLAIM` is no number.
    #[error("min-idle-time is not an integer or out of range")]
    ReadMinIdle,
    /// The time behind XREADGROUP's `CLAIM` is negative.
    #[error("min-idle-time must be a positive integer")]
    ReadMinIdleNegative,
    /// The value of an option of XCLAIM is no number.
    #[error("Invalid {option} option argument for XCLAIM")]
    ClaimValue {
        /// Which option.
        option: &'static str,
    },
    /// An option of XCLAIM that there is not, or that has no value.
    #[error("Unrecognized XCLAIM option '{option}'")]
    ClaimOption {
        /// The option as it was given.
        option: String,
    },
    /// XAUTOCLAIM is to look at no event, or at too many.
    #[error("COUNT must be > 0")]
    AutoClaimCount,
    /// The count behind `IDS` is no number, or 0.
    #[error("Number of IDs must be a positive integer")]
    IdsCount,
    /// There are fewer ids than their count says.
    #[error("The `numids` parameter must match the number of arguments")]
    IdsMismatch,
    /// The count behind XNACK's `IDS` is no number, or 0.
    #[error("numids must be a positive integer")]
    ReleasedCount,
    /// XNACK has fewer ids than their count says.
    #[error("number of IDs doesn't match numids")]
    ReleasedMismatch,
    /// XNACK does not know what happened.
    #[error("mode must be SILENT, FAIL, or FATAL")]
    ReleaseMode,
    /// XNACK is given a negative number of deliveries.
    #[error("Invalid RETRYCOUNT value, must be >= 0")]
    ReleaseDeliveries,
    /// XNACK is given an option that there is not, or that has no value.
    #[error("Unrecognized XNACK option '{0}'")]
    ReleaseOption(String),
    /// XNACK is not told which events.
    #[error("syntax error, expected IDS keyword")]
    ReleaseWithoutIds,
}
