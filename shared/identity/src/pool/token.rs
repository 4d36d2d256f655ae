use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// A secret text of its own kind, never shown by `Debug` and overwritten when dropped. It is serialised, since it is
/// what a person signs in for.
macro_rules! secret {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(from = "String", into = "String")]
        pub struct $name(Zeroizing<String>);

        impl $name {
            pub fn new(text: impl Into<String>) -> Self {
                Self(Zeroizing::new(text.into()))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(secret: $name) -> Self {
                secret.as_str().to_owned()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    };
}

secret! {
    /// A JSON Web Token that [`crate::Verifier`] takes; `Authorization: Bearer` carries it.
    AccessToken
}

secret! {
    /// A JSON Web Token that tells an application who has signed in. No endpoint takes it.
    IdToken
}

secret! {
    /// Opaque: gets new tokens without a password. It is replaced each time it is used.
    RefreshToken
}

secret! {
    /// Opaque: connects a challenge with the sign-in it belongs to.
    ChallengeSession
}

/// What a sign-in gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    pub access: AccessToken,
    pub id: IdToken,
    /// The one to use next; an earlier one of this session ends it, but for a short grace.
    pub refresh: RefreshToken,
    /// How long access and id token are good for, from now.
    pub expires_in_seconds: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_show_and_are_strings_in_json() {
        let tokens = Tokens {
            access: AccessToken::new("s3cret-a"),
            id: IdToken::new("s3cret-i"),
            refresh: RefreshToken::new("s3cret-r"),
            expires_in_seconds: 3600,
        };
        let shown = format!("{tokens:?}");
        assert!(!shown.contains("s3cret"), "{shown}");
        assert_eq!(serde_json::to_string(&tokens.refresh).unwrap(), "\"s3cret-r\"");
        assert_eq!(serde_json::from_str::<RefreshToken>("\"s3cret-r\"").unwrap(), tokens.refresh);
    }
}
