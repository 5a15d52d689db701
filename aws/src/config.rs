//! How AWS is reached: region, credentials, role, endpoint, proxy, private CA; and what is wrong with them. Components fill
//! it from keys that [`AccessConfig`], `TableConfig` and `QueueConfig` describe.

use http::Uri;
use steadyline_component::IamStatement;
use steadyline_component::extension::AwsConnection;

use crate::access::{AccessConfig, AssumeRole};

/// How to reach AWS and as whom. What is left out comes from the standard AWS chain.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct AwsConfig {
    /// The region. Empty: from the environment, the profile or the machine.
    pub region: String,
    /// The URL of the service, for emulators and private endpoints. Empty: the region's own.
    pub endpoint: String,
    /// As whom, and which way.
    pub access: AccessConfig,
}

/// A mistake that shows without asking AWS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// The key, below the block: `assume_role.arn`.
    pub path: &'static str,
    /// What is wrong and what was expected.
    pub message: String,
}

impl AwsConfig {
    /// The config for a service on this machine: its URL, region and keys, and nothing from the environment.
    pub fn local(connection: &AwsConnection) -> Self {
        Self {
            region: connection.region.clone(),
            endpoint: connection.url.clone(),
            access: AccessConfig {
                access_key_id: connection.access_key_id.clone(),
                secret_access_key: connection.secret_access_key.clone(),
                ..AccessConfig::default()
            },
        }
    }

    /// The role to assume, if one is named.
    pub fn role(&self) -> Option<&AssumeRole> {
        (!self.access.assume_role.arn.is_empty()).then_some(&self.access.assume_role)
    }

    /// What the process's own identity needs: to assume the role, if there is one. What the service needs is then for
    /// the role.
    pub fn permissions(&self) -> Vec<IamStatement> {
        self.role().map(|role| crate::iam::assume_role(&role.arn)).into_iter().collect()
    }

    /// Whom to ask for the role: the same config without role and endpoint, in the region of STS. Components that
    /// differ only in these share what comes out.
    pub(crate) fn base(&self) -> Self {
        let role = &self.access.assume_role;
        let region = if role.sts_region.is_empty() { &self.region } else { &role.sts_region };
        let access = AccessConfig { assume_role: AssumeRole::default(), ..self.access.clone() };
        Self { region: region.clone(), endpoint: String::new(), access }
    }

    /// Every mistake that shows without asking AWS.
    pub fn problems(&self) -> Vec<ConfigProblem> {
        let mut problems = Problems(Vec::new());
        self.check_keys(&mut problems);
        problems.region("region", &self.region);
        problems.url("endpoint", &self.endpoint, &["http", "https"]);
        problems.url("proxy_url", self.access.proxy_url.expose(), &["http", "socks5", "socks5h"]);
        if self.role().is_some() {
            self.access.assume_role.check(&mut problems);
        } else if !self.access.assume_role.external_id.is_empty() {
            problems
                .add("assume_role.external_id", "an external id without a role, expected `arn` beside it".to_owned());
        }
        problems.0
    }

    fn check_keys(&self, problems: &mut Problems) {
        let (id, secret) = (!self.access.access_key_id.is_empty(), !self.access.secret_access_key.is_empty());
        match (id, secret) {
            (true, false) => {
                problems.add("secret_access_key", "missing, expected the secret of `access_key_id`".into())
            }
            (false, true) => problems.add("access_key_id", "missing, expected the id of `secret_access_key`".into()),
            (false, false) if !self.access.session_token.is_empty() => {
                problems.add(
                    "session_token",
                    "a token without keys, expected `access_key_id` and `secret_access_key`".into(),
                );
            }
            _ => {}
        }
        if id && !self.access.profile.is_empty() {
            problems.add("profile", "both a profile and fixed keys, expected one of them".into());
        }
    }
}

impl AssumeRole {
    fn check(&self, problems: &mut Problems) {
        if !is_role_arn(&self.arn) {
            let message =
                format!("\"{}\" is no role, expected an ARN such as `arn:aws:iam::123456789012:role/name`", self.arn);
            problems.add("assume_role.arn", message);
        }
        problems.region("assume_role.sts_region", &self.sts_region);
        problems.url("assume_role.sts_endpoint", &self.sts_endpoint, &["http", "https"]);
        let name = &self.session_name;
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b);
        if !(2..=64).contains(&name.len()) || !name.bytes().all(legal) {
            let message =
                format!("\"{name}\" is no session name, expected 2 to 64 letters, digits or any of `_+=,.@-`");
            problems.add("assume_role.session_name", message);
        }
        let seconds = self.duration.get().as_secs();
        if !(900..=43_200).contains(&seconds) {
            problems.add("assume_role.duration", format!("{seconds} s, expected 15m to 12h"));
        }
    }
}

struct Problems(Vec<ConfigProblem>);

impl Problems {
    fn add(&mut self, path: &'static str, message: String) {
        self.0.push(ConfigProblem { path, message });
    }

