//! AWS' own endpoints, by their real names: FIPS, dual stack, other partitions; through a proxy, with certificates of a
//! private authority. Behind the names are emulators.

use crate::common::backend::Backend;
use crate::common::dynamodb::{Emulator, Table, moto};
use crate::common::onboarding::{config, four_accounts};
use crate::common::steadyline::Launch;
use crate::common::tunnel::Tunnel;
use crate::common::wait::until_true;

/// One poll of `aws` with these keys and variables, through a tunnel that knows this host alone.
async fn polls(host: &str, keys: &str, variables: &[(&str, &str)]) -> Tunnel {
    let table = Table::onboarding(Emulator::Embedded).await;
    table.api.put(four_accounts()).await;
    let tunnel = Tunnel::to(&[(host, &table.api.url)]).await;
    let fill = |text: &str| text.replace("PROXY", &tunnel.address()).replace("CA_FILE", &tunnel.ca_file());
    let config = config(&format!("aws\n    {}", fill(keys)), "10s", "  debug:");
    let mut launch = Launch::new(&config).with_keys();
    for (name, value) in variables {
        launch = launch.env(name, &fill(value));
    }
    let (code, samples, words) = launch.output(&["once"]).await;
    assert_eq!(code, 0, "{host}: {words}");
    let steps = r#"onboarding_completed_steps{account_id="acct-a",env="test"} 3"#;
    assert!(samples.contains(steps), "{host}: {samples}\n{words}");
    assert_eq!(tunnel.targets(), [format!("{host}:443")]);
    tunnel
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_endpoint_is_asked_by_its_name() {
    let way = "proxy_url: http://PROXY\n    ca_file: CA_FILE\n    ";
    let cases = [
        ("dynamodb.us-east-1.amazonaws.com", ""),
        ("dynamodb-fips.us-east-1.amazonaws.com", "use_fips: true"),
        ("dynamodb.us-east-1.api.aws", "use_dual_stack: true"),
        ("dynamodb-fips.us-east-1.api.aws", "use_fips: true\n    use_dual_stack: true"),
        ("dynamodb.cn-north-1.amazonaws.com.cn", "region: cn-north-1"),
        ("dynamodb.us-gov-west-1.amazonaws.com", "region: us-gov-west-1\n    use_fips: true"),
    ];
    for (host, keys) in cases {
        polls(host, &format!("{way}{keys}"), &[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_says_all_of_it_too() {
    let way = [("HTTPS_PROXY", "http://PROXY"), ("AWS_CA_BUNDLE", "CA_FILE")];
    let cases = [
        ("dynamodb.eu-west-1.amazonaws.com", ("AWS_REGION", "eu-west-1")),
        ("dynamodb-fips.us-east-1.amazonaws.com", ("AWS_USE_FIPS_ENDPOINT", "true")),
        ("dynamodb.us-east-1.api.aws", ("AWS_USE_DUALSTACK_ENDPOINT", "true")),
    ];
    for (host, variable) in cases {
        polls(host, "", &[way[0], way[1], variable]).await;
    }
    // A key is stronger than its variable.
    polls("dynamodb.us-east-1.amazonaws.com", "use_fips: false", &[way[0], way[1], cases[1].1]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_asks_gets_its_password_and_nobody_else_sees_it() {
    let keys = "proxy_url: http://poller:pa55word@PROXY\n    ca_file: CA_FILE";
    let tunnel = polls("dynamodb.us-east-1.amazonaws.com", keys, &[]).await;
    assert_eq!(tunnel.passwords(), ["Basic cG9sbGVyOnBhNTV3b3Jk"]);

    let config = config("aws\n    proxy_url: http://poller:pa55word@127.0.0.1:1", "10s", "  debug:");
    for command in ["once", "print-config", "check", "iam-policy", "validate"] {
        let (_, printed, words) = Launch::new(&config).with_keys().output(&[command]).await;
        assert!(!format!("{printed}{words}").contains("pa55word"), "{command}: {printed}{words}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_an_unknown_authority_is_refused() {
    let table = Table::onboarding(Emulator::Embedded).await;
    let tunnel = Tunnel::to(&[("dynamodb.us-east-1.amazonaws.com", &table.api.url)]).await;
    let keys = format!("aws\n    proxy_url: http://{}", tunnel.address());
    let (code, _, words) = Launch::new(&config(&keys, "10s", "  debug:")).with_keys().output(&["once"]).await;
    assert_eq!(code, 1, "{words}");
    assert!(words.contains("UnknownIssuer") && words.contains("next poll"), "{words}");
}

/// Polls a table as one role and writes to Amazon Managed Prometheus as another: all that this asks for goes the same way.
#[tokio::test(flavor = "multi_thread")]
async fn the_main_job_reaches_aws_from_a_closed_network() {
    let table = Table::onboarding(Emulator::Embedded).await;
    table.api.put(four_accounts()).await;
    let sts = moto().await;
    let amp = Backend::willing().await;
    let tunnel = Tunnel::to(&[
        ("dynamodb-fips.us-east-1.amazonaws.com", &table.api.url),
        ("sts-fips.us-east-1.amazonaws.com", &sts.api.url),
        ("aps-workspaces-fips.us-east-1.amazonaws.com", &amp.url()),
    ])
    .await;
    let (proxy, ca) = (tunnel.address(), tunnel.ca_file());
    let way = format!("proxy_url: http://{proxy}, ca_file: {ca}, use_fips: true");
    let exporter = format!(
        "  prometheusremotewrite:
    endpoint: https://aps-workspaces-fips.us-east-1.amazonaws.com/workspaces/ws-1/api/v1/remote_write
    proxy_url: http://{proxy}
    tls: {{ca_file: {ca}}}
    auth: {{authenticator: sigv4auth}}
    target_info: {{enabled: false}}"
    );
    let reader = format!(
        "aws\n    use_fips: true\n    proxy_url: http://{proxy}\n    ca_file: {ca}\n    assume_role: {{arn: 'arn:aws:iam::111122223333:role/table-reader'}}"
    );
    let role = "assume_role: {arn: 'arn:aws:iam::444455556666:role/amp-writer'}";
    let config = format!("extensions:\n  sigv4auth: {{{way}, {role}}}\n{}", config(&reader, "1s", &exporter));
    let mut steadyline = Launch::new(&config).with_keys().run().await;
    until_true("a line of each engaged account", async || {
        let taken = amp.taken();
        ["acct-a", "acct-b", "acct-c"]
            .iter()
            .all(|account| taken.iter().any(|(labels, _)| labels.get("account_id").is_some_and(|id| id == account)))
    })
    .await;
    let first = &amp.requests()[0];
    let signature = first.request.headers()["authorization"].to_str().unwrap();
    assert!(signature.contains("/us-east-1/aps/aws4_request"), "{signature}");
    assert!(first.request.headers().contains_key("x-amz-security-token"), "the role's session");
    assert_eq!(
        tunnel.targets(),
        [
            "aps-workspaces-fips.us-east-1.amazonaws.com:443",
            "dynamodb-fips.us-east-1.amazonaws.com:443",
            "sts-fips.us-east-1.amazonaws.com:443",
        ]
    );
    steadyline.finish().await;
}
