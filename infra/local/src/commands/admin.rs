//! `holdfast admin`: what nobody can do for themselves, on the local server's folder, whether or not it runs.

use std::fmt::Write;
use std::io::{IsTerminal, Read};
use std::path::PathBuf;

use access::{Clock, EmailAddress, Ids, RandomIds, SystemClock};
use identity::LocalIssuer;
use referrals::{Command, Done, MemberView, Who, carry_out};

use super::Failure;
use crate::keep::{DataDir, Lock};
use crate::serve::{Options, local_app_in, token};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Task,
    /// The folder of the server it is for
    #[arg(long, default_value = ".holdfast", value_name = "FOLDER", global = true)]
    data: PathBuf,
}

#[derive(Debug, clap::Subcommand)]
enum Task {
    /// Create a confirmed account that is a member without anybody's code, and print its code
    CreateUser {
        email: String,
        /// Read the password from standard input instead of making one up
        #[arg(long)]
        password_stdin: bool,
    },
    /// Say how many may join with a member's code in all, those who have among them
    SetPlaces {
        /// The member's account id or address
        user: String,
        total: u32,
    },
    /// Let nobody join with a member's code
    DisableCode {
        /// The member's account id or address
        user: String,
    },
    /// Undo disable-code
    EnableCode {
        /// The member's account id or address
        user: String,
    },
    /// Rank all members anew, now; a worker of the running server does it
    RebuildStandings,
    /// List letters that were set out for and never marked as sent, or decide on one
    ReconcileMail {
        /// Leave out younger ones, which may be under way
        #[arg(long, default_value_t = 300, value_name = "SECONDS")]
        older_than: u32,
        /// This letter has arrived: list it no more
        #[arg(long, value_name = "KEY", conflicts_with = "release")]
        mark_sent: Option<String>,
        /// This letter was not sent: send it
        #[arg(long, value_name = "KEY")]
        release: Option<String>,
    },
}

/// # Errors
/// [`Failure::Usage`] for what is no address or no password, and for what the application refuses.
pub fn run(arguments: &Arguments) -> Result<String, Failure> {
    let (command, made_up) = command(&arguments.command)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ask = |command| runtime.block_on(ask(DataDir::open(&arguments.data)?, command));
    let mut done = ask(command)?;
    if let (Task::ReconcileMail { older_than, .. }, Done::Letters { letters, next_cursor }) =
        (&arguments.command, &mut done)
    {
        while let Some(cursor) = next_cursor.take() {
            let command = Command::ReconcileMail { older_than_seconds: *older_than, cursor: Some(cursor) };
            if let Done::Letters { letters: more, next_cursor: next } = ask(command)? {
                letters.extend(more);
                *next_cursor = next;
            }
        }
    }
    let mut said = shown(&done);
    if let Some(password) = made_up {
        said += &format!("\npassword       {password}   (unless the account was there before)");
    }
    Ok(said)
}

/// With the password that was made up for it.
fn command(task: &Task) -> Result<(Command, Option<String>), Failure> {
    let who = |user: &str| Who(user.to_owned());
    let command = match task {
        Task::CreateUser { email, password_stdin } => {
            let email = EmailAddress::new(email).map_err(|error| Failure::Usage(format!("EMAIL: {error}")))?;
            let made_up = (!password_stdin).then(made_up);
            let password = made_up.clone().map_or_else(read_password, Ok)?;
            return Ok((Command::CreateUser { email, password: Some(password) }, made_up));
        }
        Task::SetPlaces { user, total } => Command::SetPlaces { user: who(user), total: *total },
        Task::DisableCode { user } => Command::DisableCode { user: who(user) },
        Task::EnableCode { user } => Command::EnableCode { user: who(user) },
        Task::RebuildStandings => Command::RebuildStandings,
        Task::ReconcileMail { mark_sent: Some(letter), .. } => Command::MarkSent { letter: letter.clone() },
        Task::ReconcileMail { release: Some(letter), .. } => Command::Release { letter: letter.clone() },
        Task::ReconcileMail { older_than, .. } => {
            Command::ReconcileMail { older_than_seconds: *older_than, cursor: None }
        }
    };
    Ok((command, None))
}

/// The running server does it, or else this process.
async fn ask(data: DataDir, command: Command) -> Result<Done, Failure> {
    match data.try_lock()? {
        Lock::Ours(lock) => {
            let local = local_app_in(&Options::new(data), lock).await?;
            carry_out(&local.app, command).await.map_err(|error| Failure::Usage(error.to_string()))
        }
        Lock::ServerAt(address) => {
            let issuer = LocalIssuer::open(&data.keys())?;
            let bearer = token(&issuer, "holdfast-admin", &["admin".to_owned()], SystemClock::default().now())?;
            let request = reqwest::Client::new().post(format!("http://{address}/_local/admin")).bearer_auth(bearer);
            let answer = request.json(&command).send().await?;
            if answer.status().is_success() {
                return Ok(answer.json().await?);
            }
            let problem: serde_json::Value = answer.json().await?;
            Err(Failure::Usage(problem["detail"].as_str().unwrap_or("the server refused").to_owned()))
        }
    }
}

fn shown(done: &Done) -> String {
    match done {
        Done::Member(member) => {
            let MemberView { user, referral_code, total_referrals, referrals_used, referrals_remaining, .. } = member;
            let mut said = format!("user           {user}\nreferral code  {referral_code}");
            if !member.referral_is_valid {
                said += "   (disabled)";
            }
            said + &format!("\nplaces left    {referrals_remaining}   ({referrals_used} of {total_referrals} used)")
        }
        Done::Queued { job } => format!("queued  {job}   (see /v1/jobs/{job})"),
        Done::Letters { letters, .. } if letters.is_empty() => "No letter waits to be decided on.".to_owned(),
        Done::Letters { letters, .. } => {
            let mut said = String::from("   age (s)  letter");
            for letter in letters {
                // Writing to a text cannot fail.
                let _ = write!(said, "\n{:>10}  {}", letter.age_seconds, letter.letter);
            }
            said
        }
        Done::Letter { letter, outcome } => format!("{outcome}  {letter}"),
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
