//! The processor as tables: config, in, out. The kit checks conservation after every step.

use steadyline_component::testkit::{ProcessorHarness, create};
use steadyline_component::{PassEnd, Tally};
use steadyline_processor_labels::LabelsFactory;

fn harness(config: &str) -> ProcessorHarness {
    ProcessorHarness::new::<LabelsFactory>(config)
}

fn check(config: &str, points: &str, expected: &[&str]) {
    let mut harness = harness(config);
    assert_eq!(harness.push(points), expected, "{config}\n{points}");
    let header = &harness.batches.last().expect("a batch comes out").header;
    assert!(header.labels_final);
}

fn dropped(tally: &Tally) -> Vec<(String, u64)> {
    tally.balance().dropped.iter().map(|(reason, points)| (reason.to_string(), *points)).collect()
}

#[test]
fn the_flagship() {
    check(
        "{translation_strategy: UnderscoreEscapingWithoutSuffixes, keep: [account_id, account_name, status, env]}",
        r#"
        resource{env="dev",host.name="h"}
        onboarding_completed_steps{account_id="acme",table="onboarding"} 5 @60
        onboarding_total_steps{account_id="acme"} 8 @60
        onboarding_account_info{status="visited",account_name="Acme",account_id="acme"} 1 @60
        onboarding_completed_steps{account_id="bolt"} stale @60
        onboarding_completed_steps{account_id="core"} held @60
        "#,
        &[
            r#"resource{env="dev",host.name="h"}"#,
            r#"onboarding_completed_steps{account_id="acme",env="dev"} 5 @60"#,
            r#"onboarding_completed_steps{account_id="bolt",env="dev"} stale @60"#,
            r#"onboarding_completed_steps{account_id="core",env="dev"} held @60"#,
            r#"onboarding_total_steps{account_id="acme",env="dev"} 8 @60"#,
            r#"onboarding_account_info{account_id="acme",account_name="Acme",env="dev",status="visited"} 1 @60"#,
        ],
    );
}

