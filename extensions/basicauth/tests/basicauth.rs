//! The extension as config makes it.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use steadyline_component::{Authenticator, Payload, testkit};
use steadyline_extension_basicauth::BasicAuthFactory;

fn make(yaml: &str) -> Result<Arc<dyn Authenticator>, String> {
    Ok(testkit::create::<BasicAuthFactory>(yaml)?.as_authenticator().unwrap())
}

async fn header(auth: &dyn Authenticator) -> Result<String, String> {
    let (mut head, ()) = http::Request::new(()).into_parts();
    auth.authenticate(&mut head, &Payload::default()).await.map_err(|error| error.message)?;
    let value = &head.headers["authorization"];
    assert!(value.is_sensitive());
    Ok(value.to_str().unwrap().to_string())
}

#[tokio::test]
async fn requests_carry_name_and_password() {
    // The example of RFC 7617, section 2, and the one with a character beyond ASCII.
    for (name, password, expected) in [
        ("Aladdin", "open sesame", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ("test", "123\u{a3}", "Basic dGVzdDoxMjPCow=="),
        ("nobody", "", "Basic bm9ib2R5Og=="),
    ] {
        let auth = make(&format!("client_auth: {{username: {name}, password: '{password}'}}")).unwrap();
        assert_eq!(header(&*auth).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn files_are_read_again_when_they_change() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("password");
    let auth = make(&format!("client_auth: {{username: Aladdin, password_file: {}}}", path.display())).unwrap();
    assert!(header(&*auth).await.unwrap_err().contains("cannot read"));
    std::fs::write(&path, "open sesame\n").unwrap();
    assert_eq!(header(&*auth).await.unwrap(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    std::fs::write(&path, "other").unwrap();
    assert_eq!(header(&*auth).await.unwrap(), "Basic QWxhZGRpbjpvdGhlcg==");
}

#[test]
fn config_errors_name_key_and_remedy() {
    for (yaml, expected) in [
        ("{}", "basicauth.client_auth.username: must be set"),
        ("client_auth: {username: 'a:b'}", "colon"),
        ("client_auth: {username: a, username_file: b}", "give one of them"),
        ("client_auth: {username: a, password: b, password_file: c}", "give one of them"),
        ("htpasswd: {inline: 'a:b'}", "it is for servers"),
        ("client_auth: {username: a, aws_secrets_manager: {secret_arn: x}}", "password_file"),
    ] {
        let text = make(yaml).err().unwrap_or_else(|| panic!("accepted: {yaml}"));
        assert!(text.contains(expected), "{yaml}\n{text}");
    }
}
