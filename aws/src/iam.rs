//! Least-privilege policies: the statements that components ask for, as one policy document.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use steadyline_component::IamStatement;

/// A policy document from statements. Statements that differ in their actions alone become one; actions and resources
/// are sorted and stand once, so that the same config always prints the same policy.
pub fn policy(statements: &[IamStatement]) -> Value {
    let mut merged: BTreeMap<Subject, (String, Vec<String>)> = BTreeMap::new();
    for statement in statements {
        let subject = Subject { resources: sorted(&statement.resources), conditions: sorted(&statement.conditions) };
        let (_, actions) = merged.entry(subject).or_insert_with(|| (statement.sid.clone(), Vec::new()));
        actions.extend(statement.actions.iter().cloned());
    }
    let mut documents: Vec<(String, Subject, Vec<String>)> =
        merged.into_iter().map(|(subject, (sid, actions))| (sid, subject, sorted(&actions))).collect();
    documents.sort();
    make_sids_distinct(&mut documents);
    let statements: Vec<Value> =
        documents.iter().map(|(sid, subject, actions)| render(sid, subject, actions)).collect();
    json!({ "Version": "2012-10-17", "Statement": statements })
}

/// The permission to assume a role.
pub fn assume_role(arn: &str) -> IamStatement {
    IamStatement {
        sid: "AssumeRole".to_owned(),
        actions: vec!["sts:AssumeRole".to_owned()],
        resources: vec![arn.to_owned()],
        conditions: Vec::new(),
    }
}

/// The ARN of a resource; `<region>` and `<account>` where they are not known.
pub fn arn(service: &str, region: &str, account: &str, resource: &str) -> String {
    let partition = match region {
        region if region.starts_with("cn-") => "aws-cn",
        region if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    };
    let region = if region.is_empty() { "<region>" } else { region };
    let account = if account.is_empty() { "<account>" } else { account };
    format!("arn:{partition}:{service}:{region}:{account}:{resource}")
}

/// What a statement is about: what must be the same for two statements to be one.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Subject {
    resources: Vec<String>,
    conditions: Vec<(String, String, String)>,
}

fn sorted<T: Ord + Clone>(values: &[T]) -> Vec<T> {
    let mut values = values.to_vec();
    values.sort();
    values.dedup();
    values
}

/// A policy refuses two statements of one name: the second `Read` becomes `Read2`.
fn make_sids_distinct(documents: &mut [(String, Subject, Vec<String>)]) {
    let mut used: BTreeSet<String> = BTreeSet::new();
    for (sid, ..) in documents {
        let free =
            std::iter::once(sid.clone()).chain((2..).map(|n| format!("{sid}{n}"))).find(|name| !used.contains(name));
        *sid = free.expect("the numbers do not end");
        used.insert(sid.clone());
    }
}

fn render(sid: &str, subject: &Subject, actions: &[String]) -> Value {
    let mut statement = Map::new();
    statement.insert("Sid".to_owned(), json!(sid));
    statement.insert("Effect".to_owned(), json!("Allow"));
    statement.insert("Action".to_owned(), json!(actions));
    statement.insert("Resource".to_owned(), json!(subject.resources));
    if !subject.conditions.is_empty() {
        statement.insert("Condition".to_owned(), conditions(&subject.conditions));
    }
    Value::Object(statement)
}

/// `{operator: {key: value}}`, or a list where one key has several values.
fn conditions(conditions: &[(String, String, String)]) -> Value {
    let mut operators: BTreeMap<&str, BTreeMap<&str, Vec<&str>>> = BTreeMap::new();
    for (operator, key, value) in conditions {
        operators.entry(operator).or_default().entry(key).or_default().push(value);
    }
    let one_or_many = |values: Vec<&str>| match values[..] {
        [value] => json!(value),
        _ => json!(values),
    };
    operators
        .into_iter()
        .map(|(operator, keys)| {
            let keys: Map<String, Value> = keys.into_iter().map(|(key, v)| (key.to_owned(), one_or_many(v))).collect();
            (operator.to_owned(), Value::Object(keys))
        })
        .collect::<Map<String, Value>>()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(sid: &str, actions: &[&str], resources: &[&str]) -> IamStatement {
        let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        IamStatement { sid: sid.into(), actions: own(actions), resources: own(resources), conditions: Vec::new() }
    }

    #[test]
    fn statements_about_the_same_resources_become_one() {
        let document = policy(&[
            statement("Read", &["dynamodb:Query"], &["table/b", "table/a"]),
            assume_role("arn:aws:iam::1:role/x"),
            statement("ReadMore", &["dynamodb:Scan", "dynamodb:Query"], &["table/a", "table/b"]),
        ]);
        let expected = json!({
            "Version": "2012-10-17",
            "Statement": [
                {"Sid": "AssumeRole", "Effect": "Allow", "Action": ["sts:AssumeRole"], "Resource": ["arn:aws:iam::1:role/x"]},
                {"Sid": "Read", "Effect": "Allow", "Action": ["dynamodb:Query", "dynamodb:Scan"], "Resource": ["table/a", "table/b"]},
            ]
        });
        assert_eq!(document, expected);
    }

    #[test]
    fn arns_are_in_their_partition_and_say_what_is_not_known() {
        for (region, account, expected) in [
            ("us-east-1", "1", "arn:aws:sqs:us-east-1:1:q"),
            ("cn-north-1", "1", "arn:aws-cn:sqs:cn-north-1:1:q"),
            ("us-gov-west-1", "", "arn:aws-us-gov:sqs:us-gov-west-1:<account>:q"),
            ("", "", "arn:aws:sqs:<region>:<account>:q"),
        ] {
            assert_eq!(arn("sqs", region, account, "q"), expected);
        }
    }

    #[test]
    fn names_stay_distinct_and_conditions_are_kept_apart() {
        let mut narrowed = statement("Read", &["kms:Decrypt"], &["key/1"]);
        narrowed.conditions = vec![("StringEquals".into(), "kms:ViaService".into(), "dynamodb.x".into())];
        let taken = statement("Read2", &["kms:Decrypt"], &["key/2"]);
        let document = policy(&[statement("Read", &["kms:Decrypt"], &["key/1"]), narrowed, taken]);
        let statements = document["Statement"].as_array().unwrap();
        let sids: Vec<&str> = statements.iter().map(|s| s["Sid"].as_str().unwrap()).collect();
        assert_eq!(sids, ["Read", "Read2", "Read22"]);
        assert_eq!(statements[1]["Condition"], json!({"StringEquals": {"kms:ViaService": "dynamodb.x"}}));
    }
}
