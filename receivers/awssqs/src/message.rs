//! A message as it comes from the queue, or in the event of a Lambda.

use serde::Deserialize;
use std::collections::HashMap;

/// One message.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Received {
    /// The id that SQS gave it.
    pub id: String,
    /// What deletes it, until it is received again.
    pub handle: String,
    /// The body.
    pub body: String,
    /// When it was sent to the queue, nanoseconds since the Unix epoch; 0: not known.
    pub sent: u64,
    /// How often it was received, this time included.
    pub receive_count: u32,
    /// The message group of a FIFO queue.
    pub group: Option<String>,
    /// X-Ray's header.
    pub xray: Option<String>,
    /// Message attributes that are text, by name.
    pub attributes: HashMap<String, String>,
}

impl Received {
    /// How many bytes it takes, as far as its sender decides.
    pub fn bytes(&self) -> u64 {
        let attributes: usize = self.attributes.iter().map(|(name, value)| name.len() + value.len()).sum();
        (self.body.len() + attributes) as u64
    }
}

/// The event that Lambda hands over: records of one queue or of several.
#[derive(Debug, Deserialize)]
pub struct LambdaEvent {
    /// The messages.
    #[serde(rename = "Records")]
    pub records: Vec<LambdaRecord>,
}

/// A message as Lambda has it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LambdaRecord {
    /// The id that SQS gave it; what `batchItemFailures` names.
    pub message_id: String,
    #[serde(default)]
    receipt_handle: String,
    #[serde(default)]
    body: String,
    #[serde(default)]
    attributes: HashMap<String, String>,
    #[serde(default)]
    message_attributes: HashMap<String, LambdaAttribute>,
    /// The queue's ARN.
    #[serde(default, rename = "eventSourceARN")]
    pub queue_arn: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LambdaAttribute {
    #[serde(default)]
    string_value: Option<String>,
}

impl From<LambdaRecord> for Received {
    fn from(mut record: LambdaRecord) -> Self {
        let text = |(name, value): (String, LambdaAttribute)| value.string_value.map(|text| (name, text));
        Received {
            sent: record.attributes.get("SentTimestamp").and_then(|text| millis(text)).unwrap_or(0),
            receive_count: record.attributes.get("ApproximateReceiveCount").and_then(|n| n.parse().ok()).unwrap_or(1),
            group: record.attributes.remove("MessageGroupId"),
            xray: record.attributes.remove("AWSTraceHeader"),
            attributes: record.message_attributes.into_iter().filter_map(text).collect(),
            id: record.message_id,
            handle: record.receipt_handle,
            body: record.body,
        }
    }
}

/// Milliseconds in text, as nanoseconds.
pub(crate) fn millis(text: &str) -> Option<u64> {
    text.parse::<u64>().ok()?.checked_mul(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_lambda_is_a_message() {
        let event: LambdaEvent = serde_json::from_str(
            r#"{"Records": [{"messageId": "m1", "receiptHandle": "h", "body": "{}", "eventSource": "aws:sqs", "awsRegion": "us-east-1",
                "eventSourceARN": "arn:aws:sqs:us-east-1:1:events", "md5OfBody": "x",
                "attributes": {"ApproximateReceiveCount": "3", "SentTimestamp": "1790000000123", "SenderId": "s", "AWSTraceHeader": "Root=1-2-3"},
                "messageAttributes": {"traceparent": {"stringValue": "00-..", "dataType": "String", "stringListValues": [], "binaryListValues": []},
                    "blob": {"binaryValue": "aGk=", "dataType": "Binary"}}}]}"#,
        )
        .unwrap();
        let message = Received::from(event.records.into_iter().next().unwrap());
        assert_eq!((message.id.as_str(), message.receive_count, message.sent), ("m1", 3, 1_790_000_000_123_000_000));
        assert_eq!(message.xray.as_deref(), Some("Root=1-2-3"));
        assert_eq!(message.attributes, HashMap::from([("traceparent".to_owned(), "00-..".to_owned())]));
    }
}
