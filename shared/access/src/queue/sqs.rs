use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::MessageSystemAttributeName as Attribute;

use super::{Delivery, Outgoing, Queue, QueueError};
use crate::Aws;
use crate::error::Chain;
use crate::messages::QueueSpec;

/// Amazon SQS.
pub struct SqsQueue {
    aws: Aws,
    /// In front of every queue's name: `https://sqs.eu-west-2.amazonaws.com/<account>/<stack>-`.
    url_prefix: String,
}

impl SqsQueue {
    pub fn new(aws: Aws, url_prefix: impl Into<String>) -> Self {
        Self { aws, url_prefix: url_prefix.into() }
    }

    fn url(&self, queue: &QueueSpec) -> String {
        format!("{}{}{}", self.url_prefix, queue.name, if queue.fifo { ".fifo" } else { "" })
    }
}

#[async_trait]
impl Queue for SqsQueue {
    async fn send(&self, queue: &QueueSpec, message: Outgoing) -> Result<(), QueueError> {
        let delay = i32::try_from(message.delay.as_secs()).unwrap_or(900).min(900);
        let sent = self
            .aws
            .sqs()
            .send_message()
            .queue_url(self.url(queue))
            .message_body(message.body)
            .set_message_group_id(message.group)
            .set_message_deduplication_id(message.deduplication)
            .set_delay_seconds((delay > 0).then_some(delay))
            .send()
            .await;
        sent.map(drop).map_err(failed)
    }

    async fn receive(&self, queue: &QueueSpec, max: u8, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
        // The wait is the queue's answer, not its silence: time-outs count from its end.
        let limits = TimeoutConfig::builder()
            .operation_attempt_timeout(wait + Duration::from_secs(5))
            .operation_timeout(wait + Duration::from_secs(15))
            .build();
        let received = self
            .aws
            .sqs()
            .receive_message()
            .queue_url(self.url(queue))
            .max_number_of_messages(i32::from(max.clamp(1, 10)))
            .wait_time_seconds(i32::try_from(wait.as_secs()).unwrap_or(20).min(20))
            .message_system_attribute_names(Attribute::ApproximateReceiveCount)
            .message_system_attribute_names(Attribute::MessageGroupId)
            .customize()
            .config_override(aws_sdk_sqs::config::Builder::new().timeout_config(limits))
            .send()
            .await
            .map_err(failed)?;
        let deliveries = received.messages.unwrap_or_default().into_iter().map(|message| {
            let mut attributes = message.attributes.unwrap_or_default();
            let count = attributes.get(&Attribute::ApproximateReceiveCount).and_then(|count| count.parse().ok());
            Delivery {
                message_id: message.message_id.unwrap_or_default(),
                receipt: message.receipt_handle.unwrap_or_default(),
                body: message.body.unwrap_or_default(),
                receive_count: count.unwrap_or(1),
                group: attributes.remove(&Attribute::MessageGroupId),
            }
        });
        Ok(deliveries.collect())
    }

    async fn delete(&self, queue: &QueueSpec, receipt: &str) -> Result<(), QueueError> {
        let sent = self.aws.sqs().delete_message().queue_url(self.url(queue)).receipt_handle(receipt).send().await;
        sent.map(drop).map_err(failed)
    }

    async fn change_visibility(
        &self,
        queue: &QueueSpec,
        receipt: &str,
        visibility: Duration,
    ) -> Result<(), QueueError> {
        let seconds = i32::try_from(visibility.as_secs()).unwrap_or(43_200).min(43_200);
        let call = self.aws.sqs().change_message_visibility().queue_url(self.url(queue));
        let sent = call.receipt_handle(receipt).visibility_timeout(seconds).send().await;
        sent.map(drop).map_err(failed)
    }
}

fn failed<E>(error: SdkError<E>) -> QueueError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let refused = match &error {
        SdkError::ServiceError(service) => {
            service.raw().status().as_u16() < 500 && !is_throttling(service.err().code())
        }
        SdkError::ConstructionFailure(_) => true,
        _ => false,
    };
    let source = Box::new(Chain::of(&error));
    if refused { QueueError::Refused { source } } else { QueueError::Unavailable { source } }
}

fn is_throttling(code: Option<&str>) -> bool {
    code.is_some_and(|code| code.contains("Throttl") || code.contains("OverLimit"))
}
