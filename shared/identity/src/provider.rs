//! The one cryptographic backend behind `jsonwebtoken`.
//!
//! That crate chooses its backend by cargo features and, when a build ends up with none or with two (features are
//! unified over a build), panics at first use instead of failing to compile. Installing one by hand removes the
//! choice.

use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;

/// Makes aws-lc the process's backend for `jsonwebtoken`. Every constructor of this crate that needs it calls it; any
/// number of calls, in any order, is fine.
pub fn install() {
    // An error means a backend is already set for the process, which is all that is wanted.
    let _already_set = DEFAULT_PROVIDER.install_default();
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, crypto};

    use super::*;

    #[test]
    fn after_any_number_of_installs_jsonwebtoken_signs_and_verifies_without_a_panic() {
        install();
        install();
        let signature = crypto::sign(b"message", &EncodingKey::from_secret(b"secret"), Algorithm::HS256).unwrap();
        let key = DecodingKey::from_secret(b"secret");
        assert!(crypto::verify(&signature, b"message", &key, Algorithm::HS256).unwrap());
        assert!(!crypto::verify(&signature, b"another", &key, Algorithm::HS256).unwrap());
    }

    #[test]
    fn the_backend_is_set_once_for_the_process() {
        install();
        assert!(DEFAULT_PROVIDER.install_default().is_err());
    }
}
