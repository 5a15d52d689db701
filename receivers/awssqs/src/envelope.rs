//! What is around an event: nothing, an SNS notification, an EventBridge event.

use std::collections::HashMap;

use steadyline_mapping::item::{Attribute, Fields, parse_json};

use crate::config::Envelope;

/// An event without its envelope.
#[derive(Debug, PartialEq)]
pub(crate) struct Opened {
    /// The event.
    pub(crate) fields: Fields,
    /// What the envelope says, as expressions see it under `_envelope`; `None` if there was none.
    pub(crate) envelope: Option<Fields>,
    /// Message attributes that travelled inside the envelope.
    pub(crate) attributes: HashMap<String, String>,
}

/// Why a body holds no event: a reason to count it under, and what exactly is wrong.
pub(crate) type Unreadable = (&'static str, String);

/// Takes the event out of a body.
pub(crate) fn open(body: &str, envelope: Envelope) -> Result<Opened, Unreadable> {
    let fields = object(body, "the body")?;
    match envelope {
        Envelope::Raw => Ok(raw(fields)),
        Envelope::Auto if is_sns(&fields) => sns(fields),
        Envelope::Auto if is_eventbridge(&fields) => eventbridge(fields),
        Envelope::Auto => Ok(raw(fields)),
        Envelope::Sns if is_sns(&fields) => sns(fields),
        Envelope::Sns => Err(("envelope", "the body is no SNS notification".to_owned())),
        Envelope::Eventbridge if is_eventbridge(&fields) => eventbridge(fields),
        Envelope::Eventbridge => Err(("envelope", "the body is no EventBridge event".to_owned())),
    }
}

fn object(text: &str, what: &str) -> Result<Fields, Unreadable> {
    match parse_json(text.as_bytes()) {
        Ok(Attribute::Map(fields)) => Ok(fields),
        Ok(_) => Err(("not_an_object", format!("{what} is JSON, but no object"))),
        Err(error) => Err(("not_json", format!("{what} is no JSON: {error}"))),
    }
}

fn raw(fields: Fields) -> Opened {
    Opened { fields, envelope: None, attributes: HashMap::new() }
}

fn is_sns(fields: &Fields) -> bool {
    fields.get("Type") == Some(&Attribute::Text("Notification".to_owned()))
        && fields.contains_key("TopicArn")
        && matches!(fields.get("Message"), Some(Attribute::Text(_)))
}

fn is_eventbridge(fields: &Fields) -> bool {
    ["detail-type", "source", "id"].iter().all(|name| matches!(fields.get(name), Some(Attribute::Text(_))))
        && matches!(fields.get("detail"), Some(Attribute::Map(_)))
}

fn sns(mut notification: Fields) -> Result<Opened, Unreadable> {
    let attributes = match notification.remove("MessageAttributes") {
        Some(Attribute::Map(attributes)) => attributes.into_iter().filter_map(sns_attribute).collect(),
        _ => HashMap::new(),
    };
    let Some(Attribute::Text(message)) = notification.remove("Message") else {
        return Err(("envelope", "the SNS notification has no `Message`".to_owned()));
    };
    let names = [("topic", "TopicArn"), ("id", "MessageId"), ("time", "Timestamp"), ("subject", "Subject")];
    let envelope = renamed(&mut notification, "sns", &names);
    Ok(Opened { fields: object(&message, "the notification's `Message`")?, envelope: Some(envelope), attributes })
}

/// `{"Type": "String", "Value": "..."}`
fn sns_attribute((name, attribute): (String, Attribute)) -> Option<(String, String)> {
    let Attribute::Map(mut attribute) = attribute else { return None };
    match attribute.remove("Value") {
        Some(Attribute::Text(text)) => Some((name, text)),
        _ => None,
    }
}

fn eventbridge(mut event: Fields) -> Result<Opened, Unreadable> {
    let Some(Attribute::Map(fields)) = event.remove("detail") else {
        return Err(("envelope", "the EventBridge event has no `detail`".to_owned()));
    };
    let names = ["source", "id", "time", "account", "region"].map(|name| (name, name));
    let mut envelope = renamed(&mut event, "eventbridge", &names);
    if let Some(kind) = event.remove("detail-type") {
        envelope.insert("type".to_owned(), kind);
    }
    Ok(Opened { fields, envelope: Some(envelope), attributes: HashMap::new() })
}

fn renamed(from: &mut Fields, kind: &str, names: &[(&str, &str)]) -> Fields {
    let found = names.iter().filter_map(|(to, name)| Some(((*to).to_owned(), from.remove(name)?)));
    found.chain([("kind".to_owned(), Attribute::Text(kind.to_owned()))]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SNS: &str = r#"{"Type": "Notification", "MessageId": "n1", "TopicArn": "arn:aws:sns:r:1:t", "Message": "{\"type\": \"request\"}",
        "Timestamp": "2026-09-30T12:00:00.000Z", "SignatureVersion": "1", "MessageAttributes": {"traceparent": {"Type": "String", "Value": "00-x"}}}"#;
    const EVENTBRIDGE: &str = r#"{"version": "0", "id": "e1", "detail-type": "request", "source": "shop", "account": "1", "time": "2026-09-30T12:00:00Z",
        "region": "us-east-1", "resources": [], "detail": {"ms": 5}}"#;

    #[test]
    fn every_envelope_is_opened() {
        let text = |text: &str| Some(Attribute::Text(text.to_owned()));
        for envelope in [Envelope::Auto, Envelope::Sns] {
            let opened = open(SNS, envelope).unwrap();
            assert_eq!(opened.fields.get("type"), text("request").as_ref());
            assert_eq!(opened.attributes["traceparent"], "00-x");
            assert_eq!(opened.envelope.unwrap().get("topic"), text("arn:aws:sns:r:1:t").as_ref());
        }
        for envelope in [Envelope::Auto, Envelope::Eventbridge] {
            let opened = open(EVENTBRIDGE, envelope).unwrap();
            assert_eq!(opened.fields.get("ms"), Some(&Attribute::Number("5".to_owned())));
            assert_eq!(opened.envelope.unwrap().get("type"), text("request").as_ref());
        }
        assert_eq!(open(SNS, Envelope::Raw).unwrap().fields.get("Type"), text("Notification").as_ref());
        assert_eq!(open(r#"{"type": "x"}"#, Envelope::Auto).unwrap().envelope, None);
    }

    #[test]
    fn bodies_without_an_event_say_why() {
        let broken = SNS.replace(r#"{\"type\": \"request\"}"#, "plain words");
        for (body, envelope, reason, part) in [
            ("", Envelope::Auto, "not_json", "the body is no JSON"),
            ("[1]", Envelope::Raw, "not_an_object", "no object"),
            ("{}", Envelope::Sns, "envelope", "no SNS notification"),
            (SNS, Envelope::Eventbridge, "envelope", "no EventBridge event"),
            (&broken, Envelope::Auto, "not_json", "the notification's `Message` is no JSON"),
        ] {
            let (got, detail) = open(body, envelope).unwrap_err();
            assert!(got == reason && detail.contains(part), "{body}: {got} {detail}");
        }
    }
}
