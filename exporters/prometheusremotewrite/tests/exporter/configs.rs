//! What config may say, and how it is told what it may not.

use std::sync::Arc;

use steadyline_component::testkit::TestExtensions;
use steadyline_component::{AuthError, Authenticator, Extension, Payload, async_trait};

use crate::common::Rig;

const AMP: &str = "https://aps-workspaces.us-east-1.amazonaws.com/workspaces/ws-0123/api/v1/remote_write";

/// Authenticates what it is told to.
#[derive(Default)]
pub(crate) struct Signer {
    pub(crate) refuses: Option<&'static str>,
    pub(crate) error: Option<AuthError>,
}

#[async_trait]
impl Authenticator for Signer {
    async fn authenticate(&self, head: &mut http::request::Parts, payload: &Payload) -> Result<(), AuthError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let signature = http::HeaderValue::from(payload.bytes().len());
        head.headers.insert("authorization", signature);
        // What the protocol prescribes is out of reach for an authenticator as well.
        head.headers.insert("content-encoding", http::HeaderValue::from_static("identity"));
        Ok(())
    }

    fn validate(&self, _: &http::Uri) -> Result<(), String> {
        self.refuses.map_or(Ok(()), |words| Err(words.to_owned()))
    }
}

struct Holder(Arc<Signer>);

impl Extension for Holder {
    fn as_authenticator(self: Arc<Self>) -> Option<Arc<dyn Authenticator>> {
        Some(Arc::clone(&self.0) as Arc<dyn Authenticator>)
    }
}

pub(crate) fn with_signer(signer: Signer) -> TestExtensions {
    let mut extensions = TestExtensions::default();
    extensions.0.insert("sigv4auth".to_string(), Arc::new(Holder(Arc::new(signer))));
    extensions
}

fn errors(yaml: &str) -> String {
    Rig::with(yaml, &mut with_signer(Signer::default())).err().unwrap_or_default()
}

#[test]
fn the_collectors_configs_run_unchanged() {
    for yaml in [
        &format!(
            "endpoint: {AMP}\nauth: {{authenticator: sigv4auth}}\nresource_to_telemetry_conversion: {{enabled: true}}"
        ),
        "endpoint: http://127.0.0.1:9090/api/v1/write\nadd_metric_suffixes: false",
        "endpoint: http://h/x\nnamespace: adot\ntimeout: 5s\nexternal_labels: {a: b}\nheaders: {x: y}\ntarget_info: {enabled: false}",
        "endpoint: http://h/x\ntls: {insecure: true}\nretry_on_failure: {enabled: false}\nmax_batch_size_bytes: 3000000\ncompression: snappy",
        "endpoint: http://h/x\nprotobuf_message: io.prometheus.write.v2.Request\ntranslation_strategy: NoUTF8EscapingWithSuffixes",
    ] {
        assert_eq!(errors(yaml), "", "{yaml}");
    }
}

#[test]
fn what_cannot_work_is_an_error_at_its_key() {
    let path = "prometheusremotewrite";
    for (yaml, words) in [
        ("{}", "endpoint: `endpoint` is empty; it must be the URL that takes remote write, such as `https://"),
        ("endpoint: \"\"", "endpoint: `endpoint` is empty"),
        (&format!("endpoint: {AMP}/"), "endpoint: the URL must not end in a slash"),
        (
            &format!("endpoint: {AMP}\nheaders: {{x-scope-orgid: a}}"),
            "headers.x-scope-orgid: Amazon Managed Prometheus refuses",
        ),
        ("endpoint: http://h/x\nremote_write_queue: {queue_size: 1}", "use `sending_queue`"),
        ("endpoint: http://h/x\nwal: {directory: x}", "use `sending_queue`"),
        ("endpoint: http://h/x\nwrite_buffer_size: 1", "buffers size themselves"),
        ("endpoint: http://h/x\ncompression: gzip", "compression"),
        (
            "endpoint: http://h/x\ntranslation_strategy: NoTranslation",
            "translation_strategy: `NoTranslation` keeps characters",
        ),
        ("endpoint: http://h/x\nnamespace: '...'", "namespace: "),
        ("endpoint: http://h/x\nexternal_labels: {a.b: x, a_b: y}", "both become the label `a_b`"),
        ("endpoint: http://h/x\nexternal_labels: {le: x}", "external_labels.le: the label `le` belongs to the format"),
        ("endpoint: http://h/x\nexternal_labels: {'': x}", "cannot be a label"),
        ("endpoint: http://h/x\nmax_samples_per_send: 0", "max_samples_per_send: "),
        ("endpoint: http://h/x\nmax_batch_size_bytes: 10", "max_batch_size_bytes: "),
        ("endpoint: http://h/x\nauth: {authenticator: nobody}", "there is no extension `nobody`"),
        ("endpoint: http://h/x\nendpiont: http://h/x", "unknown key `endpiont`"),
    ] {
        let told = errors(yaml);
        assert!(told.contains(words) && told.contains(path), "{yaml}\n{told}");
    }
    // All at once, not the first only.
    let told = errors("endpoint: ''\nnamespace: '...'\nexternal_labels: {le: x}");
    assert_eq!(told.lines().filter(|line| line.starts_with("error")).count(), 3, "{told}");
}

#[test]
fn an_authenticator_that_cannot_sign_for_the_url_is_an_error() {
    let mut extensions = with_signer(Signer { refuses: Some("no region"), ..Signer::default() });
    let told = Rig::with("endpoint: http://h/x\nauth: {authenticator: sigv4auth}", &mut extensions).err().unwrap();
    assert!(told.contains("auth.authenticator: no region"), "{told}");
}

#[test]
fn the_permission_that_writing_needs() {
    let rig = Rig::with(&format!("endpoint: {AMP}"), &mut TestExtensions::default()).unwrap();
    let statements = rig.sender.permissions();
    assert_eq!(statements[0].actions, ["aps:RemoteWrite"]);
    assert_eq!(statements[0].resources, ["arn:aws:aps:us-east-1:<account>:workspace/ws-0123"]);
    assert!(Rig::new("").sender.permissions().is_empty());
}
