//! The extension as config makes it: headers in, actions, headers out.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use steadyline_component::testkit::{self, TestExtensions};
use steadyline_component::{AuthError, Authenticator, Clock, Extension, Meter, Payload, async_trait};
use steadyline_extension_headers_setter::HeadersSetterFactory;

/// Signs by copying the header that it must cover.
struct Signer;

impl Extension for Signer {
    fn as_authenticator(self: Arc<Self>) -> Option<Arc<dyn Authenticator>> {
        Some(self)
    }
}

#[async_trait]
impl Authenticator for Signer {
    async fn authenticate(&self, head: &mut http::request::Parts, _: &Payload) -> Result<(), AuthError> {
        let covered = head.headers["a"].clone();
        head.headers.insert("signature", covered);
        Ok(())
    }

    fn validate(&self, _: &http::Uri) -> Result<(), String> {
        Err("not this host".into())
    }
}

fn make(yaml: &str) -> Result<Arc<dyn Authenticator>, String> {
    let signer = Arc::new(Signer) as Arc<dyn Extension>;
    let mut extensions = TestExtensions(BTreeMap::from([("signer".to_string(), signer)]));
    let made =
        testkit::create_with::<HeadersSetterFactory>(yaml, &mut extensions, &Clock::manual(0), &Meter::default());
    Ok(made?.as_authenticator().unwrap())
}

async fn headers(yaml: &str) -> String {
    let (mut head, ()) = http::Request::builder().header("a", "1").header("a", "2").body(()).unwrap().into_parts();
    make(yaml).unwrap().authenticate(&mut head, &Payload::default()).await.unwrap();
    let mut lines: Vec<String> =
        head.headers.iter().map(|(name, value)| format!("{name}={}", value.to_str().unwrap())).collect();
    lines.sort();
    lines.join(" ")
}

#[tokio::test]
async fn each_action_does_what_it_says() {
    for (actions, expected) in [
        ("{key: A, value: x}", "a=x"),
        ("{action: upsert, key: b, value: x}", "a=1 a=2 b=x"),
        ("{action: insert, key: a, value: x}", "a=1 a=2"),
        ("{action: insert, key: b, value: x}", "a=1 a=2 b=x"),
        ("{action: update, key: a, value: x}", "a=x"),
        ("{action: update, key: b, value: x}", "a=1 a=2"),
        ("{action: delete, key: a}", ""),
        ("{action: delete, key: b}", "a=1 a=2"),
        ("{key: b, value: '', default_value: y}", "a=1 a=2 b=y"),
        ("{action: delete, key: a}, {action: insert, key: a, value: 3}", "a=3"),
    ] {
        assert_eq!(headers(&format!("headers: [{actions}]")).await, expected, "{actions}");
    }
}

#[tokio::test]
async fn another_authenticator_goes_over_the_headers_that_were_set() {
    let yaml = "headers: [{key: a, value: x}]\nadditional_auth: signer";
    assert_eq!(headers(yaml).await, "a=x signature=x");
    let url = "https://host/".parse().unwrap();
    assert_eq!(make(yaml).unwrap().validate(&url), Err("not this host".to_string()));
}

#[test]
fn config_errors_name_key_and_remedy() {
    for (yaml, expected) in [
        ("{}", "headers_setter.headers: must be set"),
        ("headers: [{key: a, value: b}, {key: 'c d', value: e}]", "headers[1].key"),
        ("headers: [{key: a}]", "must be set, or `default_value`"),
        ("headers: [{key: a, value: \"x\\ny\"}]", "characters that a header cannot"),
        ("headers: [{action: delete, key: a, value: b}]", "has no value"),
        ("headers: [{action: remove, key: a}]", "headers[0].action"),
        ("headers: [{key: Content-Length, value: 5}]", "cannot be set"),
        ("headers: [{key: a, from_context: tenant}]", "headers[0].from_context"),
        ("headers: [{key: a, from_attribute: tenant}]", "use `value`"),
        ("headers: [{key: a, value: b}]\nadditional_auth: singer", "did you mean"),
    ] {
        let text = make(yaml).err().unwrap_or_else(|| panic!("accepted: {yaml}"));
        assert!(text.contains(expected), "{yaml}\n{text}");
    }
}
