//! [`Queue`]: the rules of SQS that the product stands on. Time is real, since an emulator's cannot be moved: rules
//! wait for what must happen and use a visibility nobody outlives for what must not.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use access::messages::QueueSpec;
use access::{Aws, Delivery, InProcessQueue, Outgoing, Queue, QueueError, SqsQueue};

use crate::servers::{self, ACCOUNT, REGION};

const NOW: Duration = Duration::ZERO;
const SHORT: Duration = Duration::from_secs(1);
/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(300);
/// How long what must come is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where MiniStack 1.5 is not SQS. The rule holds for SQS, so it is skipped there rather than loosened.
#[derive(Debug)]
enum Gap {
    /// The second delete of one receipt answers `ReceiptHandleIsInvalid`; SQS answers as to the first.
    DeleteTwice,
    /// The visibility of a message that is back in the queue can be changed; SQS answers `MessageNotInflight`.
    ChangeNotInFlight,
    /// A standard queue accepts a deduplication id; SQS answers `InvalidParameterValue`.
    StandardDeduplication,
}

/// An adapter under test and the means to make queues for it.
struct Subject {
    queue: Box<dyn Queue>,
    /// Where queues are made first; `None` where they need not be.
    aws: Option<Aws>,
}

impl Subject {
    async fn in_process() -> Self {
        Self { queue: Box::new(InProcessQueue::new()), aws: None }
    }

    async fn sqs() -> Self {
        let aws = servers::aws().await;
        let queue = SqsQueue::new(aws.clone(), servers::queue_url_prefix().await);
        Self { queue: Box::new(queue), aws: Some(aws) }
    }

    /// A queue of its own whose messages go to its own dead-letter queue after two receives.
    async fn make(&self, fifo: bool, visibility: Duration) -> &'static QueueSpec {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("contract-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let spec = |name: String, visibility, dead_letter| -> &'static QueueSpec {
            let name = Box::leak(name.into_boxed_str());
            Box::leak(Box::new(QueueSpec { name, fifo, visibility, max_receive_count: 2, dead_letter }))
        };
        let dead_letters = spec(format!("{name}-dead"), LONG, None);
        let queue = spec(name, visibility, Some(dead_letters));
        if let Some(aws) = &self.aws {
            create(aws, dead_letters).await;
            create(aws, queue).await;
        }
        queue
    }

    async fn fifo(&self, visibility: Duration) -> &'static QueueSpec {
        self.make(true, visibility).await
    }

    async fn standard(&self, visibility: Duration) -> &'static QueueSpec {
        self.make(false, visibility).await
    }

    fn lacks(&self, gap: Gap) -> bool {
        let lacks = self.aws.is_some();
        if lacks {
            println!("skipped for SQS: MiniStack has the gap {gap:?}");
        }
        lacks
    }

    async fn send(&self, queue: &QueueSpec, message: Outgoing) {
        self.queue.send(queue, message).await.unwrap();
    }

    async fn receive(&self, queue: &QueueSpec, max: u8, wait: Duration) -> Vec<Delivery> {
        self.queue.receive(queue, max, wait).await.unwrap()
    }

    /// The one message that is there or soon will be.
    async fn next(&self, queue: &QueueSpec) -> Delivery {
        let mut received = self.receive(queue, 1, PATIENCE).await;
        assert_eq!(received.len(), 1);
        received.remove(0)
    }

    async fn show(&self, queue: &QueueSpec, delivery: &Delivery) {
        self.queue.change_visibility(queue, &delivery.receipt, NOW).await.unwrap();
    }

    async fn delete(&self, queue: &QueueSpec, delivery: &Delivery) {
        self.queue.delete(queue, &delivery.receipt).await.unwrap();
    }
}

async fn create(aws: &Aws, queue: &QueueSpec) {
    let full_name = |queue: &QueueSpec| format!("{}{}", queue.name, if queue.fifo { ".fifo" } else { "" });
    let visibility = queue.visibility.as_secs().to_string();
    let call = aws.sqs().create_queue().queue_name(full_name(queue));
    let mut call = call.attributes("VisibilityTimeout".into(), visibility);
    if queue.fifo {
        call = call.attributes("FifoQueue".into(), "true");
    }
    if let Some(target) = queue.dead_letter {
        let redrive = serde_json::json!({
            "deadLetterTargetArn": format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{}", full_name(target)),
            "maxReceiveCount": queue.max_receive_count.to_string(),
        });
        call = call.attributes("RedrivePolicy".into(), redrive.to_string());
    }
    call.send().await.unwrap();
}

fn plain(body: &str) -> Outgoing {
    Outgoing { body: body.into(), group: None, deduplication: None, delay: NOW }
}

