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
        ("tokens: [a, b]", "for servers"),
    ] {
        let text = make(yaml).err().unwrap_or_else(|| panic!("accepted: {yaml}"));
        assert!(text.contains(expected), "{yaml}\n{text}");
    }
}
