//! A small deployment in step with its code, for tests to break one thing of.

use super::super::{Finding, House};
use crate::inventory::{Endpoint, Index, Inventory, Queue, Schedule, Table, Worker};
use crate::tree::Tree;

const ROOT: &str = "\
Parameters:
  Stage: {Type: String}
Resources:
  Jobs:
    Type: AWS::CloudFormation::Stack
    Properties:
      TemplateURL: infra/jobs.yaml
  Tokens:
    Type: AWS::CloudFormation::Stack
    Properties:
      TemplateURL: infra/tokens.yaml
      Parameters:
        Prefix: !Sub holdfast-${Stage}
        DeadLettersArn: !GetAtt Jobs.Outputs.DeadLettersArn
";

const JOBS: &str = "\
Globals:
  Function:
    Timeout: 30
    MemorySize: 256
    Environment:
      Variables:
        QUEUE_URL_PREFIX: !Ref QueueUrlPrefix
        BLOB_BUCKET: !Ref BlobBucket
Resources:
  JobsTable:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: !Sub ${Prefix}-jobs
      AttributeDefinitions:
        - {AttributeName: job, AttributeType: S}
        - {AttributeName: open, AttributeType: S}
        - {AttributeName: leaseUntil, AttributeType: N}
      KeySchema:
        - {AttributeName: job, KeyType: HASH}
      GlobalSecondaryIndexes:
        - IndexName: open-jobs
          KeySchema:
            - {AttributeName: open, KeyType: HASH}
            - {AttributeName: leaseUntil, KeyType: RANGE}
          Projection:
            ProjectionType: ALL
      TimeToLiveSpecification: {AttributeName: expiresAt, Enabled: true}
  DeadLettersQueue:
    Type: AWS::SQS::Queue
    Properties:
      QueueName: !Sub ${Prefix}-dead-letters.fifo
      FifoQueue: true
      VisibilityTimeout: 180
      MessageRetentionPeriod: 1209600
  JobsSweepOld:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: !Sub ${Prefix}-jobs-sweep-old
      CodeUri: ../target/lambda/jobs-sweep-old/
      Role: !GetAtt JobsSweepOldRole.Arn
      Events:
        Tick:
          Type: Schedule
          Properties:
            Schedule: rate(1 minute)
  JobsSweepOldRole:
    Type: AWS::IAM::Role
    Properties:
      ManagedPolicyArns: !If [InVpc, [!Sub 'arn:${AWS::Partition}:iam::aws:policy/AWSLambdaVPCAccessExecutionRole'], []]
      Policies:
        - PolicyName: own
          PolicyDocument:
            Statement:
              - Effect: Allow
                Action: [logs:CreateLogStream, logs:PutLogEvents]
                Resource: !Sub ${JobsSweepOldLogs.Arn}:*
  JobsSweepOldLogs:
    Type: AWS::Logs::LogGroup
    Properties:
      LogGroupName: !Sub /aws/lambda/${Prefix}-jobs-sweep-old
      RetentionInDays: 30
  JobsSweepOldAlarm:
    Type: AWS::CloudWatch::Alarm
    Properties:
      Namespace: AWS/Lambda
      MetricName: Errors
      Dimensions:
        - {Name: FunctionName, Value: !Ref JobsSweepOld}
      AlarmActions: [!Ref AlarmTopic]
Outputs:
  DeadLettersArn:
    Value: !GetAtt DeadLettersQueue.Arn
";

const TOKENS: &str = "\
Globals:
  Function:
    Timeout: 28
    MemorySize: 256
    Environment:
      Variables:
        STAGE: !Ref Stage
        QUEUE_URL_PREFIX: !Ref QueueUrlPrefix
