//! `hookmq send`: sends a request of a provider to an address; on demand a broken one.

use std::error::Error;
use std::time::Duration;

use hookmq_shared::env::Env;
use hookmq_shared::http::Request;
use hookmq_shared::net::Connector;
use hookmq_shared::net::endpoint::Endpoint;
use tokio::time::timeout;

use crate::client::{self, Answer};
use crate::sign::Recipe;
use crate::{Exit, complain};

/// Time limit from connecting to the last byte of the answer, the same as that of API gateways.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes:
  0  the answer is a 2xx
  1  any other answer, such as 401 for a request that is refused, or 404
  2  nothing was sent: a wrong argument, secret or hooks file
  3  no answer: no connection, or it broke, or 30 s passed")]
pub(crate) struct Args {
    #[command(flatten)]
    recipe: Recipe,
    /// The address, http or https; `HTTPS_PROXY` and `TLS_CA_FILE` apply as they do to the functions
    #[arg(long, value_name = "URL")]
    url: String,
    /// The public URL, for schemes that sign it; default: --url
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
}

/// Sends the request and prints the answer: its status, the message ids of the queue, and its body.
pub(crate) async fn run(args: &Args) -> Exit {
    let (endpoint, target) = match address(&args.url) {
        Ok(address) => address,
        Err(error) => {
            complain(format_args!("{}: {error}", args.url));
            return Exit::Configuration;
        }
    };
    let public_url = args.public_url.as_ref().unwrap_or(&args.url);
    let request = match args.recipe.request(Some(&target), Some(public_url.clone())) {
        Ok(request) => request,
        Err(errors) => {
            errors.iter().for_each(complain);
            return Exit::Configuration;
        }
    };
    match timeout(PATIENCE, exchange(&endpoint, request)).await {
        Ok(Ok(answer)) => {
            crate::say!("{}", told(&answer));
            if answer.status.is_success() { Exit::Good } else { Exit::Bad }
        }
        Ok(Err(error)) => {
            complain(format_args!("{endpoint}: {error}"));
            Exit::Silent
        }
        Err(_) => {
            complain(format_args!("{endpoint}: no answer within {} s", PATIENCE.as_secs()));
            Exit::Silent
        }
    }
}

const NOT_A_URL: &str = "is not an address: write it with http:// or https:// and a host";

fn told(answer: &Answer) -> String {
    let Answer { status, message_ids, body } = answer;
    let status = [status.to_string()].into_iter();
    let lines = status.chain(message_ids.iter().map(|id| format!("X-Hookmq-Message-Id: {id}")));
    let lines: Vec<String> = lines.chain([String::from_utf8_lossy(body).into_owned()]).collect();
    lines.join("\n")
}

/// Splits a URL into the endpoint to connect to, and the path and query to request.
fn address(url: &str) -> Result<(Endpoint, String), Box<dyn Error>> {
    let (url, _fragment) = url.split_once('#').unwrap_or((url, ""));
    let uri: http::Uri = url.parse().map_err(|_| NOT_A_URL)?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(NOT_A_URL.into());
    }
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let bare = url.strip_suffix(target).unwrap_or(url);
    Ok((Endpoint::parse(bare, true)?, target.to_owned()))
}

async fn exchange(endpoint: &Endpoint, request: Request) -> Result<Answer, Box<dyn Error + Send + Sync>> {
    let stream = Connector::new(&Env::process())?.connect(endpoint).await?;
    let query = if request.raw_query.is_empty() { String::new() } else { format!("?{}", request.raw_query) };
    let target = format!("{}{query}", request.path);
    client::exchange(stream, endpoint.host(), &request.method, &target, &request.headers, request.body).await
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn the_ids_of_the_messages_are_told() {
        let ids = ["tdmq=1:0:7", "eu=9"];
        let mut answer = Answer { status: StatusCode::OK, message_ids: Vec::new(), body: "{}".into() };
        assert_eq!(told(&answer), "200 OK\n{}", "the store has it");
        answer.message_ids = ids.map(str::to_owned).into();
        let lines = "X-Hookmq-Message-Id: tdmq=1:0:7\nX-Hookmq-Message-Id: eu=9\n";
        assert_eq!(told(&answer), format!("200 OK\n{lines}{{}}"));
    }
}
