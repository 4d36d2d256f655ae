//! `holdfast admin`: what nobody can do for themselves, on the local server's folder, whether or not it runs.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;

use access::{Clock, EmailAddress, Ids, RandomIds, SystemClock};
use identity::{LocalIssuer, Password};

use super::Failure;
use crate::desk::NewUserRequest;
use crate::keep::{DataDir, Lock};
use crate::member::{self, NewMember};
use crate::serve::{Options, local_app_in, token};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, clap::Subcommand)]
enum Task {
    /// Create a confirmed account that is a member without anybody's code, and print its code
    CreateUser {
        email: String,
        /// The folder of the server it is for
        #[arg(long, default_value = ".holdfast", value_name = "FOLDER")]
        data: PathBuf,
        /// Read the password from standard input instead of making one up
        #[arg(long)]
        password_stdin: bool,
    },
}

/// # Errors
/// [`Failure::Usage`] for what is no address or no password.
pub fn run(arguments: &Arguments) -> Result<String, Failure> {
    let Task::CreateUser { email, data, password_stdin } = &arguments.command;
    let address = EmailAddress::new(email).map_err(|error| Failure::Usage(format!("EMAIL: {error}")))?;
    let given = if *password_stdin { Some(read_password()?) } else { None };
    let password = given.clone().unwrap_or_else(made_up);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let made = runtime.block_on(create(DataDir::open(data)?, address, password.clone()))?;
    let mut said =
        format!("user           {}\nreferral code  {}\nplaces left    {}", made.user, made.referral_code, made.places);
    if given.is_none() {
        said += &format!("\npassword       {password}   (unless the account was there before)");
    }
    Ok(said)
}

async fn create(data: DataDir, email: EmailAddress, password: String) -> Result<NewMember, Failure> {
    match data.try_lock()? {
        Lock::Ours(lock) => {
            let local = local_app_in(&Options::new(data), lock).await?;
            let password = Password::new(password).map_err(|error| Failure::Usage(error.to_string()))?;
            Ok(member::create(&local.app, &email, password).await?)
        }
        Lock::ServerAt(address) => {
            let issuer = LocalIssuer::open(&data.keys())?;
            let bearer = token(&issuer, "holdfast-admin", &["admin".to_owned()], SystemClock::default().now())?;
            let request = reqwest::Client::new().post(format!("http://{address}/_local/users")).bearer_auth(bearer);
            let answer = request.json(&NewUserRequest { email, password }).send().await?;
            if answer.status().is_success() {
                return Ok(answer.json().await?);
            }
            let problem: serde_json::Value = answer.json().await?;
            Err(Failure::Usage(problem["detail"].as_str().unwrap_or("the server refused").to_owned()))
        }
    }
}

fn read_password() -> Result<String, Failure> {
    if std::io::stdin().is_terminal() {
        return Err(Failure::Usage("--password-stdin: pipe the password in".to_owned()));
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// 26 letters and digits of which 80 bits are random.
fn made_up() -> String {
    RandomIds.id(SystemClock::default().now())
}
