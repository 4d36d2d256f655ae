use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{AwsCli, Checkout, Deployment, Servers, StackError};

/// What is deployed, and how.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The template's parameter `Stage`.
    pub stage: String,
    /// Other parameters of the template by name.
    pub parameters: BTreeMap<String, String>,
    pub servers: Option<Servers>,
    /// Where the packaged template is written.
    pub folder: PathBuf,
}

/// A chain whose node never answers: what a worker meets when a provider is down.
const DOWN: &str = "down=http://127.0.0.1:9";

impl Plan {
    /// For the emulator of these servers: chains that need no network, Redis, and reports that are soon stale.
    pub fn local(servers: &Servers, stage: &str, folder: &Path) -> Self {
        let mut chains = format!("sample=sample: {DOWN}");
        if let Some(url) = &servers.anvil_url {
            chains += &format!(" anvil={url}");
        }
        let parameters = [
            ("Chains", chains),
            ("CacheMode", "external".to_owned()),
            ("RedisUrl", format!("redis://127.0.0.1:{}", servers.redis_port)),
            ("Architecture", if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" }.to_owned()),
            ("ReportStalenessSeconds", "8".to_owned()),
            ("AllowedOrigins", "http://localhost:5173".to_owned()),
            // The emulator takes any sender for verified, and keeps its letters to be looked at.
            ("MailSender", "no-reply@example.com".to_owned()),
            ("MailVerified", "true".to_owned()),
        ];
        let parameters = parameters.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Self { stage: stage.to_owned(), parameters, servers: Some(servers.clone()), folder: folder.to_owned() }
    }
}

/// Packages and deploys the template of the checkout. Deploying what is there already changes nothing.
pub fn deploy(checkout: &Checkout, aws: &AwsCli, plan: &Plan) -> Result<Deployment, StackError> {
    let prefix = format!("holdfast-{}", plan.stage);
    let bucket = bucket(aws, &prefix)?;
    let template = checkout.root().join("template.yaml").display().to_string();
    let packaged = plan.folder.join("packaged.yaml").display().to_string();
    aws.text(&[
        "cloudformation",
        "package",
        "--template-file",
        &template,
        "--s3-bucket",
        &bucket,
        "--output-template-file",
        &packaged,
    ])?;
    let mut arguments = vec![
        "cloudformation",
        "deploy",
        "--template-file",
        &packaged,
        "--s3-bucket",
        &bucket,
        "--stack-name",
        &prefix,
        "--no-fail-on-empty-changeset",
        "--capabilities",
        "CAPABILITY_IAM",
        "CAPABILITY_NAMED_IAM",
        "CAPABILITY_AUTO_EXPAND",
        "--parameter-overrides",
    ];
    let stage = format!("Stage={}", plan.stage);
    let parameters: Vec<_> = plan.parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
    arguments.push(&stage);
    arguments.extend(parameters.iter().map(String::as_str));
    aws.text(&arguments).map_err(|error| match reasons(aws, &prefix) {
        reasons if reasons.is_empty() => error,
        reasons => StackError::Refused { stack: prefix.clone(), reasons: reasons.join("\n") },
    })?;

    let outputs = outputs(aws, &prefix)?;
    let output = |name: &str| {
        outputs.get(name).cloned().ok_or_else(|| StackError::Unexpected {
            what: format!("the outputs of the stack {prefix}, without {name}"),
            expected: "those of template.yaml",
        })
    };
    let api_id = output("ApiId")?;
    // An emulator's API has no host name of its own.
    let api_url = match &aws.endpoint_url {
        Some(endpoint) => format!("{endpoint}/_aws/execute-api/{api_id}"),
        None => output("ApiUrl")?.trim_end_matches('/').to_owned(),
    };
    if aws.is_emulator {
        allow_origins(aws, plan, &api_id)?;
        // It would hold its own loopback HTTP against the policy that asks for TLS.
        aws.text(&["s3api", "delete-bucket-policy", "--bucket", &output("BlobBucket")?])?;
    }
    let staleness = plan.parameters.get("ReportStalenessSeconds").and_then(|text| text.parse().ok());
    Ok(Deployment {
        aws: aws.clone(),
        stack_name: prefix.clone(),
        api_url,
        user_pool_id: output("UserPoolId")?,
        user_pool_client_id: output("UserPoolClientId")?,
        report_staleness: staleness.unwrap_or(21_600),
        prefix,
        servers: plan.servers.clone(),
    })
}

/// The bucket packages are put into, of this account and region alone.
fn bucket(aws: &AwsCli, prefix: &str) -> Result<String, StackError> {
    let identity = aws.json(&["sts", "get-caller-identity"])?;
    let account = identity["Account"].as_str().unwrap_or_default();
    let name = format!("{prefix}-packages-{account}-{}", aws.region);
    if aws.text(&["s3api", "head-bucket", "--bucket", &name]).is_err() {
        let place = format!("LocationConstraint={}", aws.region);
        let mut arguments = vec!["s3api", "create-bucket", "--bucket", &name];
        // The oldest region is the only one that must not be named.
        if aws.region != "us-east-1" {
            arguments.extend(["--create-bucket-configuration", &place]);
        }
        aws.text(&arguments)?;
    }
    Ok(name)
}

/// Why resources of the stack, or of one nested in it, could not be made.
fn reasons(aws: &AwsCli, stack: &str) -> Vec<String> {
    let listed = aws.json(&["cloudformation", "describe-stacks"]).unwrap_or_default();
    let stacks = listed["Stacks"].as_array().cloned().unwrap_or_default();
    let names = stacks.iter().filter_map(|listed| listed["StackName"].as_str());
    let mut found = Vec::new();
    for name in names.filter(|name| name.starts_with(stack)) {
        let answer = aws.json(&["cloudformation", "describe-stack-events", "--stack-name", name]).unwrap_or_default();
        for event in answer["StackEvents"].as_array().into_iter().flatten() {
            let status = event["ResourceStatus"].as_str().unwrap_or_default();
            if let (true, Some(reason)) = (status.ends_with("FAILED"), event["ResourceStatusReason"].as_str()) {
                let resource = event["LogicalResourceId"].as_str().unwrap_or_default();
                found.push(format!("{name}: {resource}: {status}: {reason}"));
            }
        }
    }
    found
}

fn outputs(aws: &AwsCli, stack: &str) -> Result<BTreeMap<String, String>, StackError> {
    let described = aws.json(&["cloudformation", "describe-stacks", "--stack-name", stack])?;
    let outputs = described["Stacks"][0]["Outputs"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(outputs.iter().map(|output| (text(&output["OutputKey"]), text(&output["OutputValue"]))).collect())
}

/// The emulator does not take an API's CORS settings from a template.
fn allow_origins(aws: &AwsCli, plan: &Plan, api_id: &str) -> Result<(), StackError> {
    let Some(origins) = plan.parameters.get("AllowedOrigins").filter(|origins| !origins.is_empty()) else {
        return Ok(());
    };
    let settings = format!(
        "AllowOrigins={origins},AllowMethods=GET,POST,PUT,PATCH,DELETE,AllowHeaders=authorization,content-type,\
         idempotency-key,x-request-id"
    );
    aws.text(&["apigatewayv2", "update-api", "--api-id", api_id, "--cors-configuration", &settings]).map(drop)
}
