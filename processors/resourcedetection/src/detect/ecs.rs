//! An ECS task, by its metadata endpoint, version 4 (or 3).
//! Source: AWS, "Amazon ECS task metadata endpoint version 4"; OpenTelemetry semantic conventions, AWS ECS.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{DetectError, Gathered, Known};
use crate::attribute::Attribute;
use crate::config::Wanted;
use crate::machine::Machine;

pub(crate) const ATTRIBUTES: Known = &[
    ("aws.ecs.cluster.arn", true),
    ("aws.ecs.launchtype", true),
    ("aws.ecs.task.arn", true),
    ("aws.ecs.task.family", true),
    ("aws.ecs.task.id", true),
    ("aws.ecs.task.revision", true),
    ("aws.log.group.arns", true),
    ("aws.log.group.names", true),
    ("aws.log.stream.arns", true),
    ("aws.log.stream.names", true),
    ("cloud.account.id", true),
    ("cloud.availability_zone", true),
    ("cloud.platform", true),
    ("cloud.provider", true),
    ("cloud.region", true),
];

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Task {
    cluster: String,
    #[serde(rename = "TaskARN")]
    task_arn: String,
    family: String,
    revision: String,
    availability_zone: String,
    launch_type: String,
    containers: Vec<Container>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Container {
    docker_id: String,
    #[serde(rename = "ContainerARN")]
    container_arn: String,
    known_status: String,
    log_driver: String,
    log_options: LogOptions,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LogOptions {
    #[serde(rename = "awslogs-group")]
    group: String,
    #[serde(rename = "awslogs-region")]
    region: String,
    #[serde(rename = "awslogs-stream")]
    stream: String,
}

/// What the endpoint says about the task and its containers.
pub(crate) async fn detect(
    machine: &Machine,
    wanted: &Wanted,
    timeout: Duration,
) -> Result<Vec<Attribute>, DetectError> {
    let base = machine.var("ECS_CONTAINER_METADATA_URI_V4").or_else(|| machine.var("ECS_CONTAINER_METADATA_URI"));
    let Some(base) = base else {
        return Err(DetectError::Absent("ECS_CONTAINER_METADATA_URI_V4 is not set: this is no ECS task".into()));
    };
    let base = base.trim_end_matches('/');
    let (task, own): (Task, Container) =
        tokio::try_join!(ask(machine, format!("{base}/task"), timeout), ask(machine, base.to_owned(), timeout))?;
    Ok(describe(&task, &own, wanted))
}

async fn ask<T: DeserializeOwned>(machine: &Machine, url: String, timeout: Duration) -> Result<T, DetectError> {
    let text = machine.fetcher.get(&url, &[], timeout).await?;
    serde_json::from_str(&text).map_err(|error| DetectError::Failed(format!("`{url}` answers nonsense: {error}")))
}

fn describe(task: &Task, own: &Container, wanted: &Wanted) -> Vec<Attribute> {
    // arn:aws:ecs:region:account:task/cluster/id
    let parts: Vec<&str> = task.task_arn.splitn(6, ':').collect();
    let part = |at: usize| parts.get(at).copied().unwrap_or_default();
    let (partition, region, account) = (part(1), part(3), part(4));
    let mut found = Gathered::new(wanted);
    found.text("cloud.provider", "aws");
    found.text("cloud.platform", "aws_ecs");
    found.text("cloud.region", region);
    found.text("cloud.account.id", account);
    found.text("cloud.availability_zone", &task.availability_zone);
    let cluster = match task.cluster.as_str() {
        "" => String::new(),
        arn if arn.starts_with("arn:") => arn.to_owned(),
        name => format!("arn:{partition}:ecs:{region}:{account}:cluster/{name}"),
    };
    found.text("aws.ecs.cluster.arn", cluster);
    found.text("aws.ecs.launchtype", task.launch_type.to_ascii_lowercase());
    found.text("aws.ecs.task.arn", &task.task_arn);
    found.text("aws.ecs.task.id", part(5).rsplit('/').next().unwrap_or_default());
    found.text("aws.ecs.task.family", &task.family);
    found.text("aws.ecs.task.revision", &task.revision);
    logs(task, own, (partition, region, account), &mut found);
    found.attributes
}

/// Where the other containers of the task log to: telemetry that comes in is theirs, not ours.
fn logs(task: &Task, own: &Container, (partition, region, account): (&str, &str, &str), found: &mut Gathered<'_>) {
    let [mut groups, mut group_arns, mut streams, mut stream_arns] = [const { Vec::new() }; 4];
    let add = |list: &mut Vec<String>, text: String| {
        if !list.contains(&text) {
            list.push(text);
        }
    };
    let others = task.containers.iter().filter(|container| {
        container.docker_id != own.docker_id && container.known_status == "RUNNING" && container.log_driver == "awslogs"
    });
    for container in others {
        let options = &container.log_options;
        // The container's own ARN has the account that it logs to.
        let account = container.container_arn.split(':').nth(4).unwrap_or(account);
        let region = if options.region.is_empty() { region } else { &options.region };
        let group_arn = format!("arn:{partition}:logs:{region}:{account}:log-group:{}", options.group);
        if !options.group.is_empty() {
            add(&mut groups, options.group.clone());
            add(&mut group_arns, format!("{group_arn}:*"));
        }
        if !options.stream.is_empty() {
            add(&mut streams, options.stream.clone());
            add(&mut stream_arns, format!("{group_arn}:log-stream:{}", options.stream));
        }
    }
    found.list("aws.log.group.names", groups);
    found.list("aws.log.group.arns", group_arns);
    found.list("aws.log.stream.names", streams);
    found.list("aws.log.stream.arns", stream_arns);
}