Resources:

  TokensGetNotes:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: !Sub ${Prefix}-tokens-get-notes
      CodeUri: ../target/lambda/tokens-get-notes/
      Role: !GetAtt TokensGetNotesRole.Arn
      Environment:
        Variables:
          BLOB_BUCKET: !Ref BlobBucket
          CHAINS: !Ref Chains
  TokensGetNotesRole:
    Type: AWS::IAM::Role
    Properties:
      Policies:
        - PolicyName: own
          PolicyDocument:
            Statement:
              - Effect: Allow
                Action: dynamodb:Query
                Resource: !Sub arn:${AWS::Partition}:dynamodb:${AWS::Region}:${AWS::AccountId}:table/${Prefix}-notes
  TokensGetNotesLogs:
    Type: AWS::Logs::LogGroup
    Properties:
      LogGroupName: !Sub /aws/lambda/${Prefix}-tokens-get-notes
      RetentionInDays: !Ref LogRetentionDays
  TokensGetNotesAlarm:
    Type: AWS::CloudWatch::Alarm
    Properties:
      Namespace: AWS/Lambda
      MetricName: Errors
      Dimensions:
        - {Name: FunctionName, Value: !Ref TokensGetNotes}
      AlarmActions: !If [HasTopic, [!Ref AlarmTopic], !Ref AWS::NoValue]
  TokensGetNotesIntegration:
    Type: AWS::ApiGatewayV2::Integration
    Properties:
      ApiId: !Ref ApiId
      IntegrationType: AWS_PROXY
      IntegrationUri: !GetAtt TokensGetNotes.Arn
      PayloadFormatVersion: '2.0'
  TokensGetNotesRoute:
    Type: AWS::ApiGatewayV2::Route
    Properties:
      ApiId: !Ref ApiId
      RouteKey: GET /v1/tokens/{chain}/notes
      Target: !Sub integrations/${TokensGetNotesIntegration}
  TokensGetNotesPermission:
    Type: AWS::Lambda::Permission
    Properties:
      FunctionName: !Ref TokensGetNotes
      Action: lambda:InvokeFunction
      Principal: apigateway.amazonaws.com
      SourceArn: !Sub arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${ApiId}/*/GET/v1/tokens/*/notes

  TokensRefreshNotes:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: !Sub ${Prefix}-tokens-refresh-notes
      CodeUri: ../target/lambda/tokens-refresh-notes/
      Role: !GetAtt TokensRefreshNotesRole.Arn
      Timeout: 120
      Environment:
        Variables:
          BLOB_BUCKET: !Ref BlobBucket
      Events:
        Messages:
          Type: SQS
          Properties:
            Queue: !GetAtt RefreshNotesQueue.Arn
            FunctionResponseTypes: [ReportBatchItemFailures]
  TokensRefreshNotesRole:
    Type: AWS::IAM::Role
  TokensRefreshNotesLogs:
    Type: AWS::Logs::LogGroup
    Properties:
      LogGroupName: !Sub /aws/lambda/${Prefix}-tokens-refresh-notes
      RetentionInDays: !Ref LogRetentionDays
  TokensRefreshNotesAlarm:
    Type: AWS::CloudWatch::Alarm
    Properties:
      Namespace: AWS/Lambda
      MetricName: Errors
      Dimensions:
        - {Name: FunctionName, Value: !Sub '${Prefix}-tokens-refresh-notes'}
      AlarmActions: [!Ref AlarmTopic]
  RefreshNotesQueue:
    Type: AWS::SQS::Queue
    Properties:
      QueueName: !Sub ${Prefix}-refresh-notes.fifo
      FifoQueue: true
      VisibilityTimeout: 720
      RedrivePolicy:
        deadLetterTargetArn: !Ref DeadLettersArn
        maxReceiveCount: 5
";

const CONFIG: &str = "required(\"QUEUE_URL_PREFIX\", \"…\")?, required(\"BLOB_BUCKET\", \"…\")?";
const PAGE: &str = "| variable |\n| --- |\n| `STAGE`, `CHAINS` |\n| `QUEUE_URL_PREFIX` |\n| `BLOB_BUCKET` |\n";

const FILES: [(&str, &str); 5] = [
    ("template.yaml", ROOT),
    ("infra/jobs.yaml", JOBS),
    ("infra/tokens.yaml", TOKENS),
    ("shared/runtime/src/config.rs", CONFIG),
    ("docs/operations.md", PAGE),
];

pub(super) fn house() -> House {
    house_of(&FILES)
}

/// The sample with `from` written otherwise wherever it stands in a file, where it must stand.
pub(super) fn broken(path: &str, from: &str, to: &str) -> House {
    let text = FILES.iter().find(|(other, _)| *other == path).unwrap().1;
    assert!(text.contains(from), "the sample's {path} has no {from:?}");
    let text = text.replace(from, to);
    house_of(&FILES.map(|(other, whole)| (other, if other == path { text.as_str() } else { whole })))
}

pub(super) fn without(path: &str) -> House {
    house_of(&FILES.into_iter().filter(|(other, _)| *other != path).collect::<Vec<_>>())
}

/// As a person reads them, without line numbers but in their order.
pub(super) fn found(mut findings: Vec<Finding>) -> Vec<String> {
    findings.sort();
    let text = |finding: &Finding| match finding.line {
        Some(_) => format!("{}:{}", finding.path, finding.what),
        None => format!("{}: {}", finding.path, finding.what),
    };
    findings.iter().map(text).collect()
}

fn house_of(files: &[(&str, &str)]) -> House {
    let route = ("GET".to_owned(), "/v1/tokens/{chain}/notes".to_owned());
    let queue = |name: &str, visibility_seconds, max_receive_count, dead_letter: Option<&str>| Queue {
        name: name.into(),
        fifo: true,
        visibility_seconds,
        max_receive_count,
        dead_letter: dead_letter.map(str::to_owned),
    };
    let index = Index { name: "open-jobs".into(), partition_key: "open".into(), sort_key: "leaseUntil".into() };
    let inventory = Inventory {
        endpoints: vec![Endpoint { name: "tokens-get-notes".into(), routes: vec![route] }],
        workers: vec![Worker { name: "tokens-refresh-notes".into(), queue: "refresh-notes".into() }],
        schedules: vec![Schedule { name: "jobs-sweep-old".into(), every_seconds: 60 }],
        triggers: Vec::new(),
        queues: vec![queue("refresh-notes", 720, 5, Some("dead-letters")), queue("dead-letters", 180, 1000, None)],
        tables: vec![Table { name: "jobs".into(), partition_key: "job".into(), sort_key: None, index: Some(index) }],
        expires_at: "expiresAt".into(),
        document: String::new(),
    };
    House::new(Tree::of(files), inventory)
}
