//! The address of a server: `meilies://[user:password@]host[:port]`.

use percent_encoding::percent_decode_str;

use crate::Error;
use crate::limits::PORT_DEFAULT;

const SCHEME: &str = "meilies://";

/// What a URL says.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Vec<u8>>,
    /// `host:port`, as the resolver takes it: an IPv6 address stands in brackets.
    pub(crate) address: String,
}

impl Url {
    /// Reads a URL, or `host[:port]` alone. User and password may be percent-encoded.
    pub(crate) fn parse(text: &str) -> Result<Url, Error> {
        let refused = |reason: &str| Error::Url {
            url: without_password(text),
            reason: reason.to_owned(),
        };
        let rest = match text.split_once("://") {
            None => text,
            Some(_) => match text.get(..SCHEME.len()) {
                Some(scheme) if scheme.eq_ignore_ascii_case(SCHEME) => &text[SCHEME.len()..],
                _ => return Err(refused("the scheme is not meilies://")),
            },
        };
        let (login, place) = match rest.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, rest),
        };
        let place = place.strip_suffix('/').unwrap_or(place);
        if place.contains(['/', '?', '#']) {
            return Err(refused("there is more behind the host"));
        }
        let (user, password) = match login {
            None => (None, None),
            Some(login) if !is_percent_encoded(login) => {
                return Err(refused("% is written %25 in user and password"));
            }
            Some(login) => parse_login(login).ok_or_else(|| refused("the user is not UTF-8"))?,
        };
        let address = parse_place(place).map_err(|reason| refused(&reason))?;
        Ok(Url {
            user,
            password,
            address,
        })
    }
}

/// Whether two hexadecimal digits follow each `%`.
fn is_percent_encoded(text: &str) -> bool {
    let mut parts = text.split('%');
    parts.next();
    parts.all(|part| {
        let digits = part.as_bytes().first_chunk::<2>();
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

/// No user and no password where they are empty.
fn parse_login(login: &str) -> Option<(Option<String>, Option<Vec<u8>>)> {
    let (user, password) = match login.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (login, None),
    };
    let user = percent_decode_str(user).decode_utf8().ok()?;
    let user = (!user.is_empty()).then(|| user.into_owned());
    let password = password.map(|password| percent_decode_str(password).collect::<Vec<u8>>());
    Some((user, password.filter(|password| !password.is_empty())))
}

fn parse_place(place: &str) -> Result<String, String> {
    let (host, port) = if let Some(bracketed) = place.strip_prefix('[') {
        let (host, port) = bracketed
            .split_once(']')
            .ok_or("the bracket [ is not closed")?;
        if host.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(format!("'{host}' is no IPv6 address"));
        }
        (format!("[{host}]"), port)
    } else if place.matches(':').count() > 1 {
        return Err("an IPv6 address stands in brackets: [::1]:6480".to_owned());
    } else {
        let end = place.find(':').unwrap_or(place.len());
        (place[..end].to_owned(), &place[end..])
    };
    if host.is_empty() {
        return Err("there is no host".to_owned());
    }
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => PORT_DEFAULT,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits
            .parse()
            .map_err(|_| format!("port '{digits}' is not 0 to {}", u16::MAX))?,
        _ => return Err(format!("'{port}' behind the host is no port")),
    };
    Ok(format!("{host}:{port}"))
}

/// The URL as an error may show it.
fn without_password(text: &str) -> String {
    let has_scheme = text
        .get(..SCHEME.len())
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME));
    let begin = if has_scheme { SCHEME.len() } else { 0 };
    match text[begin..].rfind('@') {
        Some(at) => format!("{}…{}", &text[..begin], &text[begin + at..]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> String {
        Url::parse(text).expect("a good URL").address
    }

    fn refusal(text: &str) -> String {
        match Url::parse(text) {
            Err(error) => error.to_string(),
            Ok(url) => panic!("{text} is read as {}", url.address),
        }
    }

    #[test]
    fn a_host_is_enough() {
        assert_eq!(address("localhost"), "localhost:6480");
        assert_eq!(address("localhost:7"), "localhost:7");
        assert_eq!(address("meilies://db.example"), "db.example:6480");
        assert_eq!(address("MEILIES://db.example:1/"), "db.example:1");
        assert_eq!(address("[::1]"), "[::1]:6480");
        assert_eq!(address("meilies://[fe80::1]:65535"), "[fe80::1]:65535");
    }

    #[test]
    fn user_and_password_are_decoded() {
        let url = Url::parse("meilies://ann:a%40b%3a%ff@h:1").expect("a good URL");
        assert_eq!(url.user.as_deref(), Some("ann"));
        assert_eq!(url.password.as_deref(), Some(b"a@b:\xff".as_slice()));
        assert_eq!(url.address, "h:1");
        let url = Url::parse("meilies://:secret@h").expect("a good URL");
        assert_eq!((url.user, url.password), (None, Some(b"secret".to_vec())));
        let url = Url::parse("meilies://ann@h").expect("a good URL");
        assert_eq!((url.user.as_deref(), url.password), (Some("ann"), None));
    }

    #[test]
    fn what_is_no_url_is_refused_with_its_reason() {
        for (text, reason) in [
            ("redis://h", "the scheme is not meilies://"),
            ("meilies://", "there is no host"),
            ("", "there is no host"),
            (":6480", "there is no host"),
            ("h:", "port '' is not 0 to 65535"),
            ("h:65536", "port '65536' is not 0 to 65535"),
            ("h:-1", "':-1' behind the host is no port"),
            ("::1", "an IPv6 address stands in brackets"),
            ("[::1", "the bracket [ is not closed"),
            ("[h]", "'h' is no IPv6 address"),
            ("[::1]x", "'x' behind the host is no port"),
            ("meilies://a:5%@h", "% is written %25"),
            ("meilies://a:%zz@h", "% is written %25"),
            ("h/0", "there is more behind the host"),
        ] {
            assert!(refusal(text).contains(reason), "{}", refusal(text));
        }
    }

    #[test]
    fn no_error_shows_a_password() {
        for url in ["meilies://ann:sesame@h:x", "ann:sesame://sesame@h:x"] {
            let text = refusal(url);
            assert!(!text.contains("sesame"), "{text}");
        }
    }
}
