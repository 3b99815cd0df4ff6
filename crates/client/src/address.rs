use http::Uri;

/// Why a text is no base address. It never repeats the text, which may hold a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It is not an address at all.
    #[error("the base address is not an address: {0}")]
    Syntax(#[from] http::uri::InvalidUri),
    /// It does not begin with `http://` or `https://`.
    #[error("the base address must begin with http:// or https://")]
    Scheme,
    /// It holds a user name or password; credentials belong to the call.
    #[error("the base address must not hold a user name or password")]
    UserInfo,
    /// It has a query or a fragment, after which no path can follow.
    #[error("the base address must have neither query nor fragment")]
    Query,
}

/// Checks a base address and takes the slashes off its end.
pub(crate) fn base(text: &str) -> Result<String, AddressError> {
    let text = text.trim();
    // The parser drops a fragment without a word.
    if text.contains('#') {
        return Err(AddressError::Query);
    }
    let uri: Uri = text.parse()?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(AddressError::Scheme);
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(AddressError::UserInfo);
    }
    if uri.query().is_some() {
        return Err(AddressError::Query);
    }
    Ok(text.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_at_the_end_are_taken_off() {
        for text in [
            "http://127.0.0.1:8080/achilles",
            "http://127.0.0.1:8080/achilles/",
            " http://127.0.0.1:8080/achilles// ",
        ] {
            assert_eq!(base(text).unwrap(), "http://127.0.0.1:8080/achilles");
        }
        assert_eq!(base("https://fleet.example/").unwrap(), "https://fleet.example");
    }

    #[test]
    fn only_a_plain_absolute_http_address_is_a_base() {
        assert!(matches!(base(""), Err(AddressError::Syntax(_))));
        assert!(matches!(base("http://"), Err(AddressError::Syntax(_))));
        assert!(matches!(base("fleet.example"), Err(AddressError::Scheme)));
        assert!(matches!(base("/achilles"), Err(AddressError::Scheme)));
        assert!(matches!(base("ftp://fleet.example"), Err(AddressError::Scheme)));
        assert!(matches!(base("http://fleet.example/?tenant=1"), Err(AddressError::Query)));
        assert!(matches!(base("http://fleet.example/#top"), Err(AddressError::Query)));
    }

    #[test]
    fn a_password_in_the_address_is_refused_and_not_repeated() {
        let error = base("http://agent:hunter2@fleet.example/").unwrap_err();
        assert!(matches!(error, AddressError::UserInfo));
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
