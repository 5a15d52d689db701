//! What the `check` and `iam-policy` commands ask of components.

/// One row of the table that `check` prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckRow {
    /// What was tried: `read table onboarding`, `sts:GetCallerIdentity`, ...
    pub what: String,
    /// How it went.
    pub verdict: Verdict,
    /// What was found: an identity, a latency, the backend's words.
    pub detail: String,
    /// What to do about it: the missing IAM action, the key to change. Empty if nothing is to do.
    pub advice: String,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Pass,
    /// It will run, but somebody should look.
    Warn,
    /// It will not run like this.
    Fail,
}

/// One statement of an IAM policy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct IamStatement {
    /// A name of letters and digits for the statement.
    pub sid: String,
    /// Actions such as `dynamodb:Scan`.
    pub actions: Vec<String>,
    /// ARNs; `<placeholders>` where account or region are unknown.
    pub resources: Vec<String>,
    /// Conditions as (operator, key, value), if any.
    pub conditions: Vec<(String, String, String)>,
}
