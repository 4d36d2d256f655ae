//! Workers take their queues, queues are as their messages say, and clocks tick as often as the code expects.

use super::{Finding, House, but, is_text, unlike, wrong};
use crate::inventory::Queue;
use crate::template::{FUNCTION, ROOT, Resource, elements, number_of, text_of};
use crate::yaml::{Entry, Node};

const QUEUE: &str = "AWS::SQS::Queue";

/// A message may wait that many times its worker's time-out, as Amazon advises: a batch that is throttled is not
/// delivered twice meanwhile.
const VISIBILITY_PER_TIMEOUT: u64 = 6;
/// Throttling counts as a receive; with fewer, a busy minute buries messages that nothing is wrong with.
const LEAST_RECEIVES: u64 = 5;
/// The longest SQS keeps anything: dead letters wait for people.
const DEAD_LETTER_SECONDS: &str = "1209600";

pub(in super::super) fn workers_take_their_queues(house: &House) -> Vec<Finding> {
    let mut found = Vec::new();
    for function in house.templates.of_kind(FUNCTION) {
        let is_it = |name: &str| house.templates.function(name).is_some_and(|it| is_same(&it, &function));
        let worker = house.inventory.workers.iter().find(|worker| is_it(&worker.name));
        let sources: Vec<_> = events(&function, &["SQS"]).collect();
        match worker {
            Some(worker) if sources.len() != 1 => {
                let what = format!("one event of type SQS, of the queue `{}`, not {}", worker.queue, sources.len());
                found.push(wrong(&function, &["Events"], what));
            }
            Some(worker) => found.extend(wrong_in_source(house, &function, sources[0], &worker.queue)),
            None => found.extend(sources.iter().map(|source| {
                wrong(&function, &["Events", &source.key], "no queue: `lambdas` lists no worker of this name")
            })),
        }
    }
    for mapping in house.templates.of_kind("AWS::Lambda::EventSourceMapping") {
        found.push(wrong(&mapping, &[], "an event of its function, which is held against the code"));
    }
    found
}

fn is_same(one: &Resource<'_>, other: &Resource<'_>) -> bool {
    one.id == other.id && one.template.path == other.template.path
}

/// A function's events of these types.
fn events<'a>(function: &Resource<'a>, types: &'a [&str]) -> impl Iterator<Item = &'a Entry> {
    let events = function.at(&["Events"]).map(Node::entries).unwrap_or_default();
    let is_type = |event: &&Entry| {
        event.value.get("Type").is_some_and(|kind| types.iter().any(|expected| is_text(kind, expected)))
    };
    events.iter().filter(is_type)
}

fn wrong_in_source(house: &House, function: &Resource<'_>, source: &Entry, queue: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let place = |property| ["Events", &source.key, "Properties", property];
    let responses = function.at(&place("FunctionResponseTypes")).map(elements).unwrap_or_default();
    if !responses.iter().any(|response| is_text(response, "ReportBatchItemFailures")) {
        let what = "`[ReportBatchItemFailures]`, or one bad message brings back its whole batch";
        found.push(wrong(function, &place("FunctionResponseTypes"), what));
    }
    let text = function.text(&place("Queue")).unwrap_or_default();
    let taken = house.templates.of_arn(function.template, &text, QUEUE, "QueueName");
    let expected = house.inventory.queues.iter().find(|other| other.name == queue).map(name_of).unwrap_or_default();
    let Some(taken) = taken.filter(|taken| taken.text(&["QueueName"]).is_some_and(|name| name == expected)) else {
        found.push(wrong(function, &place("Queue"), format!("the queue `{expected}`{}", but(&text))));
        return found;
    };
    let visibility = taken.at(&["VisibilityTimeout"]).and_then(number_of).unwrap_or_default();
    let timeout = function.setting("Timeout").and_then(number_of).unwrap_or_default();
    if visibility < VISIBILITY_PER_TIMEOUT * timeout {
        let least = VISIBILITY_PER_TIMEOUT * timeout;
        let what =
            format!("at least {least} seconds, {VISIBILITY_PER_TIMEOUT} times the time-out of `{}`", function.id);
        found.push(wrong(&taken, &["VisibilityTimeout"], what));
    }
    found
}

