//! `holdfast mail`: what letters look like.

use std::fs;
use std::path::PathBuf;

use mail::Template;

use super::Failure;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, clap::Subcommand)]
enum Task {
    /// Write one template with sample data as HTML and as plain text, and say where
    Preview {
        /// confirm-code, reset-password, password-changed, account-exists, welcome, referral-invite or weekly-points
        template: String,
        /// The folder they are written to
        #[arg(long, default_value = ".holdfast/mail", value_name = "FOLDER")]
        out: PathBuf,
    },
}

/// # Errors
/// [`Failure::Usage`] for a template there is not.
pub fn run(arguments: &Arguments) -> Result<String, Failure> {
    let Task::Preview { template, out } = &arguments.command;
    let known: Template = template.parse().map_err(|error: mail::UnknownTemplate| Failure::Usage(error.to_string()))?;
    let rendered = mail::preview(known.name()).expect("every template has a preview");
    fs::create_dir_all(out)?;
    let (html, text) = (out.join(format!("{template}.html")), out.join(format!("{template}.txt")));
    fs::write(&html, rendered.html)?;
    fs::write(&text, rendered.text)?;
    Ok(format!("{}\n{}\n{}", rendered.subject, html.display(), text.display()))
}
