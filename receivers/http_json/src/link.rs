//! The URL of the next page: from a link, absolute or relative, or from a cursor. Never of another host.

use std::fmt::Write;

use http::{HeaderMap, Uri, header};

/// The URL that a link on the page `from` means.
///
/// # Errors
/// It is none, or leads elsewhere.
pub(crate) fn follow(from: &Uri, link: &str) -> Result<Uri, String> {
    let (Some(scheme), Some(authority)) = (from.scheme_str(), from.authority()) else {
        return Err("the page itself has no host".into());
    };
    let path = from.path();
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let text = match link {
        _ if link.starts_with("http://") || link.starts_with("https://") => link.to_string(),
        _ if link.starts_with("//") => format!("{scheme}:{link}"),
        _ if link.starts_with('/') => format!("{scheme}://{authority}{link}"),
        _ if link.starts_with('?') => format!("{scheme}://{authority}{path}{link}"),
        _ => format!("{scheme}://{authority}{folder}/{link}"),
    };
    let next: Uri = text.parse().map_err(|error| format!("the link to the next page is no URL: {error}"))?;
    let same = next.scheme_str() == Some(scheme) && next.authority() == Some(authority);
    if same { Ok(next) } else { Err("the link to the next page leads to another host, which is not asked".into()) }
}

/// The page's URL with a query parameter set to a cursor.
pub(crate) fn with_parameter(from: &Uri, parameter: &str, cursor: &str) -> Result<Uri, String> {
    let parameter = encode(parameter);
    let kept = from.query().into_iter().flat_map(|query| query.split('&'));
    let kept = kept.filter(|pair| !pair.is_empty() && pair.split('=').next() != Some(parameter.as_str()));
    let new = format!("{parameter}={}", encode(cursor));
    let query: Vec<&str> = kept.chain([new.as_str()]).collect();
    follow(from, &format!("?{}", query.join("&")))
}

/// The link that a `Link` header calls `next`.
pub(crate) fn next_in(headers: &HeaderMap) -> Option<&str> {
    let values = headers.get_all(header::LINK).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).find_map(|link| {
        let (url, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = parameters.split(';').any(|parameter| {
            let relation = parameter.trim().strip_prefix("rel=").unwrap_or_default().trim_matches('"');
            relation.split_whitespace().any(|word| word.eq_ignore_ascii_case("next"))
        });
        is_next.then_some(url)
    })
}

fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            // Writing into a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_on_the_same_host_only() {
        let from: Uri = "https://host:8443/api/list?a=1".parse().unwrap();
        for (link, expected) in [
            ("https://host:8443/other?x=2", "https://host:8443/other?x=2"),
            ("/other", "https://host:8443/other"),
            ("?page=2", "https://host:8443/api/list?page=2"),
            ("list2", "https://host:8443/api/list2"),
        ] {
            assert_eq!(follow(&from, link).unwrap().to_string(), expected);
        }
        for link in
            ["http://host:8443/x", "https://evil/x", "//evil/x", "https://host:8443@evil/", "https://host/x", "/a b"]
        {
            assert!(follow(&from, link).is_err(), "{link}");
        }
    }

    #[test]
    fn cursors_replace_the_ones_before() {
        let from: Uri = "https://host/list?size=5&cursor=old".parse().unwrap();
        let next = with_parameter(&from, "cursor", "a/b=&c").unwrap();
        assert_eq!(next.to_string(), "https://host/list?size=5&cursor=a%2Fb%3D%26c");
        let next = with_parameter(&"https://host/".parse().unwrap(), "c", "1").unwrap();
        assert_eq!(next.to_string(), "https://host/?c=1");
    }

    #[test]
    fn the_next_of_a_header() {
        let mut headers = HeaderMap::new();
        assert_eq!(next_in(&headers), None);
        headers.insert(
            header::LINK,
            "<https://h/1>; rel=\"prev\", <https://h/3>; title=x; rel=\"last next\"".parse().unwrap(),
        );
        assert_eq!(next_in(&headers), Some("https://h/3"));
        headers.insert(header::LINK, "<https://h/1; rel=next".parse().unwrap());
        assert_eq!(next_in(&headers), None);
    }
}