    fn region(&mut self, path: &'static str, region: &str) {
        if !region.is_empty() && !crate::endpoint::is_region(region) {
            self.add(path, format!("\"{region}\" is no region, expected a name such as `us-east-1`"));
        }
    }

    fn url(&mut self, path: &'static str, url: &str, schemes: &[&str]) {
        let good = |uri: Uri| uri.host().is_some() && uri.scheme_str().is_some_and(|s| schemes.contains(&s));
        if !url.is_empty() && !url.parse().is_ok_and(good) {
            self.add(path, format!("not a URL, expected one that begins with `{}://`", schemes.join("://` or `")));
        }
    }
}

/// `arn:<partition>:iam::<account>:role/<name>`
fn is_role_arn(arn: &str) -> bool {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let [prefix, partition, service, region, account, resource] = parts[..] else {
        return false;
    };
    let account_ok = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
    let name_ok = resource.strip_prefix("role/").is_some_and(|name| !name.is_empty() && !name.contains(' '));
    prefix == "arn" && partition.starts_with("aws") && service == "iam" && region.is_empty() && account_ok && name_ok
}

#[cfg(test)]
mod tests {
    use steadyline_config::{Duration, Secret};

    use super::*;

    const ARN: &str = "arn:aws:iam::123456789012:role/amp/writer";

    fn access(access: AccessConfig) -> AwsConfig {
        AwsConfig { access, ..AwsConfig::default() }
    }

    fn with_role(change: impl FnOnce(&mut AssumeRole)) -> AwsConfig {
        let mut assume_role = AssumeRole { arn: ARN.into(), ..AssumeRole::default() };
        change(&mut assume_role);
        access(AccessConfig { assume_role, ..AccessConfig::default() })
    }

    fn paths(config: &AwsConfig) -> Vec<&'static str> {
        config.problems().iter().map(|problem| problem.path).collect()
    }

    #[test]
    fn nothing_at_all_is_fine_and_so_is_everything_right() {
        assert!(paths(&AwsConfig::default()).is_empty());
        let config = AwsConfig {
            region: "eu-central-2".into(),
            endpoint: "http://127.0.0.1:8000".into(),
            access: AccessConfig {
                access_key_id: "AKID".into(),
                secret_access_key: Secret::new("secret"),
                session_token: Secret::new("token"),
                proxy_url: Secret::new("http://proxy.internal:3128"),
                ..with_role(|role| role.external_id = "abc".into()).access
            },
        };
        assert_eq!(paths(&config), Vec::<&str>::new());
        assert!(paths(&with_role(|role| role.arn = "arn:aws-us-gov:iam::123456789012:role/x".into())).is_empty());
    }

    #[test]
    fn each_mistake_is_found_at_its_key() {
        let (base, keys) = (AwsConfig::default, AccessConfig::default);
        let secret = || Secret::new("x");
        let cases = [
            (access(AccessConfig { access_key_id: "A".into(), ..keys() }), "secret_access_key"),
            (access(AccessConfig { secret_access_key: secret(), ..keys() }), "access_key_id"),
            (access(AccessConfig { session_token: secret(), ..keys() }), "session_token"),
            (
                access(AccessConfig {
                    profile: "p".into(),
                    access_key_id: "A".into(),
                    secret_access_key: secret(),
                    ..keys()
                }),
                "profile",
            ),
            (AwsConfig { region: "us-east".into(), ..base() }, "region"),
            (AwsConfig { endpoint: "localhost:8000".into(), ..base() }, "endpoint"),
            (access(AccessConfig { proxy_url: Secret::new("ftp://x"), ..keys() }), "proxy_url"),
            (with_role(|role| role.arn = "amp-writer".into()), "assume_role.arn"),
            (with_role(|role| role.arn = "arn:aws:iam::123:role/x".into()), "assume_role.arn"),
            (with_role(|role| role.arn = "arn:aws:iam::123456789012:user/x".into()), "assume_role.arn"),
            (with_role(|role| role.session_name = "a b".into()), "assume_role.session_name"),
            (with_role(|role| role.duration = Duration::from_secs(60)), "assume_role.duration"),
            (with_role(|role| role.sts_region = "earth".into()), "assume_role.sts_region"),
            (
                access(AccessConfig {
                    assume_role: AssumeRole { external_id: "x".into(), ..AssumeRole::default() },
                    ..keys()
                }),
                "assume_role.external_id",
            ),
        ];
        for (config, path) in cases {
            assert_eq!(paths(&config), [path], "{config:?}");
        }
    }

    #[test]
    fn secrets_do_not_print() {
        let config = access(AccessConfig {
            access_key_id: "AKID".into(),
            secret_access_key: Secret::new("hunter2"),
            session_token: Secret::new("hunter3"),
            ..AccessConfig::default()
        });
        let shown = format!("{config:?}");
        assert!(!shown.contains("hunter"), "{shown}");
    }
}
