use std::path::PathBuf;
use std::process::Command;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::StackError;
use super::checkout::output;

/// The AWS command line: packaging and deploying is its work, and it speaks to every service without a client here.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AwsCli {
    pub program: PathBuf,
    /// Where AWS is; none: AWS itself, with the credentials of this machine.
    pub endpoint_url: Option<String>,
    pub region: String,
    /// The emulator is ours, and so are its credentials.
    pub is_emulator: bool,
}

impl AwsCli {
    /// What a call wrote, which is mostly JSON.
    pub fn text(&self, arguments: &[&str]) -> Result<String, StackError> {
        output(&mut self.command(arguments))
    }

    /// What a call answered; null where it answers nothing.
    pub fn json(&self, arguments: &[&str]) -> Result<Value, StackError> {
        let text = self.text(arguments)?;
        if text.trim().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).map_err(|_| StackError::Unexpected {
            what: format!("the answer to `aws {}`", arguments.iter().take(2).copied().collect::<Vec<_>>().join(" ")),
            expected: "JSON",
        })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).env("AWS_PAGER", "").env("AWS_DEFAULT_OUTPUT", "json");
        command.env("AWS_REGION", &self.region).env("AWS_DEFAULT_REGION", &self.region);
        if let Some(url) = &self.endpoint_url {
            command.env("AWS_ENDPOINT_URL", url);
        }
        if self.is_emulator {
            command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
            // This machine's own profiles are for other accounts.
            command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
            command.env_remove("AWS_PROFILE").env_remove("AWS_SESSION_TOKEN");
        }
        command
    }
}
