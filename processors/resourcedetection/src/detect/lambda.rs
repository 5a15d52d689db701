//! A Lambda function, by the variables of its runtime.
//! Source: AWS, "Defined runtime environment variables"; OpenTelemetry semantic conventions, FaaS.

use super::{DetectError, Gathered, Known};
use crate::attribute::Attribute;
use crate::config::Wanted;
use crate::machine::Machine;

pub(crate) const ATTRIBUTES: Known = &[
    ("aws.log.group.names", true),
    ("aws.log.stream.names", true),
    ("cloud.platform", true),
    ("cloud.provider", true),
    ("cloud.region", true),
    ("faas.instance", true),
    ("faas.max_memory", true),
    ("faas.name", true),
    ("faas.version", true),
];

/// What the variables say.
pub(crate) fn detect(machine: &Machine, wanted: &Wanted) -> Result<Vec<Attribute>, DetectError> {
    let Some(function) = machine.var("AWS_LAMBDA_FUNCTION_NAME") else {
        return Err(DetectError::Absent("AWS_LAMBDA_FUNCTION_NAME is not set: this is no Lambda function".into()));
    };
    let var = |name| machine.var(name).unwrap_or_default();
    let mut found = Gathered::new(wanted);
    found.text("cloud.provider", "aws");
    found.text("cloud.platform", "aws_lambda");
    found.text("cloud.region", var("AWS_REGION"));
    found.text("faas.name", function);
    found.text("faas.version", var("AWS_LAMBDA_FUNCTION_VERSION"));
    found.text("faas.instance", var("AWS_LAMBDA_LOG_STREAM_NAME"));
    found.list("aws.log.group.names", machine.var("AWS_LAMBDA_LOG_GROUP_NAME").into_iter().collect());
    found.list("aws.log.stream.names", machine.var("AWS_LAMBDA_LOG_STREAM_NAME").into_iter().collect());
    let mebibytes: Option<u64> = var("AWS_LAMBDA_FUNCTION_MEMORY_SIZE").parse().ok();
    if let Some(bytes) = mebibytes.and_then(|mebibytes| mebibytes.checked_mul(1 << 20))
        && wanted.has("faas.max_memory")
    {
        found.attributes.push(Attribute::number("faas.max_memory", bytes));
    }
    Ok(found.attributes)
}
