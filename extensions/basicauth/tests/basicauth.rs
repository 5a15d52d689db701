//! The extension as config makes it.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use steadyline_component::{Authenticator, Board, Clock, Host, Payload, ServerAuthenticator, Shutdown, testkit};
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
        ("{}", "basicauth.client_auth: must be set"),
        ("client_auth: {}", "basicauth.client_auth.username: must be set"),
        ("{client_auth: {username: a}, htpasswd: {inline: 'a:b'}}", "make two extensions"),
        ("htpasswd: {}", "basicauth.htpasswd: `file` or `inline` must be set"),
        ("htpasswd: {inline: 'nobody'}", "basicauth.htpasswd.inline: line 1: expected `user:password`"),
        ("client_auth: {username: 'a:b'}", "colon"),
        ("client_auth: {username: a, username_file: b}", "give one of them"),
        ("client_auth: {username: a, password: b, password_file: c}", "give one of them"),
        ("client_auth: {username: a, aws_secrets_manager: {secret_arn: x}}", "password_file"),
    ] {
        let text = make(yaml).err().unwrap_or_else(|| panic!("accepted: {yaml}"));
        assert!(text.contains(expected), "{yaml}\n{text}");
    }
}

fn server(yaml: &str) -> Arc<dyn ServerAuthenticator> {
    let extension = testkit::create::<BasicAuthFactory>(yaml).unwrap();
    assert!(Arc::clone(&extension).as_authenticator().is_none());
    extension.as_server_authenticator().unwrap()
}

/// What is said to a request with this authorization: `ok`, or the reason.
async fn admitted(server: &dyn ServerAuthenticator, authorization: Option<&str>) -> String {
    let (mut head, ()) = http::Request::new(()).into_parts();
    if let Some(text) = authorization {
        head.headers.insert("authorization", text.parse().unwrap());
    }
    match server.admit(&head).await {
        Ok(()) => "ok".into(),
        Err(refusal) => {
            assert!(refusal.challenge.unwrap().starts_with("Basic realm="));
            refusal.message.into()
        }
    }
}

fn basic(pair: &str) -> String {
    use base64::Engine;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
}

#[tokio::test]
async fn only_those_with_the_right_password_come_in() {
    // The vector of the bcrypt paper's implementation: "abc" at cost 6.
    let hash = "$2a$06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i";
    let server = server(&format!("htpasswd: {{inline: \"plain:open sesame\\nhashed:{hash}\"}}"));
    for (pair, expected) in [
        ("plain:open sesame", "ok"),
        ("hashed:abc", "ok"),
        ("hashed:abc", "ok"),
        ("hashed:abcd", "the user name or the password is wrong"),
        ("plain:open", "the user name or the password is wrong"),
        ("plain:", "the user name or the password is wrong"),
        ("nobody:abc", "the user name or the password is wrong"),
        ("no colon", "the authorization is not `user:password` in base64"),
    ] {
        assert_eq!(admitted(&*server, Some(&basic(pair))).await, expected, "{pair}");
    }
    let lower = basic("plain:open sesame").replace("Basic", "basic");
    assert_eq!(admitted(&*server, Some(&lower)).await, "ok");
    assert_eq!(admitted(&*server, None).await, "a user name and a password are required");
    assert_eq!(admitted(&*server, Some("Bearer abc")).await, "the authorization is not of the scheme `Basic`");
    assert_eq!(admitted(&*server, Some("Basic *")).await, "the authorization is not `user:password` in base64");
}

#[tokio::test]
async fn a_file_must_read_at_start_and_inline_comes_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("htpasswd");
    let yaml = format!("htpasswd: {{file: {}, inline: 'both:inline'}}", path.display());
    let clock = Clock::manual(0);
    let host = Host { board: Board::new(clock.clone()), clock, shutdown: Shutdown::new().1 };
    let start = async || testkit::create::<BasicAuthFactory>(&yaml).unwrap().start(&host).await;
    assert!(start().await.unwrap_err().to_string().contains("cannot read"));
    std::fs::write(&path, "a:$apr1$x$y").unwrap();
    assert!(start().await.unwrap_err().to_string().contains("htpasswd`, line 1: user `a`: this kind of hash"));
    std::fs::write(&path, "both:file\nfiled:file").unwrap();
    start().await.unwrap();
    let server = server(&yaml);
    for (pair, expected) in [("both:inline", true), ("both:file", false), ("filed:file", true)] {
        assert_eq!(admitted(&*server, Some(&basic(pair))).await == "ok", expected, "{pair}");
    }
}