#[test]
fn names_by_strategy() {
    let points = "http.server.requests{http.method=\"GET\",0x=\"1\"} 1\ncounter http.hits 2\n";
    let rows: [(&str, [&str; 2]); 4] = [
        ("{}", [r#"http_server_requests{http_method="GET",key_0x="1"} 1"#, "counter http_hits_total 2"]),
        (
            "{translation_strategy: UnderscoreEscapingWithoutSuffixes, namespace: my-app}",
            [r#"my_app_http_server_requests{http_method="GET",key_0x="1"} 1"#, "counter my_app_http_hits 2"],
        ),
        (
            "{translation_strategy: NoUTF8EscapingWithSuffixes}",
            [r#"http.server.requests{0x="1",http.method="GET"} 1"#, "counter http.hits_total 2"],
        ),
        (
            "{translation_strategy: NoTranslation}",
            [r#"http.server.requests{0x="1",http.method="GET"} 1"#, "counter http.hits 2"],
        ),
    ];
    for (config, expected) in rows {
        check(config, points, &expected);
    }
}

#[test]
fn values_become_text_and_empty_ones_stay() {
    check(
        "{}",
        r#"m{i=-5,b=true,d=0.5,whole=3.0,s="x",none=,empty=""} 1"#,
        &[r#"m{b="true",d="0.5",empty="",i="-5",none="",s="x",whole="3"} 1"#],
    );
}

#[test]
fn keep_drop_and_rename_take_any_spelling() {
    let points = r#"m{http.method="GET",http.path="/a",k8s.pod="p",k8s.node="n"} 1"#;
    let rows = [
        ("{keep: [http.method]}", r#"m{http_method="GET"} 1"#),
        ("{keep: [http_method]}", r#"m{http_method="GET"} 1"#),
        ("{keep: [http_*, k8s.pod]}", r#"m{http_method="GET",http_path="/a",k8s_pod="p"} 1"#),
        ("{drop: [k8s.*, http_path]}", r#"m{http_method="GET"} 1"#),
        ("{keep: [http.*], drop: [http.path]}", r#"m{http_method="GET"} 1"#),
        ("{keep: [verb], rename: {http.method: verb}}", r#"m{verb="GET"} 1"#),
        ("{keep: [http.method], rename: {http_method: the.verb}}", r#"m{the_verb="GET"} 1"#),
        ("{keep: [verb, k8s.*], rename: {http.method: verb, k8s.pod: a}}", r#"m{a="p",k8s_node="n",verb="GET"} 1"#),
        ("{keep: [none]}", "m 1"),
    ];
    for (config, expected) in rows {
        check(config, points, &[expected]);
    }
}

#[test]
fn constants_replace_or_fill() {
    let points = "m{env=\"dev\"} 1\nm{env=\"\"} 2\nm 3\n";
    let replaced = [r#"m{env="prod"} 1"#, r#"m{env="prod"} 2"#, r#"m{env="prod"} 3"#];
    check("{set: {env: prod}}", points, &replaced);
    let filled = [r#"m{env="dev"} 1"#, r#"m{env="prod"} 2"#, r#"m{env="prod"} 3"#];
    check("{set: {env: prod}, overwrite: false}", points, &filled);
    check("{set: {env: \"\"}}", points, &[r#"m{env=""} 1"#, r#"m{env=""} 2"#, r#"m{env=""} 3"#]);
    check("{keep: [], set: {env: prod}}", points, &replaced);
}

#[test]
fn resource_attributes_are_copied_and_the_points_own_come_first() {
    let points = r#"
        resource{zone="z",env="dev",n=7}
        m{env="own"} 1
        m{env=""} 2
        m 3
        resource{zone="y",env="prod",n=8}
        m 4
    "#;
    let resources = [r#"resource{zone="z",env="dev",n=7}"#, r#"resource{zone="y",env="prod",n=8}"#];
    check(
        "{resource: [env, n]}",
        points,
        &[
            resources[0],
            r#"m{env="own",n="7"} 1"#,
            r#"m{env="dev",n="7"} 2"#,
            r#"m{env="dev",n="7"} 3"#,
            resources[1],
            r#"m{env="prod",n="8"} 4"#,
        ],
    );
    check(
        "{resource: ['*'], drop: [n, env]}",
        points,
        &[resources[0], r#"m{zone="z"} 1"#, r#"m{zone="z"} 2"#, r#"m{zone="z"} 3"#, resources[1], r#"m{zone="y"} 4"#],
    );
}

#[test]
fn job_and_instance_come_from_the_service() {
    let resource = r#"resource{service.name="api",service.namespace="shop",service.instance.id="i-1"}"#;
    let points = format!("{resource}\nm{{a=\"x\",job=\"other\"}} 1");
    check("{}", &points, &[resource, r#"m{a="x",instance="i-1",job="shop/api"} 1"#]);
    check("{keep: [a, job]}", &points, &[resource, r#"m{a="x",job="shop/api"} 1"#]);
    check("{drop: [job, instance]}", &points, &[resource, r#"m{a="x"} 1"#]);
    check("{rename: {job: service}}", &points, &[resource, r#"m{a="x",instance="i-1",service="shop/api"} 1"#]);
    let resource = r#"resource{service.name="api",service.namespace=""}"#;
    check("{}", &format!("{resource}\nm 1"), &[resource, r#"m{job="api"} 1"#]);
    let resource = r#"resource{service.namespace="shop"}"#;
    check("{}", &format!("{resource}\nm{{job=\"own\"}} 1"), &[resource, r#"m{job="own"} 1"#]);
}

#[test]
fn attributes_that_become_one_label() {
    let points = "m{a_b=\"under\",a.b=\"dot\"} 1\nm{a.b=\"same\",a_b=\"same\"} 2\nm{a.b=\"\",a_b=\"one\"} 3\n";
    let rows = [
        ("{}", "dot;under"),
        ("{on_collision: join}", "dot;under"),
        ("{on_collision: first}", "dot"),
        ("{on_collision: last}", "under"),
    ];
    for (config, value) in rows {
        let first = format!("m{{a_b=\"{value}\"}} 1");
        check(config, points, &[&first, r#"m{a_b="same"} 2"#, r#"m{a_b="one"} 3"#]);
    }
    let mut harness = harness("{on_collision: drop_point}");
    assert_eq!(harness.push(points), [r#"m{a_b="same"} 2"#, r#"m{a_b="one"} 3"#]);
    assert_eq!(dropped(&harness.tally), [("label_collision".to_string(), 1)]);
}

#[test]
fn long_values_are_cut_between_characters_or_cost_the_point() {
    let points = "m{a=\"abcdef\"} 1\nm{a=\"abcdé\"} 2\nm{a=\"abcde\"} 3\nm{a=1234567} 4\n";
    check(
        "{max_label_value_bytes: 5}",
        points,
        &[r#"m{a="abcde"} 1"#, r#"m{a="abcd"} 2"#, r#"m{a="abcde"} 3"#, r#"m{a="12345"} 4"#],
    );
    let mut harness = harness("{max_label_value_bytes: 5, on_long_value: drop_point}");
    assert_eq!(harness.push(points), [r#"m{a="abcde"} 3"#]);
    assert_eq!(dropped(&harness.tally), [("label_value_too_long".to_string(), 3)]);
    let huge = "x".repeat(400_000);
    let mut harness = self::harness("{}");
    assert_eq!(harness.push(&format!("m{{a=\"{huge}\"}} 1")), [format!("m{{a=\"{}\"}} 1", &huge[..2048])]);
    let mut harness = self::harness("{max_label_value_bytes: 0}");
    assert_eq!(harness.push(&format!("m{{a=\"{huge}\"}} 1")), [format!("m{{a=\"{huge}\"}} 1")]);
}

#[test]
fn points_with_too_many_labels_are_dropped_and_empty_labels_do_not_count() {
    let mut harness = harness("{max_labels: 3}");
    let points = "m{a=\"1\",b=\"2\"} 1\nm{a=\"1\",b=\"2\",c=\"3\"} 2\nm{a=\"1\",b=\"2\",c=\"\"} 3\n";
    assert_eq!(harness.push(points), [r#"m{a="1",b="2"} 1"#, r#"m{a="1",b="2",c=""} 3"#]);
    assert_eq!(dropped(&harness.tally), [("too_many_labels".to_string(), 1)]);
}

#[test]
fn names_without_anything_legal() {
    let mut harness = harness("{}");
    let points = "... 1\nfine{____=\"x\",a=\"y\",__name__=\"z\"} 2\n!!!{a=\"1\"} 3\n!!!{a=\"2\"} 4\n";
    assert_eq!(harness.push(points), [r#"fine{a="y"} 2"#]);
    assert_eq!(dropped(&harness.tally), [("illegal_name".to_string(), 3)]);
}

#[test]
fn a_second_time_changes_nothing_not_even_the_namespace() {
    let config = "{namespace: app, set: {env: prod}, max_label_value_bytes: 4}";
    let mut harness = harness(config);
    let once = harness.push("m.n{a.b=\"x\",a_b=\"yyy\",c=1} 1\ncounter hits{z=\"\"} 2\n");
    assert_eq!(once, [r#"app_m_n{a_b="x;yy",c="1",env="prod"} 1"#, r#"counter app_hits_total{env="prod",z=""} 2"#]);
    let batch = harness.batches.remove(0);
    assert_eq!(harness.push_batch(batch), once);
}

#[test]
fn a_batch_that_is_fine_keeps_its_tables() {
    let mut harness = harness("{}");
    let text = "m{a=\"1\",b=\"2\"} 1\nm{a=\"1\",b=\"3\"} 2\n";
    let batch = steadyline_component::Batch::metrics(steadyline_component::testkit::metrics(text));
    let before = batch.as_metrics().map(|metrics| metrics.tables() as *const _);
    harness.push_batch(batch);
    let after = harness.batches[0].as_metrics().map(|metrics| metrics.tables() as *const _);
    assert_eq!(before, after);
}

#[test]
fn headers_pass_and_identity_is_translated_along() {
    let rows: &[(&str, &[&str], &[&str])] = &[
        ("{}", &["account.id", "region"], &["account_id", "region"]),
        ("{rename: {account.id: account}}", &["account.id"], &["account"]),
        ("{keep: [region]}", &["account.id", "region"], &[]),
        ("{resource: [region]}", &["account.id", "region"], &["account_id", "region"]),
        ("{}", &[], &[]),
    ];
    for (config, before, after) in rows {
        let mut harness = harness(config);
        harness.source("dynamodb/x", before);
        harness.pass(7, "m{account.id=\"a\"} 1", PassEnd::Complete);
        let header = &harness.batches[0].header;
        assert_eq!(header.identity.iter().map(|key| &**key).collect::<Vec<_>>(), *after, "{config}");
        assert_eq!((&*header.source, header.labels_final), ("dynamodb/x", true));
        let pass = header.pass.as_ref().expect("the end of the pass comes out");
        assert_eq!((pass.epoch, pass.end), (7, Some(PassEnd::Complete)));
    }
}

#[test]
fn what_is_wrong_with_a_config_is_said() {
    let rows = [
        ("{keep: [a, '']}", "keep[1]: the name of an attribute is not empty"),
        ("{rename: {a: ____}}", "rename.a: `____` cannot be a label: nothing of it is legal"),
        ("{set: {__name__: x}}", "set.__name__: `__name__` is the metric's name, not a label"),
        ("{set: {a.b: x, a_b: y}}", "set.a_b: `a.b` and `a_b` are both the label `a_b`"),
        ("{on_collision: maybe}", "labels.on_collision"),
        ("{keeps: [a]}", "labels.keeps"),
        ("{translation_strategy: None}", "labels.translation_strategy"),
    ];
    for (config, expected) in rows {
        let text = create::<LabelsFactory>(config).err().unwrap_or_default();
        assert!(text.contains(expected), "{config}: {text}");
    }
}