fn name_of(queue: &Queue) -> String {
    format!("${{Prefix}}-{}{}", queue.name, if queue.fifo { ".fifo" } else { "" })
}

pub(in super::super) fn queues_are_as_the_code_says(house: &House) -> Vec<Finding> {
    let mut found = Vec::new();
    let queues = &house.inventory.queues;
    let is_named = |resource: &Resource<'_>, queue: &Queue| {
        resource.text(&["QueueName"]).is_some_and(|name| name == name_of(queue))
    };
    for queue in queues {
        match house.templates.of_kind(QUEUE).find(|resource| is_named(resource, queue)) {
            Some(resource) => found.extend(wrong_in_queue(house, &resource, queue)),
            None => {
                let what = format!("expected a queue named `{}`, here or in a nested stack", name_of(queue));
                found.push(Finding::of(ROOT, what));
            }
        }
    }
    for resource in house.templates.of_kind(QUEUE) {
        if !queues.iter().any(|queue| is_named(&resource, queue)) {
            found.push(wrong(&resource, &["QueueName"], "a queue of `access::messages::QUEUES`"));
        }
    }
    found
}

fn wrong_in_queue(house: &House, resource: &Resource<'_>, queue: &Queue) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(unlike(resource, &["VisibilityTimeout"], &[&queue.visibility_seconds.to_string()]));
    if queue.fifo {
        found.extend(unlike(resource, &["FifoQueue"], &["true"]));
    }
    let Some(dead_letter) = &queue.dead_letter else {
        if resource.at(&["RedrivePolicy"]).is_some() {
            found.push(wrong(resource, &["RedrivePolicy"], "none, as in `access::messages`"));
        }
        let is_dead_letter = house.inventory.queues.iter().any(|other| other.dead_letter.as_ref() == Some(&queue.name));
        if is_dead_letter {
            found.extend(unlike(resource, &["MessageRetentionPeriod"], &[DEAD_LETTER_SECONDS]));
        } else {
            found.push(wrong(resource, &[], "a dead-letter queue in `access::messages`, for what never succeeds"));
        }
        return found;
    };
    let receives = ["RedrivePolicy", "maxReceiveCount"];
    found.extend(unlike(resource, &receives, &[&queue.max_receive_count.to_string()]));
    if queue.max_receive_count < LEAST_RECEIVES {
        found.push(wrong(resource, &receives, format!("at least {LEAST_RECEIVES}, here and in `access::messages`")));
    }
    let target = ["RedrivePolicy", "deadLetterTargetArn"];
    let text = resource.text(&target).unwrap_or_default();
    let is_target = |found: &Resource<'_>| {
        let expected = house.inventory.queues.iter().find(|other| other.name == *dead_letter).map(name_of);
        expected.is_some() && found.text(&["QueueName"]) == expected
    };
    if !house.templates.of_arn(resource.template, &text, QUEUE, "QueueName").is_some_and(|queue| is_target(&queue)) {
        found.push(wrong(resource, &target, format!("the queue `{dead_letter}`{}", but(&text))));
    }
    found
}

pub(in super::super) fn schedules_tick_as_the_code_says(house: &House) -> Vec<Finding> {
    let mut found = Vec::new();
    for function in house.templates.of_kind(FUNCTION) {
        let is_it = |name: &str| house.templates.function(name).is_some_and(|it| is_same(&it, &function));
        let schedule = house.inventory.schedules.iter().find(|schedule| is_it(&schedule.name));
        let clocks: Vec<_> = events(&function, &["Schedule", "ScheduleV2"]).collect();
        let Some(schedule) = schedule else {
            found.extend(clocks.iter().map(|clock| {
                wrong(&function, &["Events", &clock.key], "no clock: `lambdas` lists no schedule of this name")
            }));
            continue;
        };
        let expected = schedule.every_seconds;
        match clocks.as_slice() {
            [clock] => {
                let properties = clock.value.get("Properties");
                let rate = properties.and_then(|node| node.get("Schedule").or_else(|| node.get("ScheduleExpression")));
                let rate = rate.and_then(text_of).unwrap_or_default();
                if rate_seconds(&rate) != Some(expected) {
                    let what = format!("a rate of {expected} seconds, as in the code{}", but(&rate));
                    found.push(wrong(&function, &["Events", &clock.key, "Properties", "Schedule"], what));
                }
            }
            _ => found.push(wrong(
                &function,
                &["Events"],
                format!("one event of type Schedule, every {expected} seconds"),
            )),
        }
    }
    found
}

