//! The extension as config makes it.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use steadyline_component::{Authenticator, Payload, testkit};
use steadyline_extension_bearertokenauth::BearerTokenAuthFactory;

fn make(yaml: &str) -> Result<Arc<dyn Authenticator>, String> {
    Ok(testkit::create::<BearerTokenAuthFactory>(yaml)?.as_authenticator().unwrap())
}

async fn header(auth: &dyn Authenticator, name: &str) -> Result<String, String> {
    let (mut head, ()) = http::Request::new(()).into_parts();
    auth.authenticate(&mut head, &Payload::default()).await.map_err(|error| error.message)?;
    assert!(head.headers[name].is_sensitive());
    Ok(head.headers[name].to_str().unwrap().to_string())
}

#[tokio::test]
async fn requests_carry_the_token() {
    for (yaml, name, expected) in [
        ("token: abc", "authorization", "Bearer abc"),
        ("{token: abc, scheme: Token}", "authorization", "Token abc"),
        ("{token: abc, scheme: '', header: X-Api-Key}", "x-api-key", "abc"),
        ("{token: 12345}", "authorization", "Bearer 12345"),
        ("tokens: [first, second]", "authorization", "Bearer first"),
    ] {
        assert_eq!(header(&*make(yaml).unwrap(), name).await.unwrap(), expected, "{yaml}");
    }
}

#[tokio::test]
async fn a_replaced_file_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let auth = make(&format!("filename: {}", path.display())).unwrap();
    assert!(header(&*auth, "authorization").await.unwrap_err().contains("cannot read"));
    std::fs::write(&path, "first\nsecond line\n").unwrap();
    assert_eq!(header(&*auth, "authorization").await.unwrap(), "Bearer first");
    std::fs::write(&path, "renewed").unwrap();
    assert_eq!(header(&*auth, "authorization").await.unwrap(), "Bearer renewed");
}

#[test]
fn config_errors_name_key_and_remedy() {
    for (yaml, expected) in [
        ("{}", "bearertokenauth.token: must be set"),
        ("{token: a, filename: b}", "give one of them"),
        ("{token: a, header: 'b c'}", "bearertokenauth.header"),
        ("token: \"a\\u0007b\"", "characters that a header cannot"),
        ("{token: a, tokens: [b]}", "bearertokenauth.tokens: `token` or `filename` is given too"),
        ("tokens: [a, '']", "bearertokenauth.tokens[1]: an empty token would let everybody in"),
        ("tokens: [a, \"b\\u0007\"]", "bearertokenauth.tokens[1]: the token holds characters"),
    ] {
        let text = make(yaml).err().unwrap_or_else(|| panic!("accepted: {yaml}"));
        assert!(text.contains(expected), "{yaml}\n{text}");
    }
}

/// What is said to a request with this header: `ok`, or the reason.
async fn admitted(yaml: &str, name: &'static str, value: &str) -> String {
    let server = testkit::create::<BearerTokenAuthFactory>(yaml).unwrap().as_server_authenticator().unwrap();
    let (mut head, ()) = http::Request::new(()).into_parts();
    if !value.is_empty() {
        head.headers.insert(name, value.parse().unwrap());
    }
    server.admit(&head).await.map_or_else(|refusal| refusal.message.to_string(), |()| "ok".to_string())
}

#[tokio::test]
async fn only_those_with_a_token_come_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    std::fs::write(&path, "one\n\n two \n").unwrap();
    let file = format!("filename: {}", path.display());
    let own = "{token: abc, scheme: '', header: X-Api-Key}";
    for (yaml, name, value, expected) in [
        ("token: abc", "authorization", "Bearer abc", "ok"),
        ("token: abc", "authorization", "bearer  abc", "ok"),
        ("token: abc", "authorization", "Bearer abcd", "the token is wrong"),
        ("token: abc", "authorization", "Bearer ab", "the token is wrong"),
        ("token: abc", "authorization", "Bearer ", "the token is wrong"),
        ("token: abc", "authorization", "abc", "the authorization is not of the expected scheme"),
        ("token: abc", "authorization", "Basic abc", "the authorization is not of the expected scheme"),
        ("token: abc", "authorization", "", "a token is required"),
        ("tokens: [abc, def]", "authorization", "Bearer def", "ok"),
        ("tokens: [abc, def]", "authorization", "Bearer abcdef", "the token is wrong"),
        (own, "x-api-key", "abc", "ok"),
        (own, "authorization", "abc", "a token is required"),
        (&file, "authorization", "Bearer one", "ok"),
        (&file, "authorization", "Bearer two", "ok"),
        (&file, "authorization", "Bearer ", "the token is wrong"),
        ("filename: /nonexistent", "authorization", "Bearer x", "the tokens cannot be read now"),
    ] {
        assert_eq!(admitted(yaml, name, value).await, expected, "{yaml}: {value}");
    }
}
