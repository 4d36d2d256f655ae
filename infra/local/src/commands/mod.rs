//! The command line's commands. Each returns what went wrong as a [`Failure`] with the process's exit code.

pub mod admin;
pub mod clusters;
pub mod mail;
pub mod serve;
pub mod stack;
pub mod token;

/// Why a command ended early.
#[derive(Debug)]
pub enum Failure {
    /// Exit code 1: the input, or something outside, is not as it must be.
    Input(Box<dyn std::error::Error + Send + Sync>),
    /// Exit code 2: the command was asked for what it cannot do.
    Usage(String),
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Input(Box::new(error))
    }
}

impl std::fmt::Display for Failure {
    /// The error and its causes on one line.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Usage(text) => f.write_str(text),
            Self::Input(error) => {
                let mut said = error.to_string();
                f.write_str(&said)?;
                let mut cause = error.source();
                while let Some(error) = cause {
                    let text = error.to_string();
                    if !said.contains(&text) {
                        write!(f, ": {text}")?;
                    }
                    said = text;
                    cause = error.source();
                }
                Ok(())
            }
        }
    }
}