/// `rate(1 minute)`, `rate(2 hours)`
fn rate_seconds(rate: &str) -> Option<u64> {
    let (count, unit) = rate.strip_prefix("rate(")?.strip_suffix(')')?.split_once(' ')?;
    let seconds = match unit.trim_end_matches('s') {
        "minute" => 60,
        "hour" => 3600,
        "day" => 86_400,
        _ => return None,
    };
    count.parse::<u64>().ok()?.checked_mul(seconds)
}

#[cfg(test)]
mod tests {
    use super::super::sample::{broken, found, house};
    use super::*;

    const TOKENS: &str = "infra/tokens.yaml";
    const JOBS: &str = "infra/jobs.yaml";

    #[test]
    fn queues_in_step_have_no_findings() {
        for rule in [workers_take_their_queues, queues_are_as_the_code_says, schedules_tick_as_the_code_says] {
            assert_eq!(rule(&house()), []);
        }
    }

    #[test]
    fn a_worker_without_its_queue_or_with_whole_batches_is_found() {
        let expect = |from: &str, to: &str, expected: &str| {
            let house = broken(TOKENS, from, to);
            assert_eq!(found(workers_take_their_queues(&house)), [format!("{TOKENS}:`TokensRefreshNotes{expected}")]);
        };
        expect(
            "FunctionResponseTypes: [ReportBatchItemFailures]",
            "FunctionResponseTypes: []",
            ".Events.Messages.Properties.FunctionResponseTypes`: expected `[ReportBatchItemFailures]`, or one bad \
             message brings back its whole batch",
        );
        expect(
            "Queue: !GetAtt RefreshNotesQueue.Arn",
            "Queue: !Ref DeadLettersArn",
            ".Events.Messages.Properties.Queue`: expected the queue `${Prefix}-refresh-notes.fifo`, not \
             `${DeadLettersArn}`",
        );
        expect(
            "Type: SQS",
            "Type: SNS",
            ".Events`: expected one event of type SQS, of the queue `refresh-notes`, not 0",
        );
        let mapping = "Resources:\n  Mapping: {Type: AWS::Lambda::EventSourceMapping}\n";
        assert_eq!(
            found(workers_take_their_queues(&broken(TOKENS, "Resources:\n", mapping))),
            ["infra/tokens.yaml:`Mapping`: expected an event of its function, which is held against the code"]
        );
    }

    #[test]
    fn a_queue_of_a_function_that_is_no_worker_is_found() {
        let mut house = house();
        house.inventory.workers.retain(|worker| worker.name != "tokens-refresh-notes");
        assert_eq!(
            found(workers_take_their_queues(&house)),
            [
                "infra/tokens.yaml:`TokensRefreshNotes.Events.Messages`: expected no queue: `lambdas` lists no worker of \
              this name"
            ]
        );
    }

    #[test]
    fn a_time_out_too_long_for_the_queue_is_found() {
        let house = broken(TOKENS, "      Timeout: 120\n", "      Timeout: 121\n");
        assert_eq!(
            found(workers_take_their_queues(&house)),
            ["infra/tokens.yaml:`RefreshNotesQueue.VisibilityTimeout`: expected at least 726 seconds, 6 times the \
              time-out of `TokensRefreshNotes`"]
        );
    }

