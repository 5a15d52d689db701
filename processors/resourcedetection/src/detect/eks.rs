//! A pod on EKS: the cluster's version says whose Kubernetes it is. The cluster's name is not known inside it: a variable
//! or a tag of the instance says it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use steadyline_component::Clock;
use steadyline_config::Secret;
use steadyline_http::{Client, ClientOptions, TlsConfig};

use super::ec2::Imds;
use super::{DetectError, Gathered, Known};
use crate::attribute::Attribute;
use crate::config::Wanted;
use crate::machine::Machine;

pub(crate) const ATTRIBUTES: Known = &[("cloud.platform", true), ("cloud.provider", true), ("k8s.cluster.name", false)];

/// Where a pod finds how to speak to its cluster.
const ACCOUNT: &str = "var/run/secrets/kubernetes.io/serviceaccount";
/// Tags with the cluster's name in their value.
const NAME_TAGS: [&str; 2] = ["aws:eks:cluster-name", "eks:cluster-name"];
/// A tag with the cluster's name in its key.
const OWNER_TAG: &str = "kubernetes.io/cluster/";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    git_version: String,
}

/// What the cluster says.
pub(crate) async fn detect(
    machine: &Machine,
    wanted: &Wanted,
    timeout: Duration,
) -> Result<Vec<Attribute>, DetectError> {
    let Some(host) = machine.var("KUBERNETES_SERVICE_HOST") else {
        return Err(DetectError::Absent("KUBERNETES_SERVICE_HOST is not set: this is no pod".into()));
    };
    let port = machine.var("KUBERNETES_SERVICE_PORT").unwrap_or_else(|| "443".into());
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let version = version(machine, &format!("https://{host}:{port}/version"), timeout).await?;
    if !version.contains("-eks-") {
        return Err(DetectError::Absent(format!("this is Kubernetes {version}, not EKS")));
    }
    let mut found = Gathered::new(wanted);
    found.text("cloud.provider", "aws");
    found.text("cloud.platform", "aws_eks");
    if wanted.has("k8s.cluster.name") {
        found.text("k8s.cluster.name", cluster_name(machine, timeout).await?);
    }
    Ok(found.attributes)
}

async fn version(machine: &Machine, url: &str, timeout: Duration) -> Result<String, DetectError> {
    let failed = |error: &dyn std::fmt::Display| DetectError::Failed(format!("`{url}`: {error}"));
    let ca_file = machine.path(ACCOUNT).join("ca.crt").to_string_lossy().into_owned();
    let token = machine.file(&format!("{ACCOUNT}/token"));
    let token = token.map(|token| ("authorization".to_owned(), Secret::new(format!("Bearer {token}"))));
    let options = ClientOptions {
        timeout,
        headers: BTreeMap::from_iter(token),
        tls: TlsConfig { ca_file, ..TlsConfig::default() },
        ..ClientOptions::default()
    };
    let client = Client::build(&options, &Clock::system())
        .map_err(|problems| failed(&problems.into_iter().map(|p| p.to_string()).collect::<Vec<_>>().join("; ")))?;
    let uri = url.parse().map_err(|error: http::uri::InvalidUri| failed(&error))?;
    client.start(&uri).map_err(|error| failed(&error))?;
    let answer = client.get(&uri).await.map_err(|error| failed(&error))?;
    if !answer.status.is_success() {
        return Err(failed(&format!("{}: {}", answer.status, answer.words())));
    }
    let version: Version = serde_json::from_slice(&answer.body).map_err(|error| failed(&error))?;
    Ok(version.git_version)
}

async fn cluster_name(machine: &Machine, timeout: Duration) -> Result<String, DetectError> {
    if let Some(name) = machine.var("EKS_CLUSTER_NAME") {
        return Ok(name);
    }
    let unknown = |why: &str| {
        DetectError::Failed(format!("the cluster's name is not known, set EKS_CLUSTER_NAME in the pod: {why}"))
    };
    let imds =
        Imds::open(machine, 2, Duration::from_secs(1), timeout / 2).await.map_err(|e| unknown(&e.to_string()))?;
    let keys = imds.tags().await?;
    if let Some(name) = keys.iter().find_map(|key| key.strip_prefix(OWNER_TAG)) {
        return Ok(name.to_owned());
    }
    match keys.iter().find(|key| NAME_TAGS.contains(&key.as_str())) {
        Some(key) => imds.tag(key).await,
        None => Err(unknown("the instance's metadata has no tag that says it")),
    }
}