/// With a deduplication id of its own: the body.
fn grouped(body: &str, group: &str) -> Outgoing {
    Outgoing { group: Some(group.into()), deduplication: Some(body.into()), ..plain(body) }
}

fn bodies(received: &[Delivery]) -> Vec<&str> {
    received.iter().map(|delivery| delivery.body.as_str()).collect()
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(outcome: Result<T, QueueError>) {
    assert!(matches!(outcome, Err(QueueError::Refused { .. })), "{outcome:?}");
}

/// Every rule once for each adapter.
macro_rules! rules {
    ($($rule:ident)*) => {
        mod in_process {
            $(#[tokio::test] async fn $rule() { super::$rule(super::Subject::in_process().await).await; })*
        }

        mod sqs {
            $(#[tokio::test] async fn $rule() { super::$rule(super::Subject::sqs().await).await; })*
        }
    };
}

rules! {
    what_is_sent_is_received
    a_received_message_is_hidden
    what_is_not_deleted_comes_back_and_is_counted
    zero_visibility_shows_a_message_at_once
    visibility_can_be_extended
    visibility_can_be_shortened
    the_visibility_of_a_message_not_in_flight_is_refused
    a_later_receive_makes_an_earlier_receipt_void
    a_deleted_message_is_gone
    deleting_twice_is_fine
    a_group_is_delivered_in_order
    a_group_in_flight_gives_nothing_more_while_others_do
    a_repeated_deduplication_id_is_accepted_and_not_delivered
    what_is_received_too_often_goes_to_the_dead_letters_in_order
    a_standard_queue_has_dead_letters_too
    a_delayed_message_is_not_delivered_before
    a_fifo_queue_needs_group_and_deduplication_id
    a_fifo_queue_refuses_a_delay
    a_standard_queue_refuses_a_deduplication_id
    an_empty_body_is_refused
    a_receive_waits_for_a_later_message_and_no_longer
    a_wait_in_vain_ends_with_nothing
    at_most_as_many_as_asked_for_are_received
}

async fn what_is_sent_is_received(subject: Subject) {
    let queue = subject.fifo(LONG).await;
    let body = r#"{"chain":"ethereum","note":"ärger & <tags>\n"}"#;
    subject.send(queue, grouped(body, "group one")).await;
    let received = subject.next(queue).await;
    assert_eq!((received.body.as_str(), received.group.as_deref()), (body, Some("group one")));
    assert_eq!(received.receive_count, 1);
    assert!(!received.message_id.is_empty() && !received.receipt.is_empty());

    let queue = subject.standard(LONG).await;
    subject.send(queue, plain(body)).await;
    let received = subject.next(queue).await;
    assert_eq!((received.body.as_str(), received.group, received.receive_count), (body, None, 1));
}

async fn a_received_message_is_hidden(subject: Subject) {
    for queue in [subject.standard(LONG).await, subject.fifo(LONG).await] {
        let message = if queue.fifo { grouped("a", "g") } else { plain("a") };
        subject.send(queue, message).await;
        subject.next(queue).await;
        assert!(subject.receive(queue, 10, SHORT).await.is_empty());
    }
}

async fn what_is_not_deleted_comes_back_and_is_counted(subject: Subject) {
    for queue in [subject.standard(SHORT).await, subject.fifo(SHORT).await] {
        let message = if queue.fifo { grouped("a", "g") } else { plain("a") };
        subject.send(queue, message).await;
        let first = subject.next(queue).await;
        let second = subject.next(queue).await;
        assert_eq!((first.receive_count, second.receive_count), (1, 2));
        assert_eq!(first.message_id, second.message_id);
        assert_eq!((first.body, first.group), (second.body, second.group));
        assert_ne!(first.receipt, second.receipt);
    }
}

async fn zero_visibility_shows_a_message_at_once(subject: Subject) {
    for queue in [subject.standard(LONG).await, subject.fifo(LONG).await] {
        let message = if queue.fifo { grouped("a", "g") } else { plain("a") };
        subject.send(queue, message).await;
        let first = subject.next(queue).await;
        subject.show(queue, &first).await;
        assert_eq!(subject.next(queue).await.receive_count, 2);
    }
}

async fn visibility_can_be_extended(subject: Subject) {
    let seconds = Duration::from_secs(3);
    let queue = subject.standard(seconds).await;
    subject.send(queue, plain("a")).await;
    let received = subject.next(queue).await;
    subject.queue.change_visibility(queue, &received.receipt, LONG).await.unwrap();
    assert!(subject.receive(queue, 1, seconds + SHORT).await.is_empty());
}

async fn visibility_can_be_shortened(subject: Subject) {
    let queue = subject.standard(LONG).await;
    subject.send(queue, plain("a")).await;
    let received = subject.next(queue).await;
    subject.queue.change_visibility(queue, &received.receipt, SHORT).await.unwrap();
    assert_eq!(subject.next(queue).await.receive_count, 2);
}

async fn the_visibility_of_a_message_not_in_flight_is_refused(subject: Subject) {
    if subject.lacks(Gap::ChangeNotInFlight) {
        return;
    }
    let queue = subject.standard(LONG).await;
    subject.send(queue, plain("a")).await;
    let received = subject.next(queue).await;
    subject.show(queue, &received).await;
    assert_refused(subject.queue.change_visibility(queue, &received.receipt, LONG).await);
}

async fn a_later_receive_makes_an_earlier_receipt_void(subject: Subject) {
    let queue = subject.fifo(LONG).await;
    subject.send(queue, grouped("a", "g")).await;
    let first = subject.next(queue).await;
    subject.show(queue, &first).await;
    let second = subject.next(queue).await;
    // Whether this is an error is the queue's affair; that the message stays is ours.
    let _ = subject.queue.delete(queue, &first.receipt).await;
    subject.queue.change_visibility(queue, &second.receipt, LONG).await.unwrap();
}

async fn a_deleted_message_is_gone(subject: Subject) {
    let queue = subject.standard(SHORT).await;
    subject.send(queue, plain("a")).await;
    let received = subject.next(queue).await;
    subject.delete(queue, &received).await;
    assert!(subject.receive(queue, 10, SHORT * 3).await.is_empty());

    // Its group goes on without it.
    let queue = subject.fifo(LONG).await;
    subject.send(queue, grouped("a", "g")).await;
    let received = subject.next(queue).await;
    subject.delete(queue, &received).await;
    subject.send(queue, grouped("b", "g")).await;
    assert_eq!(subject.next(queue).await.body, "b");
}

async fn deleting_twice_is_fine(subject: Subject) {
    if subject.lacks(Gap::DeleteTwice) {
        return;
    }
    let queue = subject.standard(LONG).await;
    subject.send(queue, plain("a")).await;
    let received = subject.next(queue).await;
    subject.delete(queue, &received).await;
    subject.delete(queue, &received).await;
}

async fn a_group_is_delivered_in_order(subject: Subject) {
    let queue = subject.fifo(LONG).await;
    for body in ["1", "2", "3", "4", "5", "6"] {
        subject.send(queue, grouped(body, "g")).await;
    }
    let mut order = Vec::new();
    for max in [1, 2, 3, 10] {
        let received = subject.receive(queue, max, SHORT).await;
        for delivery in received {
            subject.delete(queue, &delivery).await;
            order.push(delivery.body);
        }
    }
    assert_eq!(order, ["1", "2", "3", "4", "5", "6"]);
}

async fn a_group_in_flight_gives_nothing_more_while_others_do(subject: Subject) {
    let queue = subject.fifo(LONG).await;
    for (body, group) in [("a1", "a"), ("a2", "a"), ("b1", "b"), ("b2", "b")] {
        subject.send(queue, grouped(body, group)).await;
    }
    let first = subject.next(queue).await;
    assert_eq!(first.body, "a1");
    assert_eq!(bodies(&subject.receive(queue, 10, SHORT).await), ["b1", "b2"]);
    assert!(subject.receive(queue, 10, SHORT).await.is_empty());
    // Back again is the oldest first, not the one that waited behind it.
    subject.show(queue, &first).await;
    let again = subject.next(queue).await;
    assert_eq!((again.body.as_str(), again.receive_count), ("a1", 2));
    subject.delete(queue, &again).await;
    assert_eq!(subject.next(queue).await.body, "a2");
}

async fn a_repeated_deduplication_id_is_accepted_and_not_delivered(subject: Subject) {
    let queue = subject.fifo(LONG).await;
    let with_id = |body: &str, id: &str| Outgoing { deduplication: Some(id.into()), ..grouped(body, "g") };
    subject.send(queue, with_id("first", "one")).await;
    subject.send(queue, with_id("repeated", "one")).await;
    let received = subject.next(queue).await;
    assert_eq!(received.body, "first");
    subject.delete(queue, &received).await;
    subject.send(queue, with_id("repeated after the delete", "one")).await;
    subject.send(queue, with_id("second", "two")).await;
    assert_eq!(bodies(&subject.receive(queue, 10, PATIENCE).await), ["second"]);
}

async fn what_is_received_too_often_goes_to_the_dead_letters_in_order(subject: Subject) {
    let queue = subject.fifo(LONG).await;
    let dead_letters = queue.dead_letter.unwrap();
    for body in ["1", "2", "3"] {
        subject.send(queue, grouped(body, "g")).await;
    }
    for count in 1..=queue.max_receive_count {
        let received = subject.receive(queue, 10, PATIENCE).await;
        assert_eq!(bodies(&received), ["1", "2", "3"]);
        for delivery in received {
            assert_eq!(delivery.receive_count, count);
            subject.show(queue, &delivery).await;
        }
    }
    assert!(subject.receive(queue, 10, SHORT).await.is_empty());
    let dead = subject.receive(dead_letters, 10, PATIENCE).await;
    assert_eq!(bodies(&dead), ["1", "2", "3"]);
    assert!(dead.iter().all(|delivery| delivery.group.as_deref() == Some("g")), "{dead:?}");
}

async fn a_standard_queue_has_dead_letters_too(subject: Subject) {
    let queue = subject.standard(SHORT).await;
    subject.send(queue, plain("a")).await;
    for count in 1..=queue.max_receive_count {
        assert_eq!(subject.next(queue).await.receive_count, count);
    }
    // The move is made when somebody looks after the last visibility has ended.
    assert!(subject.receive(queue, 1, SHORT * 3).await.is_empty());
    assert_eq!(subject.next(queue.dead_letter.unwrap()).await.body, "a");
}

async fn a_delayed_message_is_not_delivered_before(subject: Subject) {
    let queue = subject.standard(LONG).await;
    subject.send(queue, Outgoing { delay: LONG, ..plain("much later") }).await;
    subject.send(queue, Outgoing { delay: SHORT, ..plain("soon") }).await;
    assert_eq!(subject.next(queue).await.body, "soon");
    assert!(subject.receive(queue, 10, SHORT).await.is_empty());
}

async fn a_fifo_queue_needs_group_and_deduplication_id(subject: Subject) {
    let queue = subject.fifo(LONG).await;
    assert_refused(subject.queue.send(queue, plain("a")).await);
    assert_refused(subject.queue.send(queue, Outgoing { group: None, ..grouped("a", "g") }).await);
    assert_refused(subject.queue.send(queue, Outgoing { deduplication: None, ..grouped("a", "g") }).await);
    assert!(subject.receive(queue, 10, NOW).await.is_empty());
}

async fn a_fifo_queue_refuses_a_delay(subject: Subject) {
    let queue = subject.fifo(LONG).await;
    assert_refused(subject.queue.send(queue, Outgoing { delay: SHORT, ..grouped("a", "g") }).await);
    assert!(subject.receive(queue, 10, NOW).await.is_empty());
}

async fn a_standard_queue_refuses_a_deduplication_id(subject: Subject) {
    if subject.lacks(Gap::StandardDeduplication) {
        return;
    }
    let queue = subject.standard(LONG).await;
    assert_refused(subject.queue.send(queue, Outgoing { deduplication: Some("one".into()), ..plain("a") }).await);
}

async fn an_empty_body_is_refused(subject: Subject) {
    let queue = subject.fifo(LONG).await;
    let empty = Outgoing { body: String::new(), ..grouped("a", "g") };
    assert_refused(subject.queue.send(queue, empty).await);
    let queue = subject.standard(LONG).await;
    assert_refused(subject.queue.send(queue, plain("")).await);
}

async fn a_receive_waits_for_a_later_message_and_no_longer(subject: Subject) {
    let queue = subject.fifo(LONG).await;
    let waiting = subject.receive(queue, 10, PATIENCE);
    let later = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        subject.send(queue, grouped("a", "g")).await;
    };
    let both = async { tokio::join!(waiting, later) };
    let (received, ()) = tokio::time::timeout(PATIENCE * 3 / 4, both).await.expect("back before the wait is over");
    assert_eq!(bodies(&received), ["a"]);
}

/// Longer than a call takes otherwise: the wait is no time-out.
async fn a_wait_in_vain_ends_with_nothing(subject: Subject) {
    let queue = subject.fifo(LONG).await;
    assert!(subject.receive(queue, 1, Duration::from_secs(7)).await.is_empty());
}

async fn at_most_as_many_as_asked_for_are_received(subject: Subject) {
    let queue = subject.standard(LONG).await;
    let sent: BTreeSet<String> = (0..15).map(|number| format!("message {number}")).collect();
    for body in &sent {
        subject.send(queue, plain(body)).await;
    }
    let mut seen = BTreeSet::new();
    for max in (1..=10).cycle() {
        let received = subject.receive(queue, max, PATIENCE).await;
        assert!((1..=usize::from(max)).contains(&received.len()), "{} of at most {max}", received.len());
        for delivery in received {
            assert!(seen.insert(delivery.body), "twice");
        }
        if seen.len() == sent.len() {
            break;
        }
    }
    assert_eq!(seen, sent);
    assert!(subject.receive(queue, 10, SHORT).await.is_empty());
}