    #[test]
    fn a_queue_unlike_its_messages_is_found() {
        let expect = |path: &str, from: &str, to: &str, expected: &str| {
            assert_eq!(found(queues_are_as_the_code_says(&broken(path, from, to))), [expected]);
        };
        let queue = "infra/tokens.yaml:`RefreshNotesQueue";
        expect(
            TOKENS,
            "VisibilityTimeout: 720",
            "VisibilityTimeout: 900",
            &format!("{queue}.VisibilityTimeout`: expected `720`, not `900`"),
        );
        expect(
            TOKENS,
            "FifoQueue: true",
            "FifoQueue: false",
            &format!("{queue}.FifoQueue`: expected `true`, not `false`"),
        );
        expect(
            TOKENS,
            "maxReceiveCount: 5",
            "maxReceiveCount: 6",
            &format!("{queue}.RedrivePolicy.maxReceiveCount`: expected `5`, not `6`"),
        );
        expect(
            TOKENS,
            "deadLetterTargetArn: !Ref DeadLettersArn",
            "deadLetterTargetArn: !GetAtt RefreshNotesQueue.Arn",
            &format!(
                "{queue}.RedrivePolicy.deadLetterTargetArn`: expected the queue `dead-letters`, not \
                 `${{RefreshNotesQueue.Arn}}`"
            ),
        );
        expect(
            JOBS,
            "MessageRetentionPeriod: 1209600",
            "MessageRetentionPeriod: 345600",
            "infra/jobs.yaml:`DeadLettersQueue.MessageRetentionPeriod`: expected `1209600`, not `345600`",
        );
        expect(
            JOBS,
            "MessageRetentionPeriod: 1209600",
            "MessageRetentionPeriod: 1209600\n      RedrivePolicy: {}",
            "infra/jobs.yaml:`DeadLettersQueue.RedrivePolicy`: expected none, as in `access::messages`",
        );
    }

    #[test]
    fn a_queue_without_a_way_out_is_found() {
        let policy =
            "      RedrivePolicy:\n        deadLetterTargetArn: !Ref DeadLettersArn\n        maxReceiveCount: 5\n";
        let without = found(queues_are_as_the_code_says(&broken(TOKENS, policy, "")));
        let name = "infra/tokens.yaml:`RefreshNotesQueue.RedrivePolicy";
        assert_eq!(
            without,
            [
                format!("{name}.deadLetterTargetArn`: expected the queue `dead-letters`"),
                format!("{name}.maxReceiveCount`: expected `5`"),
            ]
        );
        let mut house = house();
        house.inventory.queues[0].max_receive_count = 3;
        let found_in_code = found(queues_are_as_the_code_says(&house));
        assert!(found_in_code[1].ends_with("expected at least 5, here and in `access::messages`"), "{found_in_code:?}");
        house.inventory.queues[0].dead_letter = None;
        let found_in_code = found(queues_are_as_the_code_says(&house)).join("\n");
        assert!(found_in_code.contains("expected a dead-letter queue in `access::messages`"), "{found_in_code}");
    }

    #[test]
    fn a_queue_missing_and_one_too_many_are_found() {
        let house = broken(TOKENS, "QueueName: !Sub ${Prefix}-refresh-notes.fifo", "QueueName: notes.fifo");
        assert_eq!(
            found(queues_are_as_the_code_says(&house)),
            [
                "infra/tokens.yaml:`RefreshNotesQueue.QueueName`: expected a queue of `access::messages::QUEUES`",
                "template.yaml: expected a queue named `${Prefix}-refresh-notes.fifo`, here or in a nested stack",
            ]
        );
    }

    #[test]
    fn a_clock_that_ticks_otherwise_is_found() {
        let house = |from: &str, to: &str| broken(JOBS, from, to);
        assert_eq!(
            found(schedules_tick_as_the_code_says(&house("rate(1 minute)", "rate(5 minutes)"))),
            [
                "infra/jobs.yaml:`JobsSweepOld.Events.Tick.Properties.Schedule`: expected a rate of 60 seconds, as in the \
              code, not `rate(5 minutes)`"
            ]
        );
        assert_eq!(
            found(schedules_tick_as_the_code_says(&house("Type: Schedule", "Type: Api"))),
            ["infra/jobs.yaml:`JobsSweepOld.Events`: expected one event of type Schedule, every 60 seconds"]
        );
        let mut listed = super::super::sample::house();
        listed.inventory.schedules.clear();
        assert_eq!(
            found(schedules_tick_as_the_code_says(&listed)),
            ["infra/jobs.yaml:`JobsSweepOld.Events.Tick`: expected no clock: `lambdas` lists no schedule of this name"]
        );
    }

    #[test]
    fn rates_come_to_seconds() {
        assert_eq!(rate_seconds("rate(1 minute)"), Some(60));
        assert_eq!(rate_seconds("rate(2 hours)"), Some(7200));
        assert_eq!(rate_seconds("cron(0 * * * ? *)"), None);
        assert_eq!(rate_seconds("rate(x minutes)"), None);
    }
}
