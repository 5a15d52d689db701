//! The standard chain, each provider alone: a child process with an environment of its own says what it found.
//! Environment variables belong to a whole process, so the tests do not set their own.

use std::path::Path;

use crate::support::{Reply, Server, session};
use steadyline_aws::{AccessConfig, AwsConfig, SharedConfig};

/// Set for the child; its value is the profile to ask for.
const CHILD: &str = "STEADYLINE_TEST_PROFILE";

/// What the child process does.
#[tokio::test]
#[ignore = "the other tests run it, each in an environment of its own"]
async fn child() {
    let profile = std::env::var(CHILD).unwrap();
    let shared = SharedConfig::of(&AwsConfig {
        access: AccessConfig { profile, ..AccessConfig::default() },
        ..AwsConfig::default()
    });
    match shared.credentials().await {
        Ok(credentials) => println!("found {} in {}", credentials.access_key_id(), shared.region().await.unwrap()),
        Err(failure) => println!("failed {failure}"),
    }
}

/// Runs the child in a bare environment, with an empty home and these variables.
async fn found(profile: &str, home: &Path, variables: &[(&str, &str)]) -> String {
    let mut command = tokio::process::Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "standard_chain::child", "--ignored", "--nocapture"])
        .env_clear()
        .env(CHILD, profile)
        .env("HOME", home);
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    command.envs(variables.iter().copied());
    let output = command.output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find_map(|line| {
        let start = line.find("found ").or_else(|| line.find("failed "))?;
        Some(line[start..].to_owned())
    });
    line.unwrap_or_else(|| panic!("{text}"))
}

fn home(config: &str) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join(".aws")).unwrap();
    std::fs::write(home.path().join(".aws/config"), config).unwrap();
    home
}

const REGION: (&str, &str) = ("AWS_REGION", "us-east-1");

#[tokio::test]
async fn the_environment_comes_first() {
    let home = home("[default]\naws_access_key_id = FILE\naws_secret_access_key = x\n");
    let keys = [("AWS_ACCESS_KEY_ID", "ENVKEY"), ("AWS_SECRET_ACCESS_KEY", "x"), REGION];
    assert_eq!(found("", home.path(), &keys).await, "found ENVKEY in us-east-1");
}

#[tokio::test]
async fn profiles_bring_their_region_and_a_named_one_is_the_only_one() {
    let home = home(
        "[default]\naws_access_key_id = FILE\naws_secret_access_key = x\nregion = eu-north-1\n\
         [profile other]\naws_access_key_id = OTHER\naws_secret_access_key = x\nregion = sa-east-1\n",
    );
    assert_eq!(found("", home.path(), &[]).await, "found FILE in eu-north-1");
    let keys = [("AWS_ACCESS_KEY_ID", "ENVKEY"), ("AWS_SECRET_ACCESS_KEY", "x")];
    assert_eq!(found("other", home.path(), &keys).await, "found OTHER in sa-east-1");
    let missing = found("nobody", home.path(), &[REGION]).await;
    assert!(missing.starts_with("failed no AWS credentials; tried profile `nobody`: "), "{missing}");
}

#[tokio::test]
async fn a_service_account_trades_its_token() {
    let sts = Server::start(|_| {
        let Reply::Body(status, body) = session("WEBKEY") else { unreachable!("a session is a body") };
        Reply::Body(status, body.replace("AssumeRole", "AssumeRoleWithWebIdentity"))
    })
    .await;
    let home = home("");
    let token = home.path().join("token");
    std::fs::write(&token, "jwt-1").unwrap();
    let (token, url) = (token.to_str().unwrap(), sts.url());
    let variables = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/pod"),
        ("AWS_ENDPOINT_URL_STS", &url),
        REGION,
    ];
    assert_eq!(found("", home.path(), &variables).await, "found WEBKEY in us-east-1");
    assert!(sts.asked()[0].body.contains("WebIdentityToken=jwt-1"));

    std::fs::remove_file(token).unwrap();
    let gone = found("", home.path(), &variables).await;
    assert!(gone.contains("web identity: ") && !gone.contains("instance metadata"), "{gone}");
}

#[tokio::test]
async fn a_container_asks_its_endpoint_without_the_proxy() {
    let container = Server::start(|_| {
        let body = r#"{"AccessKeyId":"PODKEY","SecretAccessKey":"x","Token":"t","Expiration":"2999-01-01T00:00:00Z"}"#;
        Reply::Body(200, body.into())
    })
    .await;
    let home = home("");
    let token = home.path().join("token");
    std::fs::write(&token, "pod-token").unwrap();
    let url = format!("{}/v1/credentials", container.url());
    let variables = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.to_str().unwrap()),
        ("HTTP_PROXY", "http://127.0.0.1:1"),
        ("HTTPS_PROXY", "http://127.0.0.1:1"),
        REGION,
    ];
    assert_eq!(found("", home.path(), &variables).await, "found PODKEY in us-east-1");
    assert_eq!(container.asked()[0].authorization, "pod-token");
}

#[tokio::test]
async fn an_instance_gives_region_and_role() {
    let instance = Server::start(|_| Reply::Metadata).await;
    let home = home("");
    let url = instance.url();
    let variables = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", url.as_str()), ("AWS_EC2_METADATA_DISABLED", "false")];
    assert_eq!(found("", home.path(), &variables).await, "found NODEKEY in ap-south-1");
}

#[tokio::test]
async fn nothing_at_all_is_told_provider_by_provider() {
    let home = home("");
    let text = found("", home.path(), &[REGION]).await;
    let tried = text.strip_prefix("failed no AWS credentials; tried ").unwrap_or_else(|| panic!("{text}"));
    let names: Vec<&str> = tried.split("; ").map(|part| part.split(':').next().unwrap()).collect();
    assert_eq!(names, ["environment", "profile", "web identity", "container", "instance metadata"], "{text}");
    for why in
        ["AWS_ACCESS_KEY_ID or", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "_FULL_URI", "AWS_EC2_METADATA_DISABLED"]
    {
        assert!(text.contains(why), "{why}: {text}");
    }

    let text = found("", home.path(), &[]).await;
    assert!(text.starts_with("failed no AWS region; tried the key `region`, AWS_REGION"), "{text}");
}
